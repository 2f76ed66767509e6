"""A bundle's manifest is believed only where it makes sense, its files only where they match it."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tonearm.runtime.bundle import MANIFEST, Bundle, Provenance, read_bundle
from tonearm.runtime.errors import BundleError

Place = tuple[str | int, ...]
GONE = object()
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
ODD = st.sampled_from([GONE, "../x", "/etc/passwd", "", -1, 0, 10**400, 1e400, "64", "9" * 5000, [], {}, None, True])


@pytest.fixture(scope="session")
def manifest(golden_bundle: Bundle) -> dict[str, Any]:
    """A real manifest. Tests change copies of it."""
    return json.loads((golden_bundle.folder / MANIFEST).read_text())


@pytest.fixture
def copied(golden_bundle: Bundle, tmp_path: Path) -> Bundle:
    """A whole bundle that a test may damage."""
    shutil.copytree(golden_bundle.folder, tmp_path / "bundle")
    return read_bundle(tmp_path / "bundle")


def changed(manifest: Any, place: Place, value: Any) -> Any:
    """A copy with `value` at `place`, or without that place."""
    result = inner = copy.deepcopy(manifest)
    if not place:
        return value
    for key in place[:-1]:
        inner = inner[key]
    if value is GONE:
        del inner[place[-1]]
    else:
        inner[place[-1]] = value
    return result


def read_manifest(folder: Path, manifest: Any) -> Bundle:
    (folder / MANIFEST).write_text(json.dumps(manifest))
    return read_bundle(folder)


def places(value: Any, at: Place = ()) -> list[Place]:
    """Every place in a JSON value, from the whole inwards."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(place for key, item in inner for place in places(item, (*at, key)))]


def test_a_whole_bundle_reads_and_matches_its_manifest(golden_bundle: Bundle) -> None:
    again = read_bundle(golden_bundle.folder)
    again.check_files()
    assert again == golden_bundle


def test_the_digest_is_of_every_byte_of_the_manifest(copied: Bundle) -> None:
    path = copied.folder / MANIFEST
    path.write_bytes(path.read_bytes() + b"\n")
    assert read_bundle(copied.folder).digest != copied.digest


@pytest.mark.parametrize("where", ["nowhere", "folder"])
def test_where_there_is_no_bundle_the_folder_is_named(tmp_path: Path, where: str) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(BundleError, match=f"no bundle in .*/{where}: No such file"):
        read_bundle(tmp_path / where)


@pytest.mark.parametrize(
    "content",
    [b"", b"block 64", b"\xff\xfe", b'{"format": 1', b"[]", b"null", b"1", b'"text"', b"{}", b"[" * 100_000],
    ids=lambda content: repr(content[:12]),
)
def test_what_is_no_manifest_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / MANIFEST).write_bytes(content)
    with pytest.raises(BundleError, match=r"manifest\.json is not a manifest"):
        read_bundle(tmp_path)


@pytest.mark.parametrize("format_number", [2, 0, "1", None])
def test_a_format_from_the_future_is_refused_with_both_numbers(
    tmp_path: Path, manifest: dict[str, Any], format_number: Any
) -> None:
    with pytest.raises(BundleError, match=f"has bundle format {format_number!r}, this tonearm reads 1"):
        read_manifest(tmp_path, manifest | {"format": format_number})


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *(((field,), GONE) for field in ("name", "hop", "inputs", "states", "graphs", "files", "golden", "source")),
        *(((field,), 7) for field in ("name", "precision", "weights", "source", "golden", "inputs", "files")),
        *(((field,), value) for field in ("sample_rate", "hop") for value in (0, -64, 64.0, "64", True, None)),
        (("latency",), -1),
        (("latency",), 1.5),
        *((("tolerance",), value) for value in ("much", None, [], -1e-4, float("nan"), float("inf"), 10**400)),
        (("inputs", 0), "f0_hz"),
        (("inputs", 0, "name"), None),
        (("inputs", 0, "width"), 0),
        (("outputs", 0, "width"), "64"),
        (("states", 0, "dtype"), "object"),
        (("states", 0, "dtype"), ["float32"]),
        (("states", 0, "shape"), 3),
        (("states", 0, "shape", 0), -1),
        (("states", 0, "shape", 0), 1.0),
        (("graphs",), {}),
        (("graphs",), {"sixty-four": "block-64.onnx"}),
        (("graphs",), {"-64": "block-64.onnx"}),
        (("graphs",), {"100": "block-64.onnx"}),
        (("graphs", "64"), "block-128.onnx"),
        (("golden",), "other.npz"),
        (("files", "weights.bin", "size"), -1),
        (("files", "weights.bin", "sha256"), 12),
        (("files", "weights.bin"), "weights"),
        (("parameters", "decoder"), -1),
        (("parameters",), [1, 2]),
        (("provenance",), 7),
        (("provenance", "kind"), "stolen"),
        (("provenance", "source"), ["a"]),
        (("provenance", "digest"), "0123"),
    ],
    ids=lambda value: (
        ".".join(map(str, value)) if isinstance(value, tuple) else "gone" if value is GONE else repr(value)[:20]
    ),
)
def test_a_field_that_makes_no_sense_is_refused(
    tmp_path: Path, manifest: dict[str, Any], place: Place, value: Any
) -> None:
    with pytest.raises(BundleError, match=r"manifest\.json is not a manifest"):
        read_manifest(tmp_path, changed(manifest, place, value))


@pytest.mark.parametrize(
    "name", ["../../.ssh/id_ed25519", "/etc/passwd", "a/b", "..", ".", "", ".hidden", "a\0b", "x\n"]
)
def test_names_that_leave_the_folder_are_refused(tmp_path: Path, manifest: dict[str, Any], name: str) -> None:
    entry = manifest["files"]["weights.bin"]
    for changes in ({"files": manifest["files"] | {name: entry}}, {"name": name}):
        with pytest.raises(BundleError, match="is not a plain file name"):
            read_manifest(tmp_path, manifest | changes)
    for changes in ({"golden": name}, {"graphs": {"64": name}}):
        with pytest.raises(BundleError, match="is not among the bundle's files"):
            read_manifest(tmp_path, manifest | changes)


def test_a_block_it_does_not_have_is_refused_with_those_it_has(golden_bundle: Bundle) -> None:
    with pytest.raises(BundleError, match=r"hpn-reduced has no graph for blocks of 128 samples, only \[64, 256\]"):
        golden_bundle.graph(128)


def test_where_the_weights_come_from_is_read_as_it_was_written(tmp_path: Path, manifest: dict[str, Any]) -> None:
    fields = {"kind": "checkpoint", "source": "a.pt", "digest": "0" * 64}
    found = read_manifest(tmp_path, manifest | {"weights": "checkpoint a.pt", "provenance": fields})
    assert found.provenance == Provenance("checkpoint a.pt", "checkpoint", "a.pt", "0" * 64)


@pytest.mark.parametrize(
    ("text", "kind", "source"),
    [
        ("untrained: random, seed 0, heads fitted to the loudness", "untrained", ""),
        ("trained, comes with Tonearm, sha256 4aee52a909fdea25", "trained", ""),
        ("checkpoint last, best.ckpt, sha256 4aee52a909fdea25", "checkpoint", "last, best.ckpt"),
        ("imported from amp.onnx, sha256 4aee52a909fdea25", "graph", "amp.onnx"),
        ("amp:build, no weights", "module", "amp:build"),
        ("amp:build, weights sha256 4aee52a909fdea25", "module", "amp:build"),
        ("golden", "other", ""),
    ],
)
def test_a_manifest_of_before_says_in_its_text_where_the_weights_come_from(
    tmp_path: Path, manifest: dict[str, Any], text: str, kind: str, source: str
) -> None:
    before = {key: value for key, value in manifest.items() if key != "provenance"} | {"weights": text}
    assert read_manifest(tmp_path, before).provenance == Provenance(text, kind, source)


@pytest.mark.parametrize("name", ["block-64.onnx", "block-256.onnx", "weights.bin", "golden.npz"])
def test_a_missing_file_is_named(copied: Bundle, name: str) -> None:
    (copied.folder / name).unlink()
    with pytest.raises(BundleError, match=f"/{name} is missing"):
        copied.check_files()


@pytest.mark.parametrize("name", ["block-64.onnx", "block-256.onnx", "weights.bin", "golden.npz"])
def test_one_flipped_bit_is_found_and_its_file_named(copied: Bundle, name: str) -> None:
    path = copied.folder / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleError, match=f"/{name} is not what the manifest says"):
        copied.check_files()


def test_a_file_that_grew_is_named(copied: Bundle) -> None:
    with (copied.folder / "weights.bin").open("ab") as weights:
        weights.write(b"\0")
    with pytest.raises(BundleError, match=r"/weights\.bin is not what the manifest says"):
        copied.check_files()


def test_a_link_is_no_file_of_a_bundle(copied: Bundle, tmp_path: Path) -> None:
    path = copied.folder / "weights.bin"
    path.rename(tmp_path / "elsewhere")
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(BundleError, match=r"/weights\.bin is missing"):
        copied.check_files()


@settings(deadline=None, max_examples=200)
@given(data=st.data())
def test_no_manifest_does_worse_than_be_refused(
    tmp_path_factory: pytest.TempPathFactory, manifest: dict[str, Any], data: st.DataObject
) -> None:
    mutated: Any = manifest
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.sampled_from(places(mutated)))
        value = data.draw(ODD | JSON)
        mutated = changed(mutated, place, value if place else None if value is GONE else value)
    try:
        bundle = read_manifest(tmp_path_factory.getbasetemp(), mutated)
    except BundleError as error:
        assert "manifest" in str(error) or "bundle format" in str(error)
    else:
        assert all(Path(name).name == name for name in (*bundle.files, *bundle.graphs.values(), bundle.golden))


@pytest.mark.parametrize("name", ["/layer/memory", "file", "../memory", "allow_pickle"])
def test_a_state_of_an_earlier_version_keeps_its_name(golden_bundle: Bundle, tmp_path: Path, name: str) -> None:
    shutil.copytree(golden_bundle.folder, tmp_path / "old")
    manifest = json.loads((tmp_path / "old" / MANIFEST).read_text())
    manifest["states"][0]["name"] = name
    (tmp_path / "old" / MANIFEST).write_text(json.dumps(manifest))
    assert read_bundle(tmp_path / "old").states[0].name == name
