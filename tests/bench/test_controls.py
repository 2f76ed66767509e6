"""Controls as people write them are understood where the meaning is plain; those that can't be are said to be."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import soundfile
from commands import tonearm
from tonearm.bench.controls import read_controls
from tonearm.bench.errors import ControlsError
from tonearm.runtime.bundle import Bundle

ROWS = [(440.5, -20.25), (0.0, -80.0), (441.0, -19.5)]
F0, LOUDNESS = ([row[place] for row in ROWS] for place in (0, 1))


@pytest.fixture(autouse=True)
def own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A person in an empty folder."""
    monkeypatch.chdir(tmp_path)


def table(heading: str, separator: str = ",", decimal: str = ".", end: str = "\n") -> str:
    lines = [separator.join(str(value).replace(".", decimal) for value in row) for row in ROWS]
    return end.join([heading, *lines]) + end


def read(bundle: Bundle, content: str | bytes) -> tuple[list[float], list[float], list[str]]:
    path, notes = Path("a.csv"), list[str]()
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    signals = read_controls(path, bundle, note=notes.append)
    return signals["f0_hz"].ravel().tolist(), signals["loudness_db"].ravel().tolist(), notes


@pytest.mark.parametrize(
    "heading",
    [
        "f0_hz,loudness_db",
        "F0_Hz, Loudness_dB",
        " f0_hz , loudness_db ",
        '"f0_hz","loudness_db"',
        "F0 [Hz],Loudness [dB]",
        "f0 (hz),loudness (dB)",
        '"F0 (Hz)", "Loudness (dB)"',
        "f0_hz [Hz],loudness_db [dB]",
        "F0 Hz,Loudness dB",
        "f0-hz,loudness-db",
        "sep=,\nf0_hz,loudness_db",
        "# made by hand; 250 frames a second\n\nf0_hz,loudness_db",
        "f0_hz,loudness_db,",
        "f0_hz,loudness [dB; A-weighted],loudness_db".replace("loudness [dB; A-weighted],", ""),
    ],
)
def test_a_heading_is_understood(golden_bundle: Bundle, heading: str) -> None:
    assert read(golden_bundle, table(heading)) == (F0, LOUDNESS, [])


@pytest.mark.parametrize("content", [
    table("f0_hz;loudness_db", ";"),
    table("f0_hz;loudness_db", ";", ","),
    table("f0_hz\tloudness_db", "\t"),
    table("f0_hz\tloudness_db", "\t", ","),
    table("sep=;\nf0_hz;loudness_db", ";", ","),
    table("f0_hz,loudness_db", end="\r\n"),
    table("f0_hz,loudness_db", end="\r"),
    table("f0_hz,loudness_db,") .replace("\n4", ",\n4"),
    table("\N{BYTE ORDER MARK}f0_hz,loudness_db"),
    table("f0_hz\tloudness_db", "\t", ",").encode("utf-16"),
    "name,f0_hz,loudness_db\n" + "".join(f"note {f0},{f0},{level}\n" for f0, level in ROWS),
    "f0_hz,loudness_db  # two\n" + "".join(f" {f0} , {level} # a frame\n\n" for f0, level in ROWS),
])  # fmt: skip
def test_a_table_is_understood(golden_bundle: Bundle, content: str | bytes) -> None:
    assert read(golden_bundle, content) == (F0, LOUDNESS, [])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("f0-hz,F0 [Hz],loudness_db\n1,1,1\n", r"a\.csv has 2 columns for f0_hz, 'f0-hz' and 'F0 \[Hz\]': leave one"),
        ("f0_hz,loudness_db,f0_hz\n1,1,1\n", r"a\.csv has 2 columns for f0_hz, 'f0_hz' and 'f0_hz'"),
        ("f0 [MIDI],loudness_db\n69,-20\n", r"needs the input f0_hz \(it has f0 \[MIDI\], loudness_db\)"),
        ("f0_hz,loudness [sone]\n440,1\n", "needs the input loudness_db"),
        (
            "f0_hz,loudness_db\n440,5,-20,1\n",
            "line 2 has 4 columns, the heading has 2: where numbers have decimal commas",
        ),
        ("f0_hz,loudness_db\n440,-20\n440\n", "line 3 has 1 column, the heading has 2"),
        ("f0_hz,loudness_db\n440,-20\n440,\n", "loudness_db has no number on line 3"),
        ("f0_hz;loudness_db\n1.440,5;-20,1\n", r"f0_hz must hold numbers, line 2 has '1\.440,5'"),
        ("f0_hz,loudness_db\n440,-20\nA4,-20\n", "f0_hz must hold numbers, line 3 has 'A4'"),
        ("f0_hz,loudness_db\n", "f0_hz is empty"),
        ("", r"a\.csv is not a table: it is empty"),
        ("\n# nothing\n", r"a\.csv is not a table: it is empty"),
        (b"\xff\x00\xfe", r"a\.csv is not a table: "),
        ('f0_hz,loudness_db\n"440,-20\n', r"a\.csv is not a table: "),
    ],
)
def test_a_table_that_does_not_fit_says_where(golden_bundle: Bundle, content: str | bytes, said: str) -> None:
    with pytest.raises(ControlsError, match=said):
        read(golden_bundle, content)


def arrays(bundle: Bundle, f0_hz: list[float], loudness_db: list[float]) -> tuple[list[float], list[float], list[str]]:
    notes: list[str] = []
    np.savez("a.npz", f0_hz=np.array(f0_hz), loudness_db=np.array(loudness_db))
    signals = read_controls(Path("a.npz"), bundle, note=notes.append)
    return signals["f0_hz"].ravel().tolist(), signals["loudness_db"].ravel().tolist(), notes


def rows(bundle: Bundle, f0_hz: list[float], loudness_db: list[float]) -> tuple[list[float], list[float], list[str]]:
    return read(
        bundle, "f0_hz,loudness_db\n" + "".join(f"{f0},{db}\n" for f0, db in zip(f0_hz, loudness_db, strict=True))
    )


BOTH = pytest.mark.parametrize("given", [arrays, rows])


@BOTH
def test_a_pitch_below_zero_is_none_and_a_loudness_below_silence_is_silence(golden_bundle: Bundle, given) -> None:
    f0_hz, loudness_db, notes = given(golden_bundle, [-1, 440, -0.5, 0], [-20, -130, -np.inf, -80])
    assert f0_hz == [0, 440, 0, 0]
    assert loudness_db == [-20, -120, -120, -80]
    assert notes == [
        "f0_hz is below 0 in 2 of 4 frames: taken as 0, no pitch",
        "loudness_db is below -120 dB in 2 of 4 frames: taken as -120 dB, silence",
    ]


@BOTH
@pytest.mark.parametrize(
    ("f0_hz", "loudness_db", "said"),
    [
        (
            [440, 8001, 9000],
            [-20] * 3,
            r"f0_hz is above 8000 Hz, half the sample rate, at frame 1 \(8001\), in 2 of 3 fr",
        ),
        ([440, np.nan], [-20] * 2, r"f0_hz is not a finite number at frame 1 \(nan\), in 1 of 2 frames: write 0 where"),
        ([np.inf, np.inf], [-20] * 2, r"f0_hz is not a finite number at frame 0 \(inf\), in 2 of 2 frames"),
        (
            [440] * 2,
            [-20, 0.5],
            r"loudness_db is above 0 dB, full scale, at frame 1 \(0\.5\), in 1 of 2 frames: give 20 log",
        ),
        ([440] * 2, [np.nan, np.inf], r"loudness_db is not a finite number at frame 0 \(nan\), in 2 of 2 frames"),
    ],
)
def test_controls_that_no_sound_has_are_refused(
    golden_bundle: Bundle, given, f0_hz: list[float], loudness_db: list[float], said: str
) -> None:
    with pytest.raises(ControlsError, match=rf"a\.(csv|npz): {said}"):
        given(golden_bundle, f0_hz, loudness_db)


def test_arrays_of_different_lengths_or_none_are_refused(golden_bundle: Bundle) -> None:
    with pytest.raises(ControlsError, match=r"loudness_db has shape \(2,\), the clip needs 3 frames"):
        arrays(golden_bundle, [440] * 3, [-20] * 2)
    with pytest.raises(ControlsError, match="f0_hz is empty"):
        arrays(golden_bundle, [], [])
    Path("b.npz").touch()
    with pytest.raises(ControlsError, match=r"b\.npz is not an \.npz of plain arrays: it is empty"):
        read_controls(Path("b.npz"), golden_bundle)


def test_one_frame_is_played_and_what_was_changed_is_said(golden_bundle: Bundle) -> None:
    Path("a.csv").write_text("F0 [Hz];Loudness [dB]\n-440;-20,5\n")
    arguments = ["--board", "loopback", "--input", "a.csv", "-o", "a.wav"]
    done = tonearm("render", golden_bundle.folder, *arguments)
    assert "a.csv: f0_hz is below 0 in 1 of 1 frames: taken as 0, no pitch" in done.stderr.splitlines()
    assert soundfile.info("a.wav").frames == 64


def test_rows_of_nothing_count_only_at_the_end(golden_bundle: Bundle) -> None:
    assert read(golden_bundle, table("f0_hz,loudness_db") + ",\n,\n") == (F0, LOUDNESS, [])
    with pytest.raises(ControlsError, match=r"f0_hz has no number on line 3"):
        read(golden_bundle, "f0_hz,loudness_db\n440,-20\n,\n440,-20\n")


def test_a_heading_that_is_exact_needs_no_guess(golden_bundle: Bundle) -> None:
    content = "F0 [Hz],f0_hz,loudness_db\n" + "".join(f"1,{f0},{level}\n" for f0, level in ROWS)
    assert read(golden_bundle, content) == (F0, LOUDNESS, [])


@pytest.mark.parametrize("cell", ["#N/A", "#DIV/0!", "#REF!", "#NAME?"])
def test_what_a_spreadsheet_could_not_compute_is_no_comment(golden_bundle: Bundle, cell: str) -> None:
    with pytest.raises(ControlsError, match=f"must hold numbers, line 3 has '{re.escape(cell)}'"):
        read(golden_bundle, f"f0_hz,loudness_db\n440,-20 # loud\n{cell},{cell}\n440,-20\n")
