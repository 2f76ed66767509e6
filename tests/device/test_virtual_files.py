"""Files of the virtual board that are damaged or left over are seen for what they are, without a machine."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tonearm.device.errors import BoardError
from tonearm.device.ssh.keys import ensure_key
from tonearm.device.virtual import disk, image, qemu, rootfs
from tonearm.device.virtual.process import processes

needs_qemu = pytest.mark.skipif(not rootfs.has_program("qemu-img"), reason="QEMU is not installed")


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """An image whose disk is empty."""
    folder = tmp_path / "base"
    folder.mkdir()
    for name in ("vmlinuz", "initrd.gz"):
        (folder / name).write_bytes(b"some")
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", folder / disk.BASE, "64M"], check=True)
    return folder


@pytest.fixture
def machine(tmp_path: Path, base: Path) -> Path:
    """The folder of a machine that is down, with a disk on that image."""
    folder = tmp_path / "machine"
    folder.mkdir()
    disk.make(folder, base)
    return folder


@needs_qemu
def test_a_good_disk_fits_its_image_and_is_not_damaged(machine: Path, base: Path) -> None:
    assert (disk.misfit(machine, base), disk.damage(machine)) == ("", "")


@needs_qemu
@pytest.mark.parametrize("mark", [b"", b"\xff\xfe", b"/elsewhere 1 2"])
def test_a_disk_with_a_damaged_mark_is_not_taken_for_one_of_the_image(machine: Path, base: Path, mark: bytes) -> None:
    (machine / "image").write_bytes(mark)
    assert disk.misfit(machine, base)
    disk.make(machine, base)
    assert not disk.misfit(machine, base)


@needs_qemu
@pytest.mark.parametrize("content", [b"", b"\x00" * 4096, bytes(range(256)) * 1024, "cut", "refcounts"])
def test_a_damaged_disk_is_seen_before_a_machine_starts_from_it(machine: Path, content: bytes | str) -> None:
    file = machine / disk.DISK
    written = bytearray(file.read_bytes())
    if content == "refcounts":
        written[48:56] = (1 << 40).to_bytes(8, "big")  # where the table of them lies
    file.write_bytes(content if isinstance(content, bytes) else written[:70_000] if content == "cut" else written)
    assert disk.damage(machine).startswith("it is damaged: ")


@needs_qemu
def test_a_disk_that_somebody_else_uses_is_not_called_damaged(machine: Path) -> None:
    writes = ["qemu-io", "-f", "qcow2", str(machine / disk.DISK)]
    with subprocess.Popen(writes, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin and other.stdout
        other.stdin.write("length\n")
        other.stdin.flush()
        assert other.stdout.readline()  # it has the disk open
        with pytest.raises(BoardError, match="lock"):
            disk.damage(machine)
        other.stdin.close()
    assert not disk.damage(machine)


@needs_qemu
def test_an_image_is_whole_only_as_it_was_noted(base: Path) -> None:
    assert image.is_there(base) and image.is_intact(base)
    image.note(base)
    assert image.is_there(base) and image.is_intact(base)
    (base / "vmlinuz").write_bytes(b"same")
    assert image.is_there(base) and not image.is_intact(base)
    (base / "vmlinuz").write_bytes(b"shorter"[:3])
    assert not image.is_there(base)
    (base / image.SUMS).write_bytes(b"\xff")
    assert image.is_there(base)  # nothing is known of it
    (base / disk.BASE).unlink()
    assert not image.is_there(base)
    image.discard(base)
    assert not base.exists()


@pytest.mark.parametrize("content", ["", "x", "-1", "0", "1", "OURS", "99999999999999999999"])
def test_no_number_in_a_file_makes_a_machine_of_another_process(content: str) -> None:
    folder = qemu._folder("virtual-none")
    folder.mkdir(parents=True)
    (folder / "pid").write_text(content.replace("OURS", str(os.getpid())))
    (folder / "endpoint.json").write_text("{}")
    assert qemu.endpoint("virtual-none") is None
    assert not qemu.down("virtual-none")


def test_a_program_that_only_names_the_files_of_a_machine_is_not_taken_for_it(tmp_path: Path) -> None:
    words = [sys.executable, "-c", "input()", "-pidfile", str(tmp_path / "pid"), str(tmp_path / "disk.qcow2")]
    with subprocess.Popen(words, stdin=subprocess.PIPE) as other:
        (tmp_path / "pid").write_text(str(other.pid))
        assert processes(tmp_path) == []
        other.kill()


def test_a_damaged_key_of_a_built_in_board_is_replaced_and_put_aside(tmp_path: Path) -> None:
    first = ensure_key(tmp_path / "key")
    shutil.copy(tmp_path / "key", tmp_path / "before")
    (tmp_path / "key").write_bytes(b"half of a k")
    second = ensure_key(tmp_path / "key")
    assert second != first and second == ensure_key(tmp_path / "key")
    assert (tmp_path / "key.damaged").read_bytes() == b"half of a k"
    assert ensure_key(tmp_path / "before") == first
