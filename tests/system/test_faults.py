"""Nothing is lost, whatever happens to a deploy; `python tests/support/faults.py` tries it more often."""

from __future__ import annotations

import pytest
from fault_boards import bundles
from fault_host import WITH_QEMU, obstacle
from faults import FAULTS, tried
from tonearm.runtime.bundle import Bundle

MOST = 20  # tries of a fault in every run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[Bundle, Bundle]:
    """An old and a new bundle."""
    return bundles(tmp_path_factory.mktemp("bundles"))


OF_VIRTUAL = [pytest.param(name, marks=pytest.mark.virtual) for name in WITH_QEMU]


@pytest.mark.parametrize("name", [*(name for name in FAULTS if name not in WITH_QEMU), *OF_VIRTUAL])
def test_a_deploy_survives(name: str, both: tuple[Bundle, Bundle]) -> None:
    if reason := obstacle(name):
        pytest.skip(reason)
    losses = tried(name, min(FAULTS[name][1], MOST), both)
    assert not losses, "\n".join(losses)


def test_every_fault_is_told_apart() -> None:
    assert len({about for about, *_ in FAULTS.values()}) == len(FAULTS)
