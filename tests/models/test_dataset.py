"""A data set of recordings: whole, cut, analysed once, in three parts that share nothing."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sounds import tone, write_tone
from tonearm.models.constants import HOP, SAMPLE_RATE
from tonearm.models.errors import DataError, RecordingError
from tonearm.models.sound.features import ANALYSIS, analyse
from tonearm.models.training.dataset import DataSet, Phrase, folder_data, instrument_data, read_phrases
from tonearm.models.training.phrases import RECIPE
from tonearm.models.training.soundfont import SOUNDFONT
from tonearm.runtime.progress import unwatched


@pytest.fixture(scope="module")
def takes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five recordings of odd lengths, one of them of two phrases."""
    folder = tmp_path_factory.mktemp("takes")
    write_tone(folder / "a.wav", 9.5, 220)
    write_tone(folder / "b.WAV", 1.0, 330)
    write_tone(folder / "more" / "c.wav", 1.2345, 440)
    write_tone(folder / "more" / "d.wav", 1.7, 550)
    write_tone(folder / "more" / "a.wav", 1.5, 660)
    return folder


@pytest.fixture(scope="module")
def cache(takes: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache that has seen the recordings; tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("cache")
    folder_data(takes, unwatched, folder)
    return folder


@pytest.fixture
def data(takes: Path, cache: Path) -> DataSet:
    return folder_data(takes, unwatched, cache)


def phrases(data: DataSet) -> list[Phrase]:
    return [*data.train, *data.validation, *data.test]


def kept(cache: Path) -> dict[Path, tuple[int, bytes]]:
    """The cache's files, when and as what they were written."""
    return {file: (file.stat().st_mtime_ns, file.read_bytes()) for file in cache.rglob("*") if file.is_file()}


def test_recordings_are_cut_into_phrases_of_whole_frames(data: DataSet) -> None:
    found = sorted((phrase.name, len(phrase.audio)) for phrase in phrases(data))
    assert found == [
        ("a@0s", 128_000),
        ("a@8s", 24_000),
        ("b@0s", 16_000),
        ("more/a@0s", 24_000),
        ("more/c@0s", 19_752 // HOP * HOP),
        ("more/d@0s", 27_200),
    ]
    assert all(
        phrase.f0_hz.shape == phrase.loudness_db.shape == (len(phrase.audio) // HOP,) for phrase in phrases(data)
    )
    assert data.about.startswith("5 recordings, 15 s, of ")


def test_a_phrase_has_the_features_of_its_sound(data: DataSet) -> None:
    for phrase in data.validation:
        wanted = analyse(phrase.audio)
        assert (phrase.f0_hz == wanted["f0_hz"]).all() and (phrase.loudness_db == wanted["loudness_db"]).all()
    longest = max(phrases(data), key=lambda phrase: len(phrase.audio))
    assert np.median(longest.f0_hz) == pytest.approx(220, rel=0.003)


def test_no_phrase_is_in_two_parts_and_none_is_lost(data: DataSet) -> None:
    parts = [{phrase.audio.tobytes() for phrase in part} for part in (data.train, data.validation, data.test)]
    assert [len(part) for part in parts] == [4, 1, 1]
    assert len(set.union(*parts)) == 6


def test_the_parts_are_the_same_every_time(takes: Path, cache: Path, data: DataSet) -> None:
    def names(parts: DataSet) -> list[list[str]]:
        return [[phrase.name for phrase in part] for part in (parts.train, parts.validation, parts.test)]

    assert names(folder_data(takes, unwatched, cache)) == names(data)


def test_a_second_reading_analyses_nothing(takes: Path, cache: Path, data: DataSet) -> None:
    before = kept(cache)
    assert {file.parent.name for file in before} == {f"features-{ANALYSIS}"} and len(before) == 6
    told: list[tuple[int, int]] = []
    folder_data(takes, lambda text, done, total: told.append((done, total)), cache)
    assert kept(cache) == before
    assert told[-1] == (6, 6)


@pytest.mark.parametrize("damage", ["cut", "empty", "no zip", "an array is missing", "an array is too short"])
def test_features_that_are_damaged_are_made_again(takes: Path, cache: Path, tmp_path: Path, damage: str) -> None:
    folder = shutil.copytree(cache, tmp_path / "cache")
    recording = takes / "b.WAV"
    wanted = read_phrases([recording], cache)[0]
    for file in (folder / f"features-{ANALYSIS}").iterdir():
        half, whole = {"f0_hz": wanted.f0_hz}, {"f0_hz": wanted.f0_hz[1:], "loudness_db": wanted.loudness_db}
        {
            "cut": lambda file=file: file.write_bytes(file.read_bytes()[:-300]),
            "empty": lambda file=file: file.write_bytes(b""),
            "no zip": lambda file=file: file.write_text("no zip"),
            "an array is missing": lambda file=file, half=half: np.savez(file, **half),
            "an array is too short": lambda file=file, whole=whole: np.savez(file, **whole),
        }[damage]()
    found = read_phrases([recording], folder)[0]
    assert (found.f0_hz == wanted.f0_hz).all() and (found.loudness_db == wanted.loudness_db).all()
    assert sum(kept(folder)[folder / file.relative_to(cache)][1] == was for file, (_, was) in kept(cache).items()) == 1
    assert not list(folder.rglob("*.part*"))


def test_a_copy_of_a_recording_is_read_once(takes: Path, cache: Path, tmp_path: Path) -> None:
    """Else a model could be judged by what it was trained with."""
    folder = shutil.copytree(takes, tmp_path / "takes")
    shutil.copy(folder / "a.wav", folder / "z.wav")
    assert len(phrases(folder_data(folder, unwatched, cache))) == 6


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").touch()
    for folder, said in ((tmp_path, "holds no .wav or .flac files: give"), (tmp_path / "nowhere", ": give one")):
        with pytest.raises(DataError, match=f"{folder} ?{said}"):
            folder_data(folder, unwatched, tmp_path)


def test_too_few_phrases_for_three_parts_are_refused(takes: Path, cache: Path, tmp_path: Path) -> None:
    shutil.copy(takes / "a.wav", tmp_path / "a.wav")
    with pytest.raises(DataError, match=r"too few phrases of 8 s .*\(2\): give at least 3, 24 s"):
        folder_data(tmp_path, unwatched, cache)


def written(samples: Sequence[float] | np.ndarray, rate: int = SAMPLE_RATE):
    return lambda path: soundfile.write(path, np.asarray(samples), rate)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.write_text("no sound"), "is not a sound file"),
        (lambda path: path.mkdir(), "is not a sound file"),
        (written(np.zeros(16_000)), "is silent"),
        (written(np.sign(tone(np.full(16_000, 220.0)))), "is clipped"),
        (written(np.full((16_000, 2), 0.1)), "has 2 channels .*: ffmpeg -i "),
        (written(np.full(44_100, 0.1), 44_100), "has 1 channel at 44100 Hz.*: ffmpeg -i "),
        (written(tone(np.full(15_999, 220.0))), "lasts 1.00 s: a phrase needs at least 1 s"),
        (written([]), "has 0 samples"),
    ],
)
def test_a_bad_recording_is_named_before_anything_is_analysed(takes: Path, tmp_path: Path, spoil, said: str) -> None:
    folder = shutil.copytree(takes, tmp_path / "takes")
    spoil(folder / "more" / "z.wav")
    with pytest.raises(RecordingError, match=rf"{folder}/more/z\.wav {said}"):
        folder_data(folder, unwatched, tmp_path / "cache")
    assert not (tmp_path / "cache").exists()


@pytest.mark.skipif(
    not (SOUNDFONT.is_file() and shutil.which("fluidsynth")),
    reason="needs FluidSynth and its soundfont: apt install fluidsynth fluid-soundfont-gm",
)
def test_an_instruments_phrases_are_played_once(tmp_path: Path) -> None:
    first = instrument_data("trumpet", unwatched, tmp_path, count=3)
    before = kept(tmp_path)
    again = instrument_data("trumpet", unwatched, tmp_path, count=3)
    assert kept(tmp_path) == before
    folder = tmp_path / "phrases" / f"trumpet-{RECIPE}"
    assert sorted(file.name for file in folder.iterdir()) == [f"trumpet-00{seed}.wav" for seed in range(3)]
    assert [len(first.train), len(first.validation), len(first.test)] == [1, 1, 1]
    for one, other in zip(phrases(first), phrases(again), strict=True):
        assert one.name == other.name and one.audio.tobytes() == other.audio.tobytes()
    assert first.about == "3 phrases of 8 s, trumpet of FluidR3_GM played by FluidSynth"
