"""What the installed `ssh -G` and our own reading of the same configuration say of a host, in the same words.

ssh takes a person's home from the list of users, not from HOME: libnss-wrapper has it see another list.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

from tonearm.device.errors import BoardError
from tonearm.device.ssh.config import find_way
from tonearm.device.ssh.endpoint import CONNECT_SECONDS, Target, Way, parse_target
from tonearm.device.ssh.lookup import Lookup

WRAPPER = next(Path("/usr/lib").glob("**/libnss_wrapper.so"), None)
SSH = shutil.which("ssh")
SECONDS = 60
Answer = dict[str, Any]
USUAL = ("id_rsa", "id_ecdsa", "id_ecdsa_sk", "id_ed25519", "id_ed25519_sk", "id_xmss", "id_dsa")


def ask_ssh(home: Path, host: str) -> tuple[Answer | None, str]:
    """What ssh says of a host to a person who lives in `home`, or why it refuses."""
    me = pwd.getpwuid(os.getuid())
    users = home / "passwd"
    users.write_text(f"{me.pw_name}:x:{me.pw_uid}:{me.pw_gid}::{home}:/bin/sh\n")
    wrapper = {"LD_PRELOAD": str(WRAPPER), "NSS_WRAPPER_PASSWD": str(users), "NSS_WRAPPER_GROUP": "/etc/group"}
    asked = subprocess.run(
        ["ssh", "-G", "--", host],
        env={**os.environ, "HOME": str(home), **wrapper},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=SECONDS,
        check=False,
    )
    if asked.returncode:
        return None, asked.stderr.decode(errors="replace")
    said: dict[str, list[str]] = {}
    for line in asked.stdout.decode(errors="replace").split("\n"):
        key, _, value = line.partition(" ")
        said.setdefault(key, []).append(value)
    return _of_ssh(said, home, host), ""


def _of_ssh(said: dict[str, list[str]], home: Path, host: str) -> Answer:
    """What matters here of the answer; the paths, which ssh expands later, expanded."""
    one = {key: values[0] for key, values in said.items()}

    def path(text: str) -> str:
        return tidy(meant(text, home, one["hostname"], host, one))

    identities = [path(name) for name in said["identityfile"]]
    usual = [str(home / ".ssh" / name) for name in USUAL]
    agent = one.get("identityagent", Way.agent)
    return {
        "hostname": one["hostname"],
        "port": int(one["port"]),
        "user": one["user"],
        "identityfile": None if identities == usual else without_none(identities),
        "certificatefile": without_none([path(name) for name in said.get("certificatefile", [])]),
        "identitiesonly": one["identitiesonly"],
        "identityagent": os.environ.get(agent[1:], "none") if re.match(r"\$[^{]", agent) else agent,
        "proxyjump": [] if one.get("proxyjump", "none") == "none" else one["proxyjump"].split(","),
        "proxycommand": "" if "proxyjump" in one else one.get("proxycommand", ""),
        "hostkeyalias": one.get("hostkeyalias", ""),
        "userknownhostsfile": tidy(one["userknownhostsfile"].removeprefix("none")),
        "globalknownhostsfile": tidy(
            re.sub(r"(^| )~/", rf"\1{home}/", one["globalknownhostsfile"].removeprefix("none"))
        ),
        "hashknownhosts": one["hashknownhosts"],
        "connecttimeout": int(one["connecttimeout"].replace("none", "0")),
        "revokedhostkeys": path(one.get("revokedhostkeys", "")),
    }


def meant(text: str, home: Path, hostname: str, host: str, one: dict[str, str]) -> str:
    """A path with what stands for something else replaced: once, from left to right."""
    tokens = {"h": hostname, "n": host, "p": one["port"], "r": one["user"], "d": str(home), "%": "%"}
    tokens |= {"u": pwd.getpwuid(os.getuid()).pw_name, "i": str(os.getuid()), "k": one.get("hostkeyalias", host)}
    text = re.sub(r"^~(?=/|$)", str(home), text)
    return re.sub(
        r"%(.)|\$\{(\w+)\}",
        lambda found: tokens.get(found[1], found[0]) if found[1] else os.environ.get(found[2], found[0]),
        text,
    )


def tidy(paths: str) -> str:
    """Paths without the slashes that mean nothing, as Path has them."""
    return re.sub(r"(/\.)+(?=/|$| )|/+(?=/|$| )", "", paths)


def without_none(names: list[str]) -> list[str]:
    """Each name once, as two files of a configuration may say the same; `none` left out."""
    return [name for name in dict.fromkeys(names) if name.lower() != "none"]


def read_ourselves(host: str) -> tuple[Answer | None, str]:
    """What Tonearm says of a host, or why it refuses; the home is HOME."""
    try:
        found, end = Lookup(host, {}), find_way(Target(None, host, None))
    except BoardError as error:
        return None, str(error)
    way = end.route
    jump = found.text("proxyjump", "none")
    is_direct = jump.lower() == "none"
    command = found.text("proxycommand", "none")
    return {
        "hostname": end.host,
        "port": end.port,
        "user": end.user,
        "identityfile": None if way.identities is None else [str(path) for path in way.identities],
        "certificatefile": [str(path) for path in way.certificates],
        "identitiesonly": "yes" if way.identities_only else "no",
        "identityagent": way.agent,
        "proxyjump": [] if is_direct else jump.split(","),
        "proxycommand": "" if command.lower() == "none" or not is_direct else command,
        "hostkeyalias": way.alias,
        "userknownhostsfile": " ".join(str(path.expanduser()) for path in way.known_hosts),
        "globalknownhostsfile": " ".join(map(str, way.global_known_hosts)),
        "hashknownhosts": "yes" if way.hash_names else "no",
        "connecttimeout": 0 if way.seconds == CONNECT_SECONDS else way.seconds,
        "revokedhostkeys": " ".join(map(str, way.revoked)),
    }, ""


def differences(theirs: Answer, ours: Answer) -> dict[str, tuple[Any, Any]]:
    """The options that both don't agree on, with what ssh and what we say."""
    both = {key: (theirs[key], ours[key]) for key in theirs}
    both["proxyjump"] = (jumps(theirs["proxyjump"]), jumps(ours["proxyjump"]))
    return {key: pair for key, pair in both.items() if pair[0] != pair[1]}


def jumps(names: list[str]) -> list[Target | str]:
    """Jump hosts without the ways to write them."""
    found: list[Target | str] = []
    for name in names:
        try:
            found.append(parse_target(name.strip()))
        except BoardError:
            found.append(name)
    return found
