"""What the agent changes on its board for measurements, and how it was before.

`tuned.json` below our folder: {"boot": the kernel's boot id, "governors": {"policy0": "ondemand"}}. It is written
before anything is changed; what it says of another boot went with that boot.
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

    With `only`, paths of settings, the others stay as they are.
    """
    system = Path(request.get("system", "/"))
    boot = read(system / "proc/sys/kernel/random/boot_id").strip()
    before, stale = remembered(root, boot)
    policies = sorted((system / "sys/devices/system/cpu/cpufreq").glob("policy*"), key=number_at_the_end)
    only = request.get("only")
    if only is not None:
        policies = [folder for folder in policies if str(folder / "scaling_governor") in only]
    change = restored if request.get("restore") else raised
    settings = [change(folder, before, root, boot) for folder in policies]
    remember(root, boot, before)
    return {"settings": [setting for setting in settings if setting], "stale": stale}


def raised(folder: Path, before: dict[str, str], root: Path, boot: str) -> dict[str, Any] | None:
    """One policy's governor to `performance`; the first governor seen is the one to go back to."""
    now = read(folder / "scaling_governor").strip()
    if now == GOVERNOR:
        return setting(folder, now, "")
    offered = read(folder / "scaling_available_governors").split()
    if offered and GOVERNOR not in offered:
        return setting(folder, now, f"this kernel offers only {' '.join(offered)}")
    known = folder.name in before
    before.setdefault(folder.name, now)
    remember(root, boot, before)
    refusal = write(folder / "scaling_governor", GOVERNOR)
    if refusal and not known:
        del before[folder.name]
    return setting(folder, now, refusal)


def restored(folder: Path, before: dict[str, str], root: Path, boot: str) -> dict[str, Any] | None:
    """One policy's governor back to what it was, unless somebody has changed it since."""
    wanted, now = before.get(folder.name), read(folder / "scaling_governor").strip()
    if wanted is None:
        return None
    refusal = write(folder / "scaling_governor", wanted) if now == GOVERNOR else ""
    if not refusal:
        del before[folder.name]
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


def remembered(root: Path, boot: str) -> tuple[dict[str, str], bool]:
    """What was before we changed it, by policy; and whether there was something of an earlier boot."""
    try:
        kept = json.loads(read(root / "tuned.json") or "{}")
        governors = {name: value for name, value in kept.get("governors", {}).items() if plain(name) and plain(value)}
    except (ValueError, AttributeError):
        return {}, False
    stale = bool(governors) and kept.get("boot") != boot
    return ({} if stale else governors), stale


def plain(word: Any) -> bool:
    """A governor's or a policy's name: what is written into /sys is nothing else."""
    return isinstance(word, str) and re.fullmatch(r"\w{1,32}", word) is not None


def remember(root: Path, boot: str, before: dict[str, str]) -> None:
    """Keep it, whole or not at all; keep nothing when there is nothing to go back to."""
    path = root / "tuned.json"
    if not before:
        path.unlink(missing_ok=True)
        return
    write_whole(path, json.dumps({"boot": boot, "governors": before}))
