"""Nothing is lost, whatever happens to a deploy; `python tests/support/faults.py` tries it more often."""

from __future__ import annotations

import os

import pytest
from fault_boards import bundles
from faults import AS_ROOT, FAULTS, tried
from tonearm.runtime.bundle import Bundle

MOST = 20  # tries of a fault in every run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle]:
    """An old and a new bundle."""
    return bundles(tmp_path_factory.mktemp("bundles"))


@pytest.mark.parametrize("name", FAULTS)
def test_a_deploy_survives(name: str, both: tuple[Bundle, Bundle]) -> None:
    if name in AS_ROOT and os.getuid():
        pytest.skip("only root can mount")
    losses = tried(name, min(FAULTS[name][1], MOST), both)
    assert not losses, "\n".join(losses)


def test_every_fault_is_told_apart() -> None:
    assert len({about for about, *_ in FAULTS.values()}) == len(FAULTS)
