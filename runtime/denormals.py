"""Flush denormal numbers to zero, and prove it.

Decaying states pass through denormals after every note, where a step can take 20 times as long. ONNX Runtime's
own option does nothing on ARM64, so the mode is set in the thread's floating-point environment; threads
started later inherit it. Call this before numpy or ONNX Runtime start any.
"""

from __future__ import annotations

import ctypes
import platform

_FPCR_FLUSH = 1 << 24  # ARM64: FPCR.FZ
_MXCSR_FLUSH = 1 << 15 | 1 << 6  # x86: flush to zero, denormals are zero
_MXCSR_WORD = 7  # of x86-64 glibc's fenv_t


def flush_denormals() -> None:
    """Set flush-to-zero for this thread, before numpy is imported; `denormals_are_flushed` tells whether it took."""
    machine = platform.machine().lower()
    if machine in ("aarch64", "arm64"):
        _set_bits(0, _FPCR_FLUSH)
    elif machine in ("x86_64", "amd64"):
        _set_bits(_MXCSR_WORD, _MXCSR_FLUSH)


def denormals_are_flushed() -> bool:
    """Whether a float32 product that is denormal comes out as zero."""
    import numpy as np  # late: the environment is set first

    small = np.full(16, 1e-20, dtype=np.float32)
    with np.errstate(under="ignore"):
        return not np.any(small * small)


def _set_bits(word: int, bits: int) -> None:
    try:
        library = ctypes.CDLL("libm.so.6")
    except OSError:  # no glibc: denormals_are_flushed() will say no
        return
    environment = (ctypes.c_uint32 * 16)()
    library.fegetenv(environment)
    environment[word] |= bits
    library.fesetenv(environment)
