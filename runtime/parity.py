"""Prove that the stream here is the trained model: play the bundle's golden clip, compare the sound."""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from .bundle import Bundle, Signal
from .clip import lag
from .errors import ParityError, SoundError
from .stream import Stream

TOLERANCE = 1e-4  # of full scale: what a stream may differ by, unless its bundle says otherwise


def full_scale_error(wanted: np.ndarray, got: np.ndarray) -> float:
    """Greatest difference, relative to the greatest magnitude of `wanted`; infinite where `got` is not a number."""
    scale = float(np.max(np.abs(wanted))) or 1.0
    error = float(np.max(np.abs(wanted.astype(np.float64) - got))) / scale
    return error if np.isfinite(error) else float("inf")


def first_wrong(wanted: np.ndarray, got: np.ndarray, tolerance: float) -> int | None:
    """The first sample off by more than `tolerance` of full scale, or None."""
    scale = float(np.max(np.abs(wanted))) or 1.0
    wrong = ~(np.abs(wanted.astype(np.float64) - got) <= tolerance * scale)
    return int(np.argmax(wrong)) if wrong.any() else None


def proof_frames(bundle: Bundle, block: int, length: int, frames: int | None = None) -> tuple[int, int]:
    """How many frames of a golden clip of `length` are streamed, and how many of these are compared.

    The end of a cut clip leans on frames that were cut off: streamed, not compared.
    """
    late = -(-bundle.latency // bundle.hop)
    streamed = min(max(frames or length, 2 * (block // bundle.hop) + 1) + late, length)
    return streamed, length if streamed == length else streamed - late


def check_parity(stream: Stream, golden: dict[str, np.ndarray], frames: int | None = None) -> dict[str, Any]:
    """Stream the golden clip and compare with what the original computed.

    Args:
        stream: where the bundle's graph runs.
        golden: the bundle's golden vectors.
        frames: only the first so many frames, but at least two blocks; default: all.

    Returns:
        `{"block", "frames", "error", "step_ns"}`: the error relative to full scale, and the median time of a step,
        the first one left out: a first impression, no measurement.

    Raises:
        ParityError: naming the first wrong block, output and sample.
    """
    bundle = stream.bundle
    streamed, compared = proof_frames(bundle, stream.block, golden[bundle.inputs[0].name].shape[1], frames)
    signals = {signal.name: golden[signal.name][:, :streamed] for signal in bundle.inputs}
    started: list[int] = []
    try:
        got = stream.render(signals, lambda done, total: started.append(time.perf_counter_ns()))
    except SoundError as error:
        raise ParityError(str(error)) from error
    errors = []
    for signal in bundle.outputs:
        samples = compared * signal.width
        wanted = golden[signal.name][:samples]
        errors.append(_compare(stream, signal, wanted, got[signal.name][:samples]))
    step_ns = int(np.median(np.diff(started)[-max(1, len(started) - 2) :]))
    return {"block": stream.block, "frames": compared, "error": max(errors), "step_ns": step_ns}


def _compare(stream: Stream, signal: Signal, wanted: np.ndarray, got: np.ndarray) -> float:
    bundle = stream.bundle
    sample = first_wrong(wanted, got, bundle.tolerance)
    values = stream.frames * signal.width
    if sample is not None:
        first = (sample + lag(bundle.latency, bundle.hop, signal.width)) // values
        raise ParityError(
            f"{bundle.name}, blocks of {stream.block}: output {signal.name} is wrong from block {first}, "
            f"sample {sample}: {got[sample]:.6g} instead of {wanted[sample]:.6g}"
        )
    return full_scale_error(wanted, got)
