"""Teacher and students side by side: the numbers, the words, the page, the command."""

from __future__ import annotations

import base64
import copy
import io
import math
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas
import pytest
import soundfile
import torch
from commands import process, tonearm
from made_results import entry, samples
from sounds import phrase
from tonearm.bench.compare.comparison import Comparison, Entry, compare, differences, instrument_of, read_entries, table
from tonearm.bench.compare.costs import block_costs
from tonearm.bench.compare.html import wav, write_html
from tonearm.bench.compare.text import sentence, tell
from tonearm.bench.errors import BenchError
from tonearm.bench.results.store import append, load
from tonearm.bench.terms import INSTRUCTIONS
from tonearm.models.training.dataset import Phrase
from tonearm.models.training.listening import test_phrases as listen
from tonearm.runtime.progress import unwatched

SECOND = 250  # frames
NAMES = ["hpn-44", "hpn-reduced", "wavetable-reduced"]


@pytest.fixture(scope="module")
def entries() -> list[Entry]:
    return read_entries(NAMES, lambda line: None)


@pytest.fixture(scope="module")
def comparison(entries: list[Entry]) -> Comparison:
    """Three small models, the first the teacher, and six phrases of one second."""
    whole = listen("flute")[0]
    phrases = [
        Phrase(f"part {i}", whole.audio[64 * a : 64 * b], whole.f0_hz[a:b], whole.loudness_db[a:b])
        for i, (a, b) in enumerate((SECOND * k, SECOND * (k + 1)) for k in range(6))
    ]
    return compare(entries, phrases, lambda text, done, total: None)


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A board where two models share a block of 256, and the virtual board with one of them."""
    for i, (model, block) in enumerate((("hpn-44", 256), ("hpn-44", 1024), ("hpn-reduced", 64), ("hpn-reduced", 256))):
        append(tmp_path, f"a{i}", entry(model=model, block=block), samples(60))
    append(tmp_path, "b", entry("virtual", clock=INSTRUCTIONS, block=64), samples(60))
    append(tmp_path, "c", entry(model="another", block=64), samples(60))
    return tmp_path


@pytest.mark.slow
def test_every_phrase_is_scored_once_for_every_model(comparison: Comparison) -> None:
    scores = comparison.scores
    assert list(scores["model"]) == [name for name in NAMES for _ in range(6)]
    assert min(scores["mss"]) > 0
    teacher = scores["model"] == "hpn-44"
    assert scores["teacher_mss"].isna().tolist() == teacher.tolist()


def test_a_model_has_one_row_of_means_and_its_weight(comparison: Comparison) -> None:
    found = table(comparison)
    assert list(found["model"]) == NAMES
    assert found["decoder"].tolist()[1] == 7510
    mss = comparison.scores.loc[comparison.scores["model"] == "hpn-reduced", "mss"]
    assert found["mss"].tolist()[1] == pytest.approx(mss.mean())
    assert found["mss_sd"].tolist()[1] == pytest.approx(mss.std())


def test_students_are_compared_with_the_first_of_them_on_the_same_phrases(comparison: Comparison) -> None:
    found = differences(comparison)
    assert set(found["model"]) == {"wavetable-reduced"}
    one, other = (comparison.scores.loc[comparison.scores["model"] == name, "lsd_db"] for name in reversed(NAMES[1:]))
    [difference] = found.loc[found["measure"] == "lsd_db", "difference"]
    assert difference == pytest.approx(one.mean() - other.mean())
    assert not any(map(math.isnan, found["low"]))


def test_one_student_alone_is_compared_with_the_teacher(comparison: Comparison) -> None:
    alone = Comparison(comparison.entries[:2], comparison.phrases, comparison.sounds, comparison.scores)
    assert (alone.reference, alone.rivals()) == ("hpn-44", ["hpn-reduced"])


def test_a_block_costs_what_it_costs_at_the_smallest_that_all_have(entries: list[Entry], results: Path) -> None:
    found = block_costs(entries, load(results))
    assert found[["model", "board", "block"]].to_numpy().tolist() == [
        ["hpn-44", "pi", 256],
        ["hpn-reduced", "pi", 256],
        ["hpn-reduced", "virtual", 64],
    ]
    assert found["rtf"].isna().tolist() == [False, False, True]


def test_costs_are_said_in_their_unit_and_a_count_is_no_time(comparison: Comparison, results: Path) -> None:
    found = table(comparison, block_costs(comparison.entries, load(results)))
    told = tell(comparison, found)
    boards = {each.headings[0]: {row[0]: row[1:] for row in each.rows} for each in told.tables}
    assert boards["on pi"]["p50, burst, block 256 (ms)"] == ["1.03", "1.03 (1 x, 1 to 1)", "-"]
    assert boards["on pi"]["RTF, burst, block 256"] == ["0.0643", "0.0643", "-"]
    assert boards["on pi"]["peak memory (MiB)"] == ["48.8", "48.8 (1 x)", "-"]
    assert boards["on virtual"]["p50, block 64 (M instructions)"] == ["-", "1.03", "-"]
    assert not [line for line in boards["on virtual"] if "RTF" in line or "smallest" in line]
    assert any("not the speed of any real board" in note for note in told.notes)
    assert any("no cost of wavetable-reduced" in note for note in told.notes)
    assert any("no Fréchet distance" in note for note in told.notes)
    assert told.findings[-1].startswith("untrained, so their sound means nothing: hpn-44, hpn-reduced")


def row(measure: str, difference: float, low: float, high: float) -> dict:
    return {"measure": measure, "difference": difference, "low": low, "high": high, "phrases": 10}


def test_a_sentence_says_what_the_numbers_say_whatever_it_is() -> None:
    nearer, farther = row("mss", -0.21, -0.3, -0.12), row("loudness_db", 0.5, 0.2, 0.8)
    unsure, unknown = row("lsd_db", -0.1, -0.4, 0.2), row("mss", -0.21, math.nan, math.nan)
    assert sentence("b", "a", [nearer, unsure]) == "b is nearer to the recordings than a: MSS 0.21 lower (0.12 to 0.30)"
    assert sentence("b", "a", [nearer, farther]).endswith(
        "; b is farther from the recordings than a: loudness error 0.50 dB higher (0.20 to 0.80)"
    )
    assert sentence("b", "a", [unsure]) == (
        "b and a: no difference beyond what 10 phrases can tell (LSD (dB) -0.40 to +0.20)"
    )
    assert "MSS 0.21 lower on average, but an interval needs 6 phrases" in sentence("b", "a", [unknown])


def test_the_instrument_is_the_one_in_the_names() -> None:
    assert instrument_of(["hpn-full", "ddx7-reduced-flute4=a.pt"]) == "flute"
    assert instrument_of(["hpn-full", "ddx7-full-1stack2"]) is None
    with pytest.raises(BenchError, match="models of flute and trumpet can't be compared"):
        instrument_of(["ddx7-full-flute", "ddx7-reduced-trumpet"])


def test_a_model_named_twice_is_refused() -> None:
    with pytest.raises(BenchError, match="hpn-reduced is named twice"):
        read_entries(["hpn-reduced", "hpn-reduced"], lambda line: None)


def test_a_model_that_plays_no_numbers_is_named_with_the_phrase(entries: list[Entry]) -> None:
    broken = copy.deepcopy(entries[1].module)
    with torch.no_grad():
        next(broken.parameters())[...] = float("nan")
    phrases = [phrase("one", 300, 1.0)]
    with pytest.raises(BenchError, match=rf"{entries[1].label} plays one with a number that is not finite \(nan\)"):
        compare([entries[0], replace(entries[1], module=broken)], phrases, unwatched)


def test_a_sound_above_full_scale_is_scaled_and_any_other_is_not() -> None:
    loud, soft = (np.linspace(-peak, peak, 640).astype(np.float32) for peak in (2.0, 0.5))
    for sound, gain in ((loud, 0.5), (soft, 1.0)):
        written, applied = wav(sound)
        assert applied == gain
        assert np.max(np.abs(soundfile.read(io.BytesIO(written))[0] - gain * sound)) < 1e-4


def test_the_page_is_whole_in_itself_and_has_a_player_and_a_picture_for_each_sound(
    comparison: Comparison, tmp_path: Path
) -> None:
    write_html(comparison, tell(comparison, table(comparison)), [], tmp_path / "a" / "c.html")
    page = (tmp_path / "a" / "c.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert "color-scheme: light dark" in page and "width=device-width" in page
    pictures, players = (re.findall(rf'data:{kind};base64,([^"]+)"', page) for kind in ("image/png", "audio/wav"))
    assert len(pictures) == len(players) == 3 * (1 + len(NAMES))
    assert all(base64.b64decode(picture).startswith(b"\x89PNG") for picture in pictures)
    assert max(map(len, pictures)) * 3 / 4 < 100_000
    assert len(re.findall(r'<img [^>]*alt="Spectrogram of part \d, [^"]+ kHz', page)) == len(pictures)
    heard, rate = soundfile.read(io.BytesIO(base64.b64decode(players[0])))
    assert rate == 16_000
    assert np.max(np.abs(heard - comparison.phrases[0].audio)) < 1e-4


def test_the_command_compares_and_writes_what_it_is_told(results: Path, tmp_path: Path) -> None:
    files = ["--csv", tmp_path / "c.csv", "--html", tmp_path / "c.html"]
    models = ["--teacher", "hpn-reduced", "--student", "wavetable-reduced", "--instrument", "flute"]
    done = process("compare", results, *models, "--phrases", 1, *files)
    assert re.search(r"decoder parameters +7510 +6150 \(0\.819 x\)", done.stdout)
    assert "wavetable-reduced beside hpn-reduced: MSS " in done.stdout
    assert "p50, block 64 (M instructions)" in done.stdout
    written = pandas.read_csv(tmp_path / "c.csv")
    assert set(written["model"]) == {"hpn-reduced", "wavetable-reduced"}
    assert "<audio" in (tmp_path / "c.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--teacher", "hpn-full", "--student", "hpn-reduced"], "pass --instrument NAME, or --data FOLDER"),
        (["--teacher", "ddx7-full-flute", "--student", "ddx7-reduced-trumpet"], "flute and trumpet can't be compared"),
        (["--teacher", "hpn-full", "--student", "hpn-reducd"], "did you mean hpn-reduced"),
    ],
)
def test_what_can_t_be_compared_is_answered_with_one_line(arguments: list[str], said: str) -> None:
    lines = tonearm("compare", *arguments, status=1).stderr.splitlines()
    assert lines[-1].startswith("tonearm: ") and said in lines[-1]
    assert "Traceback" not in "\n".join(lines)
