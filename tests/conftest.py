"""Shared fixtures: nothing of the person's own configuration is read or written, and real parts are made once."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import platformdirs
import pytest
import torch
from tonearm.device.loopback import serve
from tonearm.device.ssh import Connection
from tonearm.export.write import export_bundle
from tonearm.models.catalogue import load
from tonearm.runtime.bundle import Bundle

GOLDEN = Path(__file__).parent / "golden"
BLOCKS = (64, 256)
CACHE = platformdirs.user_cache_path()


@pytest.fixture(autouse=True)
def own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Boards, their state and ~/.ssh of a person who has just installed Tonearm; downloads stay cached."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(CACHE))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Small models gain nothing from threads, and lose a lot where other processes want the cores."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def golden() -> dict[str, np.ndarray]:
    """The original implementation's inputs and outputs for hpn-reduced, 300 frames."""
    with np.load(GOLDEN / "hpn-reduced.npz") as arrays:
        return dict(arrays)


@pytest.fixture(scope="session")
def golden_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The golden checkpoint as a bundle with blocks of 64 and 256 samples. Tests must not change it."""
    module = load("hpn-reduced", GOLDEN / "hpn-reduced.pt")
    folder = tmp_path_factory.mktemp("bundles") / "hpn-reduced"
    return export_bundle(module, "hpn-reduced", folder, BLOCKS, weights="golden").bundle


@pytest.fixture
def loopback(tmp_path: Path) -> Iterator[Connection]:
    """A fresh loopback board: a real SSH server in this process with an empty home."""
    with serve(tmp_path / "loopback") as endpoint, Connection("loopback", endpoint) as connection:
        yield connection
