"""A file appears whole or not at all."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from tonearm.runtime.files import whole

OLD, NEW = b"old", b"new" * 1000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty one."""
    (tmp_path / "here").mkdir()
    return tmp_path / "here"


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def write(path: Path, content: bytes = NEW) -> None:
    with whole(path) as part:
        part.write_bytes(content)


@pytest.mark.parametrize("there", [True, False])
def test_a_file_that_was_written_takes_its_place(folder: Path, there: bool) -> None:
    path = folder / "out.wav"
    if there:
        path.write_bytes(OLD)
        path.chmod(0o640)
    write(path)
    assert path.read_bytes() == NEW and names(folder) == ["out.wav"]
    assert not there or path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, OSError])
def test_a_file_that_was_not_finished_leaves_what_was_there(folder: Path, error: type[BaseException]) -> None:
    path = folder / "out.wav"
    path.write_bytes(OLD)
    with pytest.raises(error), whole(path) as part:
        part.write_bytes(NEW)
        raise error
    assert path.read_bytes() == OLD and names(folder) == ["out.wav"]


FULL = """
import sys, resource
from pathlib import Path
from tonearm.runtime.files import whole
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    with whole(Path(sys.argv[1])) as part:
        part.write_bytes(bytes(3000))
except OSError as error:
    print(error.filename, error.strerror)
"""


def test_what_there_is_no_room_for_leaves_what_was_there_and_says_which_file(folder: Path) -> None:
    path = folder / "out.wav"
    path.write_bytes(OLD)
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True)
    assert done.stdout == f"{path} File too large\n"
    assert path.read_bytes() == OLD and names(folder) == ["out.wav"]


def test_a_link_stays_one(folder: Path) -> None:
    (folder / "link").symlink_to("target")
    write(folder / "link")
    assert (folder / "link").is_symlink() and (folder / "target").read_bytes() == NEW


def test_a_pipe_is_written_to(folder: Path) -> None:
    pipe, read = folder / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    write(pipe)
    reader.join(60)
    assert read == [NEW] and pipe.is_fifo()


@pytest.mark.parametrize("name", ["nowhere/out.wav", "file/out.wav"])
def test_what_can_not_be_written_is_named(folder: Path, name: str) -> None:
    (folder / "file").write_bytes(OLD)
    with pytest.raises(OSError) as told:
        write(folder / name)
    assert told.value.filename == str(folder / name)


def test_a_name_as_long_as_a_folder_takes_can_be_written(folder: Path) -> None:
    path = folder / ("\N{CJK UNIFIED IDEOGRAPH-97F3}" * 83 + ".wav")
    write(path)
    assert path.read_bytes() == NEW and len(names(folder)) == 1


def test_a_link_to_itself_is_an_error_with_its_name(folder: Path) -> None:
    (folder / "loop").symlink_to("loop")
    with pytest.raises(OSError) as told:
        write(folder / "loop" / "out.wav")
    assert str(folder / "loop") in str(told.value.filename)


def test_standard_output_that_goes_to_a_file_is_written_to(folder: Path) -> None:
    words = (
        "from pathlib import Path; from tonearm.runtime.files import whole\nwith whole(Path('/dev/stdout')) as part:\n"
    )
    words += "    part.open('a').write('new')"
    (folder / "out").write_bytes(OLD)
    with (folder / "out").open("ab") as stream:
        subprocess.run([sys.executable, "-c", words], stdout=stream, check=True)
    assert (folder / "out").read_bytes() == OLD + b"new"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root mounts")
def test_a_file_that_is_mounted_by_itself_is_written_over(folder: Path) -> None:
    (folder / "out").write_bytes(OLD)
    words = f'mount --bind {folder}/out {folder}/out && {sys.executable} -c "$0" {folder}/out'
    script = "import sys; from pathlib import Path; from tonearm.runtime.files import whole\n"
    script += "with whole(Path(sys.argv[1])) as part: part.write_bytes(b'new')"
    subprocess.run(["unshare", "--mount", "sh", "-c", words, script], check=True, capture_output=True, timeout=60)
    assert (folder / "out").read_bytes() == b"new" and names(folder) == ["out"]
