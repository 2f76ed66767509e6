"""The whole chain, from the original implementation to the boards: it holds, and where it is broken it says so."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from commands import process, tonearm
from places import ROOT
from tonearm.bench.fidelity import difference
from tonearm.models.catalogue import MODELS

GOLDEN = ROOT / "tests" / "golden"
TRAINED = sorted(path.stem for path in GOLDEN.glob("*.npz"))


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work where the project lies."""
    monkeypatch.chdir(ROOT)


def rows(markdown: str) -> dict[str, list[str]]:
    """The cells of a table of models by the first one."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines() if "|" in line]
    return {name: cells for name, *cells in lines if name in MODELS}


def errors(cells: list[str]) -> list[float]:
    """The greatest differences of a row, as far as there is one."""
    return [float(cell.split(",")[0]) for cell in cells[1:] if cell != "-"]


def test_the_chain_holds_with_vectors_of_the_original_and_without() -> None:
    found = rows(tonearm("verify", "ddx7-reduced-piano", "wavetable-full", "--boards", "loopback").stdout)
    assert found["ddx7-reduced-piano"][0] == "original"
    assert found["wavetable-full"][:2] == ["offline", "-"]
    assert [len(errors(found[name])) for name in ("ddx7-reduced-piano", "wavetable-full")] == [4, 3]
    assert all(0 < error < 1e-4 for cells in found.values() for error in errors(cells))


@pytest.mark.slow
@pytest.mark.virtual
def test_the_chain_holds_to_the_virtual_board_for_every_vector_of_the_original() -> None:
    try:
        found = rows(process("verify", *TRAINED, "--boards", "loopback", "virtual").stdout)
    finally:
        process("board", "down", "virtual")
    assert len(found) == len(TRAINED) == 6
    for name, cells in found.items():
        assert len(errors(cells)) == 5, name
        assert max(errors(cells)) < 1e-4, name


def test_a_sound_that_is_not_the_originals_is_named(tmp_path: Path) -> None:
    for suffix in (".npz", ".pt"):
        shutil.copy(GOLDEN / f"hpn-reduced{suffix}", tmp_path)
    vectors = dict(np.load(tmp_path / "hpn-reduced.npz"))
    vectors["out.noise_audio"][5000] += 0.01
    np.savez(tmp_path / "hpn-reduced.npz", **vectors)
    done = tonearm("verify", "hpn-reduced", "--boards", "--golden", tmp_path, status=1)
    assert done.stderr.splitlines()[-1] == "tonearm: more than 0.0001 of full scale apart: hpn-reduced"
    offline, *others = errors(rows(done.stdout)["hpn-reduced"])
    assert offline > 1e-4 > max(others)


def test_nothing_to_verify_is_wrong_usage() -> None:
    assert "name a model, or --all" in tonearm("verify", status=2).stderr


def test_the_readmes_table_has_every_model_and_every_link_holds() -> None:
    section = re.search(r"## Fidelity\n(.*)", (ROOT / "models" / "README.md").read_text(), re.DOTALL)
    assert section
    found = rows(section[1])
    assert list(found) == list(MODELS)
    for name, cells in found.items():
        assert (cells[0] == "original") == (name in TRAINED), name
        assert len(errors(cells)) == (5 if name in TRAINED else 4), name
        assert max(errors(cells)) < 1e-4, name


def test_a_difference_is_its_greatest_value_and_its_energy() -> None:
    wanted = np.array([0.0, 2.0, -1.0, 0.0])
    found = difference(wanted, np.array([0.0, 2.0, -0.9, 0.0]))
    assert found.error == pytest.approx(0.05)
    assert found.snr_db == pytest.approx(10 * np.log10(5 / 0.01))
    assert str(found) == "5.0e-02, 27 dB"
    assert str(difference(wanted, wanted)) == "equal"
