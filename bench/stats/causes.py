"""Why steps were slow: what coincided with them, and more often than with the others.

Slow are the steps above p99 and those that missed their deadline. A coincidence is no proof: a cause is named only if
it is twice as frequent among slow steps as among the others, at least, and chance is no explanation. What is usual (the
median step) is never blamed, or every step of a run with threads would be, as they all wait for each other.

| cause | a step has it when |
|---|---|
| frequency drop | its core's frequency was 5% or more below the run's median, in the telemetry nearest to its start |
| throttled | the Raspberry Pi then limited the clock, or noted since the sample before that it had |
| preempted | it was interrupted (involuntary context switches) more often than the median step |
| waited | it slept or waited, as for a lock or a disk (voluntary context switches), more often than the median step |
| page fault | it had more page faults, minor or major, than the median step |
| late wake-up | paced: it started later than 99% of steps, or was short enough and yet missed for its late start |
| after a slow step | paced: it missed, and the step before had ended after its tick |
| garbage collection | Python's collector ran in it or since the step before |
| first after silence | the clip sounds again in its block |
| cpu, memory, io pressure | tasks waited 1% of the time more than in the median sample, in the sample it lies in |
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pandas

from ...runtime.telemetry import COLUMNS as TELEMETRY
from ...runtime.telemetry import PRESSURES
from .step_times import lateness, missed, steps_needed

PRESSURE = {f"{name} pressure": f"pressure_{name}_us" for name in PRESSURES}
DROP = 0.95  # of the usual frequency
NEAR_NS = 500_000_000  # telemetry further away says nothing of a step
STALLED = 0.01  # of the time, above the usual
NOW = 0b1111  # throttled bits; the higher ones tell of the time since boot
LIFT = 2  # how much more frequent a cause is among slow steps: less, and most of its coincidences are chance
CHANCE = 0.01  # how probable a coincidence may be by chance

NOTHING, AFTER, LATE = "nothing known", "after a slow step", "late wake-up"
COUNTED = {"preempted": ["involuntary"], "waited": ["voluntary"], "page fault": ["minor_faults", "major_faults"]}
CAUSES = (
    *("frequency drop", "throttled", *COUNTED, LATE, AFTER),
    *("garbage collection", "first after silence", *PRESSURE),
)

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True)
class _Run:
    """Of each step: `excess_ns` beyond the median, `slow`, `missed`; `had`: cause -> which steps had it, if recorded.

    All `(n,)`. `blamed` are the causes that chance does not explain; `above_ns` is p99.
    """

    step_ns: np.ndarray
    late_ns: np.ndarray
    excess_ns: np.ndarray
    missed: np.ndarray
    slow: np.ndarray
    above_ns: float
    had: Arrays
    blamed: list[str]


def blame(
    arrays: Arrays, budget_ns: float, period_ns: float | None = None, above_ns: float | None = None
) -> pandas.DataFrame:
    """What coincided with the slow steps of a run, the dearest first; a step counts for each of its causes.

    Args:
        arrays: as the runner writes them; what is missing or empty is not looked at, `step_ns` alone will do.
        budget_ns: the length of a block.
        period_ns: the same, if the run was paced; None for steps back to back.
        above_ns: p99 of all runs of the case, NaN where they are too few for one; by default that of this run.

    Returns:
        Columns `cause`; `steps`: slow ones that had it; `share` of the slow and `elsewhere` of the other steps, 0 to 1;
        `lift`: one over the other; `excess_ns`: what these steps took beyond the median, in all, late starts included.
        `attrs`: `steps`, `slow`, `missed`, `above_ns` (p99; NaN: n too small), `median_ns`, `budget_ns`, `unknown` (the
        causes that nothing was recorded for).
    """
    run = _look(arrays, budget_ns, period_ns, above_ns)
    causes = {cause: run.had[cause] for cause in run.blamed}
    causes[NOTHING] = ~np.any([np.zeros_like(run.slow), *causes.values()], axis=0)
    rows = [_row(run, cause, had) for cause, had in causes.items() if np.any(had & run.slow)]
    frame = pandas.DataFrame(rows, columns=["cause", "steps", "share", "elsewhere", "lift", "excess_ns"])
    frame = frame.sort_values("excess_ns", ascending=False, ignore_index=True, kind="stable")
    frame.attrs = {
        "steps": run.step_ns.size,
        "slow": int(np.count_nonzero(run.slow)),
        "missed": int(np.count_nonzero(run.missed)),
        "above_ns": run.above_ns,
        "median_ns": float(np.median(run.step_ns)) if run.step_ns.size else math.nan,
        "budget_ns": float(budget_ns),
        "unknown": [cause for cause in CAUSES if cause not in run.had and (period_ns or cause not in (LATE, AFTER))],
    }
    return frame


def slow_steps(
    arrays: Arrays, budget_ns: float, period_ns: float | None = None, above_ns: float | None = None
) -> pandas.DataFrame:
    """One row for each slow step: `step`, `step_ns`, `late_ns` (0 back to back), `causes`: text with commas.

    A step that started late because of the one before has the causes of the first such step in brackets.
    """
    run = _look(arrays, budget_ns, period_ns, above_ns)
    steps, roots, texts = np.flatnonzero(run.slow), {}, []
    for step in steps.tolist():
        names = [cause for cause in run.blamed if run.had[cause][step]]
        roots[step] = roots.get(step - 1, NOTHING) if AFTER in names else " and ".join(names) or NOTHING
        texts.append(", ".join(names).replace(AFTER, f"{AFTER} ({roots[step]})") or NOTHING)
    columns = {"step": steps, "step_ns": run.step_ns[steps], "late_ns": run.late_ns[steps]}
    return pandas.DataFrame({**columns, "causes": texts})


def _row(run: _Run, cause: str, had: np.ndarray) -> tuple[str, int, float, float, float, float]:
    share, elsewhere = _share(had[run.slow]), _share(had[~run.slow])
    lift = share / elsewhere if elsewhere else math.inf
    return cause, int(had[run.slow].sum()), share, elsewhere, lift, float(run.excess_ns[had & run.slow].sum())


def _share(had: np.ndarray) -> float:
    return float(had.mean()) if had.size else 0.0


def _look(arrays: Arrays, budget_ns: float, period_ns: float | None, above_ns: float | None) -> _Run:
    """Everything that is known of each step."""
    step_ns = arrays["step_ns"]
    n, start_ns = step_ns.size, arrays.get("start_ns", np.empty(0, np.int64))
    late_ns, too_late, timed = np.zeros(n, np.int64), step_ns > budget_ns, start_ns.size == n
    if period_ns and timed:
        tick_ns = np.floor(np.arange(n) * period_ns).astype(np.int64)
        late_ns = lateness(start_ns, step_ns, tick_ns)
        too_late = missed(start_ns, step_ns, tick_ns, period_ns, 2)
    above_ns = _p99(step_ns) if above_ns is None else above_ns
    slow = too_late | (step_ns > above_ns)
    had = {**_counted(arrays), **_sounding(arrays)}
    had |= {**_collected(arrays, start_ns + step_ns), **_watched(arrays, start_ns)} if timed else {}
    blamed = [cause for cause, which in had.items() if _telling(which, slow)]
    if period_ns and timed:
        had |= _late(late_ns, too_late, slow, step_ns <= budget_ns)
        blamed = [cause for cause in (LATE, AFTER) if np.any(had[cause] & slow)] + blamed
    took = late_ns + step_ns
    return _Run(step_ns, late_ns, took - np.median(took) if n else took, too_late, slow, above_ns, had, blamed)


def _p99(values: np.ndarray) -> float:
    """NaN, which nothing is above, where n is too small."""
    return float(np.percentile(values, 99)) if values.size >= steps_needed(99) else math.nan


def _telling(had: np.ndarray, slow: np.ndarray) -> bool:
    """Whether slow steps had it at least twice as often as the others, which chance would hardly do (binomial)."""
    from scipy import special

    both, count = int(np.count_nonzero(had & slow)), int(np.count_nonzero(slow))
    if not both or both / count < LIFT * _share(had[~slow]):
        return False
    return bool(special.bdtrc(both - 1, count, _share(had)) < CHANCE)


def _late(late_ns: np.ndarray, too_late: np.ndarray, slow: np.ndarray, short: np.ndarray) -> Arrays:
    """Which steps of a paced run started late, by themselves or because of the one before."""
    after = np.append(False, too_late[:-1])[: too_late.size]
    unusual = late_ns > _p99(late_ns)
    alone = too_late & short & ~after  # nothing but its start made it late: no coincidence
    return {LATE: alone | (unusual & _telling(unusual, slow)), AFTER: after & too_late}


def _counted(arrays: Arrays) -> Arrays:
    """Which steps had more context switches and page faults than the median step."""
    known = {cause: [arrays[name] for name in names if name in arrays] for cause, names in COUNTED.items()}
    return {
        cause: np.any([counts > np.median(counts) for counts in found], axis=0)
        for cause, found in known.items()
        if found and found[0].size
    }


def _sounding(arrays: Arrays) -> Arrays:
    """Which steps play the first block with sound after one without; the clip is repeated."""
    silent = arrays.get("silent", np.empty(0)).astype(bool)
    if not silent.size:
        return {}
    first = np.resize(~silent & np.roll(silent, 1), arrays["step_ns"].size)
    first[:1] = False
    return {"first after silence": first}


def _collected(arrays: Arrays, end_ns: np.ndarray) -> Arrays:
    """In which steps, or between them and the step before, Python's garbage collector ran."""
    if "gc_ns" not in arrays:
        return {}
    had = np.zeros(end_ns.size + 1, bool)
    had[np.searchsorted(end_ns, arrays["gc_ns"])] = True
    return {"garbage collection": had[:-1]}


def _watched(arrays: Arrays, start_ns: np.ndarray) -> Arrays:
    """What telemetry says of the time around each step."""
    table = arrays.get("telemetry", np.empty((0, len(TELEMETRY))))
    if table.shape[0] < 2:
        return {}
    seen = dict(zip(TELEMETRY, table.T, strict=True))
    times, frequency, had = seen["t_ns"], seen["frequency_khz"], {}
    if not np.all(np.isnan(frequency)):
        had["frequency drop"] = _nearest(frequency <= DROP * np.nanmedian(frequency), times, start_ns)
    looks = ~np.isnan(seen["throttled"])  # one that failed says nothing: bits after it are not new
    if np.any(looks):
        bits, at = seen["throttled"][looks].astype(np.int64), times[looks]
        new = np.append(0, bits[1:] & ~bits[:-1])
        had["throttled"] = _nearest(bits & NOW > 0, at, start_ns) | _within(new > NOW, at, start_ns)
    for cause, column in PRESSURE.items():
        stalled = np.diff(seen[column], prepend=np.nan) / np.diff(times, prepend=np.nan) * 1e3  # share of the time
        if not np.all(np.isnan(stalled)):
            had[cause] = _within(stalled > np.nanmedian(stalled) + STALLED, times, start_ns)
    return had


def _nearest(seen: np.ndarray, times: np.ndarray, start_ns: np.ndarray) -> np.ndarray:
    """What the sample nearest to each step saw, `(n,)` bool; nothing if none is near."""
    index = np.searchsorted((times[1:] + times[:-1]) / 2, start_ns)
    return seen[index] & (np.abs(times[index] - start_ns) < NEAR_NS)


def _within(grown: np.ndarray, times: np.ndarray, start_ns: np.ndarray) -> np.ndarray:
    """What had grown in the sample after each step began, since the one before, `(n,)` bool."""
    return np.append(grown, False)[np.searchsorted(times, start_ns)]
