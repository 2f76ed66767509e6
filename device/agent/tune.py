"""What the agent changes on its board for measurements, and how it was before.

`tuned.json` below our folder: {"boot": the kernel's boot id, "governors": {"policy0": "ondemand"}, "temporary":
["policy0"], "system": "/"}. It is written before anything is changed; what it says of another boot went with that boot.
What is temporary is put back when the turn ends for which it was changed, however that ends: see `turn.hold`.
"""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from .examine import number_at_the_end
from .facts import read
from .files import write_whole

GOVERNOR = "performance"
SUDO_SECONDS = 20


def tune(root: Path, request: dict[str, Any]) -> dict[str, Any]:
    """All governors to `performance`, or with `restore` back to what they were: {"settings": [...], "stale": bool}.

    With `temporary` only until the turn ends; so does `restore` then concern only what is temporary.
    """
    system, temporary = request.get("system", "/"), bool(request.get("temporary"))
    kept = remembered(root, system)
    policies = sorted((Path(system) / "sys/devices/system/cpu/cpufreq").glob("policy*"), key=number_at_the_end)
    if request.get("restore"):
        settings = [restored(folder, kept) for folder in policies if folder.name in kept.temporary or not temporary]
    else:
        settings = [raised(folder, kept, root, temporary) for folder in policies]
    remember(root, kept)
    return {"settings": [setting for setting in settings if setting], "stale": kept.stale}


def end_temporary(root: Path) -> list[str]:
    """Put back what was changed for a turn only; the governors that were, as `policy0: ondemand`."""
    system = str(kept_json(root).get("system", "/"))
    if not remembered(root, system).temporary:
        return []
    try:
        done = tune(root, {"system": system, "restore": True, "temporary": True})["settings"]
    except OSError as error:  # a full disk is no reason to be kept from making room
        return [f"tuned.json: {error.strerror}"]
    return [f"{Path(one['path']).parent.name}: {one['refusal'] or one['now']}" for one in done]


class Kept:
    """What was before we changed it, by policy; which of it is temporary; `stale`: there was some of another boot."""

    def __init__(self, boot: str, system: str) -> None:
        self.boot, self.system, self.stale = boot, system, False
        self.before: dict[str, str] = {}
        self.temporary: set[str] = set()


def raised(folder: Path, kept: Kept, root: Path, temporary: bool) -> dict[str, Any] | None:
    """One policy's governor to `performance`; the first governor seen is the one to go back to."""
    now, before = read(folder / "scaling_governor").strip(), kept.before
    if not temporary:
        kept.temporary.discard(folder.name)
    if now == GOVERNOR:
        return setting(folder, now, "")
    offered = read(folder / "scaling_available_governors").split()
    if offered and GOVERNOR not in offered:
        return setting(folder, now, f"this kernel offers only {' '.join(offered)}")
    earlier = before.get(folder.name)
    if temporary and folder.name not in kept.temporary:  # whoever tuned it to stay, somebody has changed it since
        before[folder.name] = now
        kept.temporary.add(folder.name)
    before.setdefault(folder.name, now)
    remember(root, kept)
    refusal = write(folder / "scaling_governor", GOVERNOR)
    if refusal and earlier is None:
        del before[folder.name]
    return setting(folder, now, refusal)


def restored(folder: Path, kept: Kept) -> dict[str, Any] | None:
    """One policy's governor back to what it was, unless somebody has changed it since."""
    wanted, now = kept.before.get(folder.name), read(folder / "scaling_governor").strip()
    if wanted is None:
        return None
    refusal = write(folder / "scaling_governor", wanted) if now == GOVERNOR else ""
    if not refusal:
        del kept.before[folder.name]
    return setting(folder, now, refusal)


def setting(folder: Path, before: str, refusal: str) -> dict[str, Any]:
    """What became of a policy, for the host."""
    path = folder / "scaling_governor"
    return {"path": str(path), "before": before, "now": read(path).strip(), "refusal": refusal}


def write(path: Path, value: str) -> str:
    """Write a setting, by ourselves or by a sudo that asks for no password; why not, or nothing."""
    try:
        path.write_text(value)
    except OSError as error:
        return write_as_root(path, value, str(error.strerror))
    return "" if read(path).strip() == value else "the kernel ignored the new value"


def write_as_root(path: Path, value: str, refusal: str) -> str:
    """The same by `sudo -n`."""
    command = ["sudo", "-n", "tee", str(path)]
    try:
        done = subprocess.run(command, input=value, capture_output=True, text=True, timeout=SUDO_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{refusal}; sudo: {getattr(error, 'strerror', None) or 'no answer'}"
    if done.returncode == 0 and read(path).strip() == value:
        return ""
    return f"{refusal}; {' '.join(done.stderr.split())[:200] or 'sudo changed nothing'}"


def remembered(root: Path, system: str) -> Kept:
    """What was before we changed it, in this boot."""
    kept = Kept(read(Path(system) / "proc/sys/kernel/random/boot_id").strip(), system)
    said = kept_json(root)
    governors, temporary = said.get("governors"), said.get("temporary")
    before = governors if isinstance(governors, dict) else {}
    before = {name: value for name, value in before.items() if plain(name) and plain(value)}
    kept.stale = bool(before) and said.get("boot") != kept.boot
    if not kept.stale:
        kept.before = before
        kept.temporary = {name for name in before if isinstance(temporary, list) and name in temporary}
    return kept


def kept_json(root: Path) -> dict[str, Any]:
    """What the file holds; nothing where it is damaged."""
    try:
        said = json.loads(read(root / "tuned.json") or "{}")
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def plain(word: Any) -> bool:
    """A governor's or a policy's name: what is written into /sys is nothing else."""
    return isinstance(word, str) and re.fullmatch(r"\w{1,32}", word) is not None


def remember(root: Path, kept: Kept) -> None:
    """Keep it, whole or not at all; keep nothing when there is nothing to go back to."""
    path = root / "tuned.json"
    if not kept.before:
        path.unlink(missing_ok=True)
        return
    temporary = sorted(kept.temporary & set(kept.before))
    said = {"boot": kept.boot, "governors": kept.before, "temporary": temporary, "system": kept.system}
    write_whole(path, json.dumps(said))
