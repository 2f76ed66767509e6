"""From a model's name to its bundle: exported when needed, and nobody's trained weights ever lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tonearm.bench import bundles
from tonearm.bench.bundles import PACKAGE, ensure_bundle, ensure_default, export_model, source_key
from tonearm.bench.errors import BenchError
from tonearm.bench.sweep.cases import graph_key
from tonearm.runtime.bundle import Bundle, Provenance, read_bundle
from tonearm.runtime.errors import BundleError
from tonearm.runtime.progress import unwatched

NAME = "hpn-reduced"
WEIGHTS = Provenance("weights")
BLOCKS = (64, 128, 256)  # three stand for all seven: each takes seconds to trace


@pytest.fixture(autouse=True)
def few_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundles, "BLOCKS", BLOCKS)


@pytest.fixture
def trained(golden_bundle: Bundle, tmp_path: Path) -> Path:
    """A folder of bundles in which the model is there with trained weights."""
    shutil.copytree(golden_bundle.folder, tmp_path / "bundles" / NAME)
    return tmp_path / "bundles"


def test_a_bundle_with_trained_weights_is_used_as_it_is(trained: Path, golden_bundle: Bundle) -> None:
    bundle, line = ensure_bundle(NAME, unwatched, [64], trained)
    assert (bundle.digest, bundle.weights) == (golden_bundle.digest, "golden")
    assert ensure_default(NAME, unwatched, trained) == (bundle, False)
    assert "golden" in line


def test_blocks_that_a_trained_bundle_lacks_are_refused_and_it_stays(trained: Path, golden_bundle: Bundle) -> None:
    with pytest.raises(BenchError, match="no graph for blocks of 512: export it again with --checkpoint"):
        ensure_bundle(NAME, unwatched, [64, 512], trained)
    assert ensure_bundle(NAME, unwatched, [64], trained)[0].digest == golden_bundle.digest


def test_a_damaged_trained_bundle_is_refused_and_not_replaced(trained: Path) -> None:
    weights = trained / NAME / "weights.bin"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(BundleError, match=r"weights\.bin"):
        ensure_bundle(NAME, unwatched, [64], trained)
    assert weights.is_file()


@pytest.mark.slow
def test_an_untrained_bundle_is_exported_once_and_keeps_its_blocks_when_others_are_added(tmp_path: Path) -> None:
    first, _ = ensure_bundle(NAME, unwatched, [64], tmp_path)
    again, line = ensure_bundle(NAME, unwatched, [64], tmp_path)
    assert (again.digest, "already exported" in line) == (first.digest, True)
    more, _ = ensure_bundle(NAME, unwatched, [128], tmp_path)
    assert sorted(more.graphs) == [64, 128]
    assert [graph_key(bundle, 64) for bundle in (first, more)] == [graph_key(first, 64)] * 2
    all_blocks, by_name = ensure_default(NAME, unwatched, tmp_path)
    assert (sorted(all_blocks.graphs), by_name) == ([*BLOCKS], True)


def test_a_bundle_of_weights_that_come_along_is_made_once_and_again_when_others_come(tmp_path: Path) -> None:
    name = "hpn-reduced-flute+cd"
    first, line = ensure_bundle(name, unwatched, [64], tmp_path)
    assert line.startswith(f"{name}: trained, comes with Tonearm, sha256 ")
    assert "already exported" in ensure_bundle(name, unwatched, [64], tmp_path)[1]
    manifest = tmp_path / name / "manifest.json"
    older = manifest.read_text().replace(first.weights, "trained, comes with Tonearm, sha256 0123456789abcdef")
    manifest.write_text(older.replace(first.source, "of then"))
    again, line = ensure_bundle(name, unwatched, [64], tmp_path)
    assert (again.weights, "already exported" in line) == (first.weights, False)


def test_an_export_without_a_folder_never_takes_the_place_of_other_weights(
    trained: Path, golden_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(trained.parent)
    with pytest.raises(BenchError, match=r"bundles/hpn-reduced holds hpn-reduced, golden: move it away, or name .* -o"):
        export_model(NAME, None, [64], unwatched)
    assert read_bundle(trained / NAME).digest == golden_bundle.digest


def test_a_bundle_of_another_name_is_not_taken_for_the_model(trained: Path) -> None:
    manifest = trained / NAME / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"name": "hpn-reduced"', '"name": "hpn-reduced-causal"', 1))
    with pytest.raises(BenchError, match="holds hpn-reduced-causal, not hpn-reduced"):
        ensure_bundle(NAME, unwatched, [64], trained)


def test_a_variant_has_a_folder_of_its_own_and_can_be_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    made, line = export_model(NAME, None, [64], unwatched, causal=True, reverb=False)
    assert made.folder == Path("bundles/hpn-reduced-no-reverb-causal")
    assert (made.latency, made.parameters["reverb"]) == (0, 0)
    assert "causal: 32 samples less latency" in line
    assert ensure_bundle("hpn-reduced-no-reverb-causal", unwatched)[0].digest == made.digest


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """The folders that a bundle may depend on, to change files in."""
    for folder in ("models", "export", "runtime"):
        ignored = shutil.ignore_patterns("checkpoints", "*.flac", "__pycache__")
        shutil.copytree(PACKAGE / folder, tmp_path / folder, ignore=ignored)
    return tmp_path


@pytest.mark.parametrize(
    "file", ["export/write.py", "export/room/new.py", "models/catalogue.py", "models/room/x.py", "runtime/a/b/c.py"]
)
def test_a_bundle_depends_on_the_code_that_it_is_made_with_however_deep_it_lies(package: Path, file: str) -> None:
    before = source_key(WEIGHTS, package)
    (package / file).parent.mkdir(parents=True, exist_ok=True)
    with (package / file).open("a") as source:
        source.write("# changed\n")
    changed = source_key(WEIGHTS, package)
    (package / file).rename((package / file).with_name("renamed.py"))
    assert len({before, changed, source_key(WEIGHTS, package)}) == 3


@pytest.mark.parametrize("file", ["models/training/train.py", "models/training/new.py", "models/sound/new.py"])
def test_a_bundle_does_not_depend_on_what_trains_and_listens(package: Path, file: str) -> None:
    before = source_key(WEIGHTS, package)
    (package / file).parent.mkdir(exist_ok=True)
    with (package / file).open("a") as source:
        source.write("# changed\n")
    assert source_key(WEIGHTS, package) == before


def test_the_key_of_this_code_is_that_of_its_copy(package: Path) -> None:
    assert source_key(WEIGHTS, package) == source_key(WEIGHTS)
