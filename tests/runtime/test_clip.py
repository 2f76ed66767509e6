"""Arrays of a file: read as they were written, and by several threads at once."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tonearm.runtime import clip
from tonearm.runtime.clip import read_arrays

ARRAYS = {
    "rows": np.arange(6, dtype=np.int16).reshape(2, 3),
    "columns": np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
    "empty": np.zeros((0, 3), np.float32),
    "number": np.array(3, np.uint8),
    "texts": np.array(["ab", "c"]),
    "flags": np.array([True, False]),
    "long": np.arange(200_000),
}


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_read_as_they_were_written(tmp_path: Path, save: Any) -> None:
    save(tmp_path / "a.npz", **ARRAYS)
    found = read_arrays(tmp_path / "a.npz")
    assert list(found) == list(ARRAYS)
    for name, wanted in ARRAYS.items():
        assert (found[name].dtype, found[name].shape) == (wanted.dtype, wanted.shape)
        assert np.array_equal(found[name], wanted) and found[name].flags.writeable


def test_headers_are_parsed_by_one_thread_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    np.savez(tmp_path / "a.npz", **ARRAYS)
    parsing, most = threading.Semaphore(1), []

    def alone(stream: Any) -> Any:
        most.append(parsing.acquire(blocking=False))
        time.sleep(0.001)
        parsing.release()
        return np.lib.format.read_array_header_1_0(stream)

    monkeypatch.setitem(clip.HEADERS, (1, 0), alone)
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(read_arrays, [tmp_path / "a.npz"] * 8))
    assert len(most) == 8 * 2 * len(ARRAYS) and all(most)
