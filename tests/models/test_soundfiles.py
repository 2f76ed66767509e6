"""A recording that has lost its end is refused, with how long it was, how long it is, and how to keep that."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from commands import tonearm
from sounds import write_takes, write_tone
from tonearm.bench.controls import read_controls
from tonearm.models.errors import RecordingError
from tonearm.models.sound.features import read_recording
from tonearm.models.sound.soundfiles import read_sound
from tonearm.models.training.dataset import folder_data
from tonearm.runtime.bundle import Bundle, Signal
from tonearm.runtime.progress import unwatched


def sound(path: Path, **how: Any) -> bytes:
    write_tone(path, 2.0)
    samples, rate = soundfile.read(path, dtype="float32")
    soundfile.write(path, samples, rate, **how)
    return path.read_bytes()


def at_data(content: bytes, size: int, riff: int | None = None) -> bytes:
    """The file with another length of its sound, and of all."""
    place = content.index(b"data") + 4
    changed = content[:place] + struct.pack("<I", size) + content[place + 4 :]
    return changed if riff is None else changed[:4] + struct.pack("<I", riff) + changed[8:]


FORMATS = [
    {"format": "WAV", "subtype": "PCM_16"},
    {"format": "WAV", "subtype": "PCM_24"},
    {"format": "WAVEX", "subtype": "FLOAT"},
    {"format": "RF64", "subtype": "PCM_16"},
    {"format": "WAV", "subtype": "IMA_ADPCM"},
    {"format": "WAV", "subtype": "PCM_16", "endian": "BIG"},
]


@pytest.mark.parametrize("how", FORMATS)
def test_a_recording_that_is_whole_is_read(tmp_path: Path, how: dict[str, str]) -> None:
    content = sound(tmp_path / "a.wav", **how)
    (tmp_path / "tagged.wav").write_bytes(content + b"LIST\x04\x00\x00\x00INFO")
    for name in ("a.wav", "tagged.wav"):
        samples, rate = read_sound(tmp_path / name)
        assert np.array_equal(samples, soundfile.read(tmp_path / "a.wav", dtype="float32", always_2d=True)[0])
        assert rate == 16_000


@pytest.mark.parametrize("how", FORMATS)
def test_a_cut_recording_says_how_long_it_should_be_and_is(tmp_path: Path, how: dict[str, str]) -> None:
    content = sound(tmp_path / "a.wav", **how)
    start = content.index(b"data") + 8
    (tmp_path / "a.wav").write_bytes(content[: start + (len(content) - start) // 4])
    said = r"a\.wav is cut short: it should last 2\.0\d s and has 0\.5\d s; copy it again, or use what there is: ff"
    with pytest.raises(RecordingError, match=said):
        read_sound(tmp_path / "a.wav")


def test_a_cut_flac_says_how_long_it_should_be_and_is(tmp_path: Path) -> None:
    content = sound(tmp_path / "a.flac", format="FLAC")
    (tmp_path / "a.flac").write_bytes(content[: len(content) // 2])
    with pytest.raises(RecordingError, match=r"a\.flac is cut short: it should last 2\.00 s and has [01]\.\d\d s"):
        read_sound(tmp_path / "a.flac")


def test_a_flac_of_a_stream_is_refused_with_what_to_do(tmp_path: Path) -> None:
    content = bytearray(sound(tmp_path / "a.flac", format="FLAC"))
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    (tmp_path / "a.flac").write_bytes(content)
    with pytest.raises(RecordingError, match=r"a\.flac does not say how long it is.* -i .*a\.flac a-kept\.wav$"):
        read_sound(tmp_path / "a.flac")


@pytest.mark.parametrize(
    "unfinished",
    [
        lambda content: at_data(content, 0, 0),
        lambda content: at_data(content, 0, 36),
        lambda content: at_data(content, 0xFFFFFFFF, 0xFFFFFFFF),
        lambda content: at_data(content, 0x7FFFF000, 0x7FFFF024),
        lambda content: at_data(content, 0xFFFFFFFF, 0xFFFFFFFF)[:30_044],
    ],
)
def test_a_recorder_that_was_cut_off_is_said_to_be(tmp_path: Path, unfinished: Callable[[bytes], bytes]) -> None:
    content = unfinished(sound(tmp_path / "a.wav", format="WAV", subtype="PCM_16"))
    (tmp_path / "a.wav").write_bytes(content)
    length = (len(content) - 44) / 32_000
    said = rf"a\.wav was not finished: its header does not say how long it is, and it has {length:.2f} s; to use"
    with pytest.raises(RecordingError, match=said):
        read_sound(tmp_path / "a.wav")


def test_a_long_recording_whose_length_was_never_written_is_said_to_be(tmp_path: Path) -> None:
    content = bytearray(sound(tmp_path / "a.wav", format="RF64", subtype="PCM_16"))
    content[20:44] = bytes(24)
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(RecordingError, match=r"a\.wav was not finished: .*and it has 2\.00 s"):
        read_sound(tmp_path / "a.wav")


def test_a_recording_of_nothing_is_empty_not_cut(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.zeros(0, np.float32), 16_000)
    with (tmp_path / "a.wav").open("ab") as stream:
        stream.write(b"LIST\x04\x00\x00\x00INFO")
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(content[:4] + struct.pack("<I", len(content) - 8) + content[8:])
    assert read_sound(tmp_path / "a.wav")[0].shape == (0, 1)


def test_it_is_said_wherever_recordings_are_read(tmp_path: Path, golden_bundle: Bundle) -> None:
    folder = write_takes(tmp_path / "takes")
    cut = folder / "take-2.wav"
    cut.write_bytes(cut.read_bytes()[:30_000])
    as_audio = replace(golden_bundle, inputs=(Signal("audio", 64),), latency=0)
    ways: list[Callable[[], object]] = [
        lambda: read_recording(cut),
        lambda: read_controls(cut, golden_bundle),
        lambda: read_controls(cut, as_audio),
        lambda: folder_data(folder, unwatched, tmp_path / "cache"),
    ]
    for read in ways:
        with pytest.raises(RecordingError, match=r"take-2\.wav is cut short: it should last 1\.50 s and has 0\.94 s"):
            read()
    arguments = ["--board", "loopback", "--input", cut, "-o", tmp_path / "out.wav"]
    done = tonearm("render", golden_bundle.folder, *arguments, status=1)
    assert "take-2.wav is cut short" in done.stderr
    assert not (tmp_path / "out.wav").exists()


@pytest.mark.parametrize("subtype", ["GSM610", "ULAW", "ALAW"])
def test_a_codec_of_telephones_is_read(tmp_path: Path, subtype: str) -> None:
    content = sound(tmp_path / "take.wav", format="WAV", subtype=subtype)
    assert content
    samples, rate = read_sound(tmp_path / "take.wav")
    assert len(samples) >= 2 * rate


def test_a_length_that_counts_the_header_is_no_cut(tmp_path: Path) -> None:
    content = sound(tmp_path / "take.wav", format="WAV", subtype="PCM_16")
    size = struct.unpack("<I", content[content.index(b"data") + 4 :][:4])[0]
    (tmp_path / "take.wav").write_bytes(at_data(content, size + 36))
    assert len(read_sound(tmp_path / "take.wav")[0]) == size // 2
