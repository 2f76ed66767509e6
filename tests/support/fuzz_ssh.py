"""Mutated configurations of an SSH client, read by Tonearm and by `ssh -G`.

`python tests/support/fuzz_ssh.py --tries 1500 --seed 0` prints what became of them. A worker process reads them, and
its parent waits for each only so long; a mutant is made from the seed and its number alone, of the configurations of
ssh_configs. Where ssh accepts one, both must say the same; what versions of ssh differ in is not compared. Commands of
`Match exec` are not run, but succeed or fail, for mutants could be any.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import os
import random
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fuzzing import DIED, HANG, TRACEBACK, Counts, Tell, command_line, fuzz_apart
from ssh_answers import SSH, WRAPPER, ask_ssh, differences, read_ourselves
from ssh_configs import CONFIGS
from tonearm.device.ssh import lookup
from tonearm.device.ssh.config import ssh_hosts

SAME, STRICTER, REFUSED, ALONE = "the same as ssh -G", "refused by us alone", "refused by both", "read by us alone"
OTHER, OUTSIDE = "NOT the same as ssh -G", "wrote a file"
OUTCOMES = (SAME, STRICTER, REFUSED, ALONE, OTHER, TRACEBACK, HANG, DIED, OUTSIDE)
BAD = OUTCOMES[4:]
HOSTS = ("pi", "bela", "PI", "pi.local", "10.0.0.7", "fe80::1", "x")
# What Tonearm refuses of what ssh accepts: names that a ProxyCommand may hand to a shell, jump hosts in a circle,
# tokens that ssh -G leaves for later.
OURS = (
    "is not a host name",
    "is not a user name",
    "form a loop",
    "means nothing there",
    "has no variable",
    "not a port",
    "begins with the home",
)
WORDS = (
    *(
        "Host",
        "Match",
        "Include",
        "Port",
        "User",
        "HostName",
        "IdentityFile",
        "ProxyJump",
        "ProxyCommand",
        "#",
        "=",
        '"',
    ),
    *(
        "*",
        "!",
        "?",
        "pi",
        "host",
        "all",
        "final",
        "exec",
        "true",
        "false",
        "none",
        "user",
        "%h",
        "%%",
        "yes",
        "22",
        "1m",
    ),
    *("\\", " ", "\t", "\r", "\f", ",", "~/a", "more", "canonical", "originalhost", "localuser", "!host", "\\ ", '\\"'),
    *("HostKeyAlias", "UserKnownHostsFile", "CertificateFile", "IdentitiesOnly", "ConnectTimeout", "IdentityAgent"),
)


def mutate(rng: random.Random) -> tuple[str, str, dict[str, str], str]:
    """A configuration with something changed, the host to ask for, other files, and what was changed, in a word."""
    kind = rng.choice(["words", "lines", "bytes", "joined"])
    base, other = rng.choice(CONFIGS), rng.choice(CONFIGS)
    text, files = base.text, {**other.files, **base.files}
    if kind == "joined":
        text = text + rng.choice(["", "\n"]) + other.text
    for _ in range(rng.choice([1, 1, 2, 3]) if kind != "joined" else rng.randrange(2)):
        text = {"words": with_words, "lines": with_lines, "bytes": with_bytes}.get(kind, with_lines)(text, rng)
    host = rng.choice([base.host, base.host, *HOSTS])
    return text, host, files, kind


def with_words(text: str, rng: random.Random) -> str:
    """A word put in, replaced or taken out."""
    words = text.split(" ")
    place = rng.randrange(len(words))
    way = rng.choice(["put", "replace", "take", "line"])
    if way == "put":
        words.insert(place, rng.choice(WORDS))
    elif way == "replace":
        words[place] = rng.choice(WORDS)
    elif way == "take":
        words.pop(place)
    else:
        words[place] += "\n" + rng.choice(WORDS)
    return " ".join(words)


def with_lines(text: str, rng: random.Random) -> str:
    """Lines in another order, doubled or taken out, or those of another configuration put in."""
    lines = text.split("\n")
    place = rng.randrange(len(lines))
    way = rng.choice(["shuffle", "double", "take", "put"])
    if way == "shuffle":
        rng.shuffle(lines)
    elif way == "double":
        lines.insert(rng.randrange(len(lines)), lines[place])
    elif way == "take":
        lines.pop(place)
    else:
        lines.insert(place, rng.choice(rng.choice(CONFIGS).text.split("\n")))
    return "\n".join(lines)


def with_bytes(text: str, rng: random.Random) -> str:
    """Characters replaced, put in or taken out, mostly in what follows a keyword."""
    lines = text.split("\n")
    for _ in range(rng.choice([1, 1, 2, 8])):
        number = rng.randrange(len(lines))
        keyword, space, value = ("", "", lines[number]) if rng.random() < 0.1 else in_two(lines[number])
        place = rng.randrange(len(value) + 1)
        put = rng.choice(["", chr(rng.randrange(127)), rng.choice(" \"=#!*%\\\n,'")])
        lines[number] = keyword + space + value[:place] + put + value[place + rng.randrange(2) :]
    return "\n".join(lines)


def in_two(line: str) -> tuple[str, str, str]:
    """A line's keyword with the space before it, what is between, and the value."""
    found = re.match(r"(\s*[^\s=]*)([\s=]*)", line)
    assert found
    return found[1], found[2], line[found.end() :]


def is_comparable(text: str, theirs: dict[str, Any]) -> bool:
    """Whether all versions of ssh mean the same; by quotes in Match lines, `final=` and tokens in User they don't."""
    matches = [line for line in text.lower().split("\n") if re.match(r'[ \t"=]*match', line)]
    odd = re.compile(r"""['"\\]|(final|canonical|all)\s*=""")
    return not any(map(odd.search, matches)) and "%" not in theirs["user"] + "".join(theirs["proxyjump"])


def judge(box: Path, text: str, host: str, files: dict[str, str]) -> tuple[str, str]:
    """What becomes of a configuration, and what is said about it."""
    folder = box / ".ssh"
    for name, content in {**files, "config": text}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        content = content.replace("{me}", getpass.getuser()).replace("{{", "{").replace("}}", "}")
        path.write_text(content, newline="")
        path.chmod(0o600)
    with watching() as written:
        ssh_hosts()
        ours, reason = read_ourselves(host)
    if written:
        return OUTSIDE, ", ".join(written)
    theirs, refused = ask_ssh(box, host) if SSH and WRAPPER else (None, "")
    if not theirs:
        return (ALONE if ours else REFUSED), reason or refused
    if not ours:
        return (STRICTER if any(part in reason for part in OURS) else OTHER), reason
    found = differences(theirs, ours) if is_comparable(text, theirs) else {}
    return (OTHER, f"{text!r} for {host}: {found}") if found else (SAME, "")


WATCHED: list[list[str]] = []
CHANGES = ("os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.link", "os.symlink", "os.truncate", "os.chmod")
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


@contextlib.contextmanager
def watching() -> Iterator[list[str]]:
    """Whatever this process opens to write, or changes, while the block runs: nothing, if all is well."""
    WATCHED.append([])
    try:
        yield WATCHED[-1]
    finally:
        WATCHED.pop()


def watch(event: str, arguments: tuple[Any, ...]) -> None:
    """The audit hook behind `watching`."""
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & WRITES
    if WATCHED and (writes or event in CHANGES) and str(arguments[0]) != os.devnull:
        WATCHED[-1].append(f"{event} {arguments[0]}")


def work(box: Path, seed: int, first: int, tries: int) -> None:
    """The worker: judge mutants from `first` on, a line of JSON for each."""
    os.environ.update(HOME=str(box), TEST_KEYS="/run/keys")
    os.chdir(box)
    sys.addaudithook(watch)
    lookup.SYSTEM = Path("/etc/ssh/ssh_config")
    for index in range(first, tries):
        for path in sorted(box.rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
        rng = random.Random(f"{seed} {index}")
        os.environ["SHELL"] = rng.choice(["/bin/true", "/bin/false"])
        text, host, files, kind = mutate(rng)
        print(json.dumps([index, kind]), flush=True)
        try:
            outcome, said = judge(box, text, host, files)
        except Exception as error:
            outcome, said = TRACEBACK, f"{text!r} for {host}: {error!r}"
        print(json.dumps([index, kind, outcome, said[:600]]), flush=True)


def fuzz(box: Path, tries: int, seed: int, tell: Tell = lambda line: None) -> Counts:
    """How many mutants of each kind came to which of `OUTCOMES`; `tell` hears of each that came to a bad one."""
    return fuzz_apart(__file__, box, tries, seed, BAD, tell)


if __name__ == "__main__":
    sys.exit(command_line(__doc__, 1500, OUTCOMES, BAD, fuzz, work))
