"""Names of hosts made whole, as `CanonicalizeHostname` asks for it; see ssh_config(5)."""

from __future__ import annotations

import socket
from collections.abc import Iterator, Mapping, Sequence

from ..errors import BoardError
from ..text import shortened
from .patterns import is_host_listed

Options = Mapping[str, Sequence[str]]
_NO = ("no", "false")
_RULES = "canonicalizepermittedcnames"


def canonical(host: str, options: Options) -> str:
    """The name or address that `host` stands for; names are looked up only where the options ask for it.

    Raises:
        BoardError: the name is found in none of the domains, and has to be.
    """
    address = numeric(host)
    if address:
        return address
    host = host.lower()
    wanted = _first(options, "canonicalizehostname", "no").lower()
    direct = not _is_set(options, "proxycommand") and not _is_set(options, "proxyjump")
    if wanted in _NO or not (direct or wanted == "always") or set(host) <= set("0123456789.:%"):
        return host
    for name in _candidates(host, options):
        found = _look_up(name)
        if found is not None:
            return _followed(name.rstrip("."), found, options)
    return _followed(host, _look_up(host) or "", options) if _is_set(options, _RULES) else host


def _candidates(host: str, options: Options) -> Iterator[str]:
    """The full names to try; a `BoardError` after them where one of them has to be right."""
    if host.endswith("."):
        yield host
    elif host.count(".") > _dots(options):
        return
    else:
        domains = options.get("canonicaldomains", ())
        yield from (f"{host}.{domain}." for domain in domains if domain.lower() != "none")
    if _first(options, "canonicalizefallbacklocal", "yes").lower() in _NO:
        raise BoardError(f"{host} is in none of the CanonicalDomains; is its name spelt right, and the network there?")


def _dots(options: Options) -> int:
    text = _first(options, "canonicalizemaxdots", "1")
    if not text.isdecimal() or len(text) > 9:
        raise BoardError(f"CanonicalizeMaxDots is {shortened(repr(text), 60)}, which is not a number of dots")
    return int(text)


def numeric(host: str) -> str:
    """An address in its usual form, nothing for a name."""
    try:
        place = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)[0][4]
        return str(socket.getnameinfo(place, socket.NI_NUMERICHOST)[0])
    except (OSError, UnicodeError, ValueError):
        return ""


def _first(options: Options, key: str, usual: str) -> str:
    return next(iter(options.get(key, ())), usual)


def _is_set(options: Options, key: str) -> bool:
    return _first(options, key, "none").lower() != "none"


def _look_up(name: str) -> str | None:
    """What the name stands for, itself or another name; None where nobody knows it."""
    try:
        told = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM, flags=socket.AI_CANONNAME)[0][3]
    except (OSError, UnicodeError):
        return None
    return told.rstrip(".").lower()


def _followed(name: str, other: str, options: Options) -> str:
    """`other` where a rule of `CanonicalizePermittedCNAMEs` lets `name` stand for it, else `name`."""
    for rule in options.get(_RULES, ()):
        sources, _, targets = rule.partition(":")
        if rule == "*" or (targets and is_host_listed(name, sources) and is_host_listed(other, targets)):
            return other or name
    return name
