"""What a file is that is no checkpoint, told by how it begins, and what to do with it. Nothing here needs torch."""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import CheckpointError

SAFETENSORS = ".safetensors"
SUFFIXES = (SAFETENSORS, ".pt", ".pth", ".ckpt")
ZIP = b"PK\x03\x04"
LEGACY = (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19", b"\x80\x04\x95", b"L11954703714603")  # a magic number, pickled
MAX_HEADER = 2**32  # bytes of a safetensors file's header: text read as a number is more
AGAIN = "copy or download it again"
OURS = "weights are read from .safetensors, .pt, .pth and .ckpt"
IMPORT = "tonearm import takes ONNX graphs"

# How files begin, what they are then, and what to do.
BEGINNINGS: tuple[tuple[bytes, str], ...] = (
    (b"\x1f\x8b", "is compressed with gzip: unpack it (gunzip, or tar xzf for a .tar.gz), and give the file inside"),
    (b"BZh", "is compressed with bzip2: unpack it (bunzip2 or tar xjf), and give the file inside"),
    (b"\xfd7zXZ\x00", "is compressed with xz: unpack it (unxz or tar xJf), and give the file inside"),
    (b"\x28\xb5\x2f\xfd", "is compressed with zstd: unpack it (unzstd or tar --zstd -xf), and give the file inside"),
    (b"7z\xbc\xaf\x27\x1c", "is a 7z archive: unpack it (7z x), and give the file inside"),
    (b"Rar!", "is a RAR archive: unpack it, and give the file inside"),
    (b"\x89HDF\r\n\x1a\n", f"is an HDF5 file, as Keras and TensorFlow write them: {OURS}"),
    (b"\x93NUMPY", f"is an array of NumPy: {OURS}"),
    (b"GGUF", f"is a GGUF file: {OURS}"),
    (b"RIFF", f"is a recording: {OURS}"),
    (b"fLaC", f"is a recording: {OURS}"),
    (b"%PDF", f"is a PDF: {OURS}"),
    (b"\x7fELF", f"is a program: {OURS}"),
    (b"\x89PNG", f"is a picture: {OURS}"),
)


def read_file(path: Path) -> bytes:
    """The content of a checkpoint; `CheckpointError` where there is none, or a folder."""
    try:
        if path.is_dir():
            raise CheckpointError(f"{path} {_folder(path)}")
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"no checkpoint at {path}: {error.strerror}") from error


def _folder(path: Path) -> str:
    names = sorted(one.name for one in path.iterdir())
    if "saved_model.pb" in names:
        return f"is a folder with a SavedModel of TensorFlow: {OURS}"
    if ".metadata" in names and any(name.endswith(".distcp") for name in names):
        return (
            "is a folder of torch.distributed.checkpoint: make one file of it with "
            "python -m torch.distributed.checkpoint.format_utils dcp_to_torch FOLDER FILE"
        )
    files = [name for name in names if name.endswith(SUFFIXES)]
    return f"is a folder: give a file in it, such as {files[0]}" if files else f"is a folder, not a file: {OURS}"


def is_safetensors(content: bytes) -> bool:
    """Whether it begins with the length of a header, which is JSON; `CheckpointError` where the end is missing."""
    length = int.from_bytes(content[:8], "little")
    if content[8:9] != b"{" or length >= MAX_HEADER:
        return False
    try:
        header = json.loads(content[8 : 8 + length]) if 8 + length <= len(content) else None
        ends = [one["data_offsets"][1] for name, one in (header or {}).items() if name != "__metadata__"]
        whole = 8 + length + max(ends, default=0)
    except Exception:  # whatever is wrong with it, safetensors says so
        return True
    if header is None or whole > len(content):
        raise CheckpointError(f"is cut short: it has {len(content)} of at least {whole} bytes; {AGAIN}")
    return True


def refuse_others(content: bytes, suffix: str) -> None:
    """`CheckpointError`, to be put after the file's name, for a file of another kind than `torch.save` writes."""
    if not content:
        raise CheckpointError(f"is empty (0 bytes): {AGAIN}")
    for beginning, said in BEGINNINGS:
        if content.startswith(beginning):
            raise CheckpointError(said)
    if content[257:262] == b"ustar":
        raise CheckpointError("is a tar archive: unpack it (tar xf), and give the file inside")
    if content[4:8] == b"TFL3":
        raise CheckpointError(f"is a model of TensorFlow Lite: {OURS}")
    if said := _text(content) or _protobuf(content, suffix):
        raise CheckpointError(said)


def _text(content: bytes) -> str:
    """What a text is; empty for what is none."""
    if content.startswith(LEGACY):
        return ""
    start = content[:4096].lstrip(b"\xef\xbb\xbf \t\r\n")
    if start.startswith(b"version https://git-lfs"):
        size = re.search(rb"\nsize (\d{1,20})", content[:1024])
        instead = f"stands for {int(size[1])} bytes of weights" if size else "stands for the weights"
        return f"is a pointer of Git LFS, which {instead}: get them with git lfs pull in the repository"
    if start[:1] in (b"{", b"["):
        return _json(content)
    if re.match(rb"(?i)<(!doctype html|html|head|body|script)", start):
        return "is a web page, saved instead of the file: use the site's link for the download (or for the raw file)"
    if start.startswith((b"<?xml", b"<Error")):
        return f"is a server's answer, not the file: {_quoted(start)}; {AGAIN}"
    return f"is text, which begins with {_quoted(start)}: {OURS}" if _is_text(content) else ""


def _is_text(content: bytes) -> bool:
    try:
        text = content[:512].decode()
    except UnicodeDecodeError:
        return False
    return all(letter.isprintable() or letter in "\t\r\n" for letter in text)


def _quoted(start: bytes) -> str:
    """The first line of a text, safe to show."""
    return ascii(start[:60].decode(errors="replace").splitlines()[0] if start else "")


def _json(content: bytes) -> str:
    try:
        found: Any = json.loads(content)
    except (ValueError, RecursionError):
        return f"is text, which begins with {_quoted(content.lstrip())}: {OURS}" if _is_text(content) else ""
    if not isinstance(found, dict):
        return f"is JSON: {OURS}"
    if isinstance(found.get("weight_map"), dict):
        files = sorted({str(name) for name in found["weight_map"].values()})
        return f"is the index of weights in {len(files)} files: join them in one .safetensors, and give that"
    if "weights" in found and "architecture" in found:
        return f"is a model of Neural Amp Modeler (.nam): {IMPORT}, so export it as one first"
    answers = [found[name] for name in ("error", "message", "detail", "errors") if found.get(name)]
    if answers:
        said = ascii(str(answers[0])[:100])
        return f"is a server's answer, not the file: {said}; log in where that is needed, and {AGAIN}"
    return f"is JSON, with {len(found)} entries: {OURS}"


def _protobuf(content: bytes, suffix: str) -> str:
    """What a file of TensorFlow or ONNX is, which has no beginning of its own."""
    if suffix.lower() == ".onnx" or re.match(rb"\x08[\x01-\x20](\x12.|\x1a.|\x22|\x3a)", content, re.S):
        return "is an ONNX graph: use tonearm import"
    if suffix.lower() == ".pb":
        return f"is a graph of TensorFlow: {OURS}"
    return ""


def refuse_other_zips(names: Iterable[str]) -> None:
    """`CheckpointError` for the names in a zip that `torch.save` did not write."""
    inside = [PurePosixPath(name) for name in names]
    last = {path.name for path in inside}
    checks: tuple[tuple[Callable[[], bool], str], ...] = (
        (
            lambda: "archive_format" in last or "serialized_exported_program.json" in last,
            "is a program of torch.export: save the weights alone, torch.save(model.state_dict(), path)",
        ),
        (
            lambda: "constants.pkl" in last,
            "is a TorchScript program: save the weights alone, torch.save(model.state_dict(), path)",
        ),
        (lambda: "model.weights.h5" in last, f"is a model of Keras: {OURS}"),
        (
            lambda: any(path.suffix in SUFFIXES for path in inside),
            "is a zip archive: unpack it, and give the file inside",
        ),
    )
    for is_so, said in checks:
        if is_so():
            raise CheckpointError(said)


def what_is_wrong(content: bytes, error: Exception) -> str:
    """In words, after the file's name, why it can't be read."""
    reason = "" if isinstance(error, KeyError) else (str(error) or type(error).__name__).splitlines()[0][:200]
    if content.startswith(ZIP) and isinstance(error, zipfile.BadZipFile):
        return f"is cut short or damaged ({len(content)} bytes, and no end of a zip archive): {AGAIN}"
    if content.startswith((ZIP, *LEGACY)) or content[8:9] == b"{":
        return f"is cut short or damaged ({reason or 'not a pickle'}): {AGAIN}"
    return f"is no file of torch.save or safetensors, or damaged: {OURS}"
