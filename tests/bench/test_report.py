"""Reports of results as boards recorded them: terminal, Markdown, the HTML page and its plots."""

from __future__ import annotations

import json
import math
import re
import shutil
import wave
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from places import GOLDEN
from rich.console import Console
from tonearm.bench.cli import main
from tonearm.bench.output.numbers import duration, percent
from tonearm.bench.output.page import write_page
from tonearm.bench.output.tables import Bold, Table
from tonearm.bench.report.board import Board, sections
from tonearm.bench.report.html import full_tables, write_html
from tonearm.bench.report.markdown import markdown
from tonearm.bench.report.notes import notes, unmeasured
from tonearm.bench.report.slow_steps import worst
from tonearm.bench.report.table import TEXTS, columns, narrow, rows
from tonearm.bench.report.terminal import terminal_tables
from tonearm.bench.results.frames import Results
from tonearm.bench.results.store import CASES, SAMPLES, load
from tonearm.bench.stats.causes import blame
from tonearm.bench.terms import INSTRUCTIONS, TIME
from tonearm.runtime.clip import read_arrays, write_arrays
from tonearm.runtime.telemetry import COLUMNS as TELEMETRY

RECORDED = GOLDEN / "recorded"
FETCHED = {"src", "href", "xlink:href", "srcset", "poster", "action", "data", "background"}


@pytest.fixture(scope="module")
def recorded() -> Results:
    """A loopback board, two models, burst and paced, and a virtual one, which an older runner measured in part."""
    return load(RECORDED)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    """The same, to change."""
    return Path(shutil.copytree(RECORDED, tmp_path / "copied"))


def change(folder: Path, change_case: Any = None, change_samples: Any = None) -> Results:
    """Pass every case and its samples through functions that return them changed."""
    cases = [json.loads(line) for line in (folder / CASES).read_text().splitlines()]
    if change_case:
        (folder / CASES).write_text("".join(json.dumps(change_case(case)) + "\n" for case in cases))
    if change_samples:
        for path in (folder / SAMPLES).glob("*.npz"):
            write_arrays(path, change_samples(dict(read_arrays(path))))
    return load(folder)


def printed(results: Results, width: int = 1000) -> list[str]:
    """What the terminal shows, line by line."""
    console = Console(width=width)
    with console.capture() as capture:
        for table in terminal_tables(results, width):
            console.print(table)
    return capture.get().splitlines()


def shown(board: Board) -> list[dict[str, str]]:
    """The table's cells by heading."""
    headings = columns(board.cases, board.clock)
    return [dict(zip(headings, cells, strict=True)) for cells in rows(board.cases, headings)]


def test_a_percentile_that_the_sample_can_not_support_is_not_printed(recorded: Results) -> None:
    time, virtual = (shown(board) for board in sections(recorded))
    assert {row["p99.9 ms"] for row in time} == {"n < 2995"}
    assert all(float(row["p50 ms"]) < float(row["p99 ms"]) <= float(row["max ms"]) for row in time)
    assert "RTF" not in virtual[0] and "MIPS" not in time[0]
    assert "p99 M" not in virtual[0]  # no case there has steps enough


def test_misses_come_with_their_rate_and_none_with_its_bound(recorded: Results) -> None:
    cells = [row["misses"] for row in shown(sections(recorded)[0])]
    assert "0, < 0.75%" in cells  # Clopper and Pearson of 0 in 400
    assert "75 (19%)" in cells


@pytest.mark.parametrize(
    ("rate", "text"),
    [(1.0, "100%"), (0.0501, "5.1%"), (0.05, "5%"), (0.00086, "0.086%"), (3e-7, "0.00003%"), (0.996, "100%")],
)
def test_a_bound_is_rounded_up(rate: float, text: str) -> None:
    assert percent(rate) == text


@pytest.mark.parametrize(
    ("ns", "text"), [(140, "0.14 µs"), (1500, "1.5 µs"), (2e7, "20 ms"), (9.96e7, "100 ms"), (9.74e9, "9.7 s")]
)
def test_a_duration_is_told_in_the_unit_that_suits_it(ns: float, text: str) -> None:
    assert duration(ns) == text


def test_no_figure_has_an_exponent_however_many_steps_are_late(copied: Path) -> None:
    def slow(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        index = np.arange(arrays["step_ns"].size)
        late = np.where(index > 0, 20_000_000_000, 1).astype(np.int64)
        start = late.cumsum() - late + 1_000_000_000 * (index > 0)  # none before its tick
        return arrays | {"step_ns": late} | ({"start_ns": start} if "start_ns" in arrays else {})

    board = sections(change(copied, change_samples=slow))[0]
    texts = [cell for row in shown(board) for cell in row.values()] + notes(board)
    texts += [cell for table in full_tables(board) for row in table.rows for cell in row]
    assert "399 (100%)" in texts
    assert not [text for text in texts if re.search(r"\de[+-]\d", text)]


@pytest.mark.parametrize("width", [120, 80, 60])
def test_no_number_is_cut_on_a_terminal_and_what_is_left_out_is_named(recorded: Results, width: int) -> None:
    lines = printed(recorded, width)
    assert max(map(len, map(str.rstrip, lines))) <= width
    said = " ".join(" ".join(lines).split())
    for board in sections(recorded):
        every = columns(board.cases, board.clock)
        kept = narrow(every, rows(board.cases, every), width)
        for row in rows(board.cases, {heading: name for heading, name in kept.items() if heading not in TEXTS}):
            assert any(re.search(r"\s.*?".join(map(re.escape, row)), line) for line in lines)
        left_out = [heading for heading in every if heading not in kept]
        assert f"in --markdown and --html also: {', '.join(left_out)}" in said or not left_out


def test_a_short_run_is_not_hidden_behind_a_long_one(copied: Path) -> None:
    def cut(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if arrays["step_ns"].size != 400 or "instructions" not in arrays or cut.done:  # type: ignore[attr-defined]
            return arrays
        cut.done = True  # type: ignore[attr-defined]
        return {name: array[:100] if array.shape[:1] == (400,) else array for name, array in arrays.items()}

    cut.done = False  # type: ignore[attr-defined]
    board = sections(change(copied, change_samples=cut))[0]
    assert sorted(row["steps"] for row in shown(board)) == ["100"] + ["400"] * 5
    assert any(note.startswith("100 to 400 steps per case") for note in notes(board))


def test_two_checkpoints_and_thread_counts_of_one_model_are_told_apart(copied: Path) -> None:
    def other(case: dict[str, Any]) -> dict[str, Any]:
        request = case["record"]["request"]
        if request["block"] == 256:
            return case | {
                "weights": "checkpoint flute.pt",
                "record": case["record"] | {"request": request | {"threads": 2}},
            }
        return case

    board = sections(change(copied, other))[0]
    assert {"weights", "thr."} <= set(columns(board.cases, TIME))
    assert len({row["series"] for row in board.cases}) == len({row["colour"] for row in board.cases}) == 4


def test_the_notes_say_what_was_granted_refused_and_not_measured(copied: Path) -> None:
    def tuned(case: dict[str, Any]) -> dict[str, Any]:
        grant = {"affinity": [1], "scheduling": "SCHED_FIFO 80", "memory_lock": False, "governor": "performance"}
        grant |= {"refused": {"memory_lock": "Cannot allocate memory"}, "instructions": "granted"}
        return case | {"record": case["record"] | {"granted": grant}}

    before, after = sections(load(copied))[0], sections(change(copied, tuned))[0]
    assert any("instructions (not counted: No such file or directory)" in note for note in notes(before))
    assert "granted: governor performance, scheduling SCHED_FIFO 80, cores 1, memory not locked" in notes(after)
    assert "refused: memory lock (Cannot allocate memory)" in notes(after)
    for board in (before, after):
        assert {"temperature (no sensor)", "power (no sensor is read)"} <= set(unmeasured(board))


def test_a_run_of_no_sound_is_marked(copied: Path, recorded: Results) -> None:
    def broken(case: dict[str, Any]) -> dict[str, Any]:
        return {**case, "record": {**case["record"], "not_finite": {"steps": 12, "first": 3}}}

    said = [notes(board)[-20:] for results in (recorded, change(copied, broken)) for board in sections(results)[:1]]
    marked = [[note for note in lines if note.startswith("not playable: ")] for lines in said]
    assert marked[0] == []
    assert len(marked[1]) == 1
    assert ", block 64: outputs were not finite numbers in 12 steps, the first of them step 3" in marked[1][0]


def test_what_telemetry_knows_is_shown_and_not_called_unmeasured(copied: Path, tmp_path: Path) -> None:
    def warm(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if "telemetry" in arrays:
            seen = arrays["telemetry"]
            seen[:, TELEMETRY.index("temperature_mc")] = 61_000 + 100 * np.arange(len(seen))
            seen[:, TELEMETRY.index("frequency_khz")] = 1_500_000
            seen[:, TELEMETRY.index("throttled")] = 0
        return arrays

    results = change(copied, change_samples=warm)
    assert not {"temper", "freque", "thrott"} & {text[:6] for text in unmeasured(sections(results)[0])}
    write_html(results, tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text())
    assert {"temperature while measuring, one case after another", "temperature °C", "1500"} <= page.said()


def test_instructions_are_labelled_as_no_time(recorded: Results) -> None:
    time, virtual = sections(recorded)
    assert (time.clock, virtual.clock) == (TIME, INSTRUCTIONS)
    assert not any("not the speed of any real board" in note for note in notes(time))
    assert any("not the speed of any real board" in note for note in notes(virtual))
    assert not virtual.slow and not any("granted" in note for note in notes(virtual))


def test_slow_steps_are_explained_by_what_coincided(recorded: Results) -> None:
    board = sections(recorded)[0]
    (line,) = [note for note in notes(board) if note.startswith("slow steps: ")]
    slow, steps, late = map(int, re.findall(r"\d+", line)[:2] + re.findall(r"too late: (\d+)", line))
    assert (slow, steps, late) == (
        sum(part.slow for part in board.slow),
        sum(row["n"] for row in board.cases),
        sum(row["misses"] for row in board.cases),
    )
    assert "late wake-up" in line


def test_markdown_has_a_table_and_notes_for_each_board_with_nothing_that_breaks_them(copied: Path) -> None:
    results = change(copied, lambda case: case | {"weights": "a | b <script> *c*\nd"})
    text = markdown(results)
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert {len(re.findall(r"(?<!\\)\|", line)) for line in table[:8]} == {
        len(columns(sections(results)[0].cases, TIME)) + 1
    }
    assert r": a \| b \<script> \*c\*?d" in text
    assert text.count("### ") == 2 and "- not measured: " in text


class Page(HTMLParser):
    """What a browser would fetch, and what it shows."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.tags: list[str] = []
        self.text: list[str] = []
        self.labels: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in FETCHED]
        self.labels |= {value or "" for name, value in attrs if name == "aria-label"}

    def handle_data(self, data: str) -> None:
        self.text.append(data.strip())

    def said(self) -> set[str]:
        """Every text and every label."""
        return {*self.text, *self.labels}


def write_silence(path: Path) -> Path:
    with wave.open(str(path), "wb") as sound:
        sound.setparams((1, 2, 16000, 0, "NONE", ""))
        sound.writeframes(bytes(3200))
    return path


@pytest.fixture(scope="module")
def html(recorded: Results, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    write_html(recorded, folder / "new" / "report.html", {"a <note>": write_silence(folder / "a.wav")})
    return (folder / "new" / "report.html").read_text()


def test_the_page_needs_nothing_from_elsewhere(html: str) -> None:
    page = Page(html)
    assert [value for value in page.fetched if not value.startswith(("#", "data:"))] == []
    assert [target for target in re.findall(r"url\((.*?)\)", html) if not target.startswith("#")] == []
    assert "@import" not in html
    assert not {"script", "link", "iframe"} & set(page.tags)
    assert "a <note>" in page.text and "note" not in page.tags
    assert len(html) < 200_000


def test_the_page_has_every_part_and_each_plot_says_what_it_shows(html: str, recorded: Results) -> None:
    page = Page(html)
    for title in ("The board", "What it granted", "What a step costs", "How step times vary", "Why steps were slow"):
        assert page.text.count(title) == (2 if title in ("The board", "What a step costs") else 1)  # virtual: not all
    assert {"Where the memory goes", "Where the time goes", "All figures", "Not measured"} <= page.said()
    plots = [label for label in page.labels if ": " in label]
    assert len(plots) == page.tags.count("svg")
    assert sum(label.startswith("How many steps of block") for label in plots) == 4  # 2 blocks, burst and paced
    assert page.tags.count("figcaption") == page.tags.count("figure") == page.tags.count("svg") + 1  # the sound


def test_the_page_shows_the_cells_of_the_tables_and_the_dearest_nodes(html: str, recorded: Results) -> None:
    said = Page(html).said()
    for board in sections(recorded):
        cells = {cell for row in rows(board.cases, columns(board.cases, board.clock)) for cell in row}
        assert cells <= said
    profile = next(board.entries[0]["profile"] for board in sections(recorded) if "profile" in board.entries[0])
    assert max(profile["nodes"], key=lambda node: node["ns"])["name"] in said


def test_a_profile_is_shown_whichever_repeat_it_was_taken_in(copied: Path, tmp_path: Path) -> None:
    lines = [json.loads(line) for line in (copied / CASES).read_text().splitlines()]
    first = next(line for line in lines if line.get("profile"))
    again = {key: value for key, value in first.items() if key != "profile"} | {"id": "again", "repeat": 1}
    shutil.copy(copied / SAMPLES / f"{first['id']}.npz", copied / SAMPLES / "again.npz")
    (copied / CASES).write_text("".join(json.dumps(line) + "\n" for line in (*lines, again)))
    board = sections(load(copied))[0]
    assert [row["repeats"] for row in board.cases].count(2) == 1
    assert len(board.profiles) == 2
    (line,) = [note for note in notes(board) if note.startswith("profiled: ")]
    name = next(row["name"] for row in board.cases if row["repeats"] == 2)
    assert re.search(rf"{re.escape(name)}: (decoder|synth) \d+%", line)
    write_html(load(copied), tmp_path / "report.html")
    dearest = max(first["profile"]["nodes"], key=lambda node: node["ns"])["name"]
    assert dearest in Page((tmp_path / "report.html").read_text()).said()


def test_every_figure_on_the_page_is_known(html: str) -> None:
    assert not {text for text in Page(html).text if re.search(r"\b(nan|None|inf)\b", text)}


def test_report_writes_what_it_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [tmp_path / name for name in ("r.html", "r.md", "r.csv")]
    options = [text for file in files for text in (f"--{file.suffix[1:].replace('md', 'markdown')}", str(file))]
    assert main(["report", str(RECORDED), *options, "--parquet", str(tmp_path / "tables")]) == 0
    assert all(file.stat().st_size for file in files)
    assert {path.name for path in (tmp_path / "tables").iterdir()} == {
        "cases.parquet",
        "steps.parquet",
        "telemetry.parquet",
    }
    told = capsys.readouterr()
    assert "model" in told.out and told.err.count("wrote ") == 6


def test_markdown_on_standard_output_stands_alone(capsys: pytest.CaptureFixture[str], recorded: Results) -> None:
    assert main(["report", str(RECORDED), "--markdown", "-"]) == 0
    assert capsys.readouterr().out.strip() == markdown(recorded).strip()


def test_folders_are_put_together_and_different_boards_only_if_asked(
    copied: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def newer(case: dict[str, Any]) -> dict[str, Any]:
        return case | {"facts": case["facts"] | {"kernel": "9.9"}}

    change(copied, newer)
    assert main(["report", str(RECORDED), str(copied)]) == 1
    assert "9.9" in capsys.readouterr().err
    assert main(["report", str(RECORDED), str(copied), "--different"]) == 0
    assert len(re.findall(r"^(?:loopback|virtual).*: .*Linux", capsys.readouterr().out, re.M)) == 4


def test_a_case_with_too_few_steps_for_any_figure_has_a_row_and_no_plot(copied: Path, tmp_path: Path) -> None:
    def few(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        steps = arrays["step_ns"].size
        return {name: array[:4] if array.shape[:1] == (steps,) else array for name, array in arrays.items()}

    results = change(copied, change_samples=few)
    assert all(math.isnan(row["p50"]) for board in sections(results) for row in board.cases)
    write_html(results, tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text())
    assert "n < 5" in page.text
    assert not any("against block" in label for label in page.labels)


def test_what_is_slow_is_said_to_be_unknown_where_steps_are_too_few_for_p99(copied: Path) -> None:
    def few(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        steps = arrays["step_ns"].size
        return {name: array[:100] if array.shape[:1] == (steps,) else array for name, array in arrays.items()}

    board = sections(change(copied, change_samples=few))[0]
    (line,) = [note for note in notes(board) if note.startswith("slow steps: ")]
    assert "6 cases with n < 299, too few for p99" in line
    assert sum(part.slow for part in board.slow) == sum(part.missed for part in board.slow)


def test_p99_is_that_of_all_repeats_together(recorded: Results) -> None:
    row = next(row for row in sections(recorded)[0].cases if row["mode"] == "burst")
    steps = recorded.samples(row["case"])["step_ns"]
    assert blame({"step_ns": steps}, row["budget"], None, row["p99"]).attrs["slow"] == 4
    half = blame({"step_ns": steps[:200]}, row["budget"], None, row["p99"])
    assert half.attrs["slow"] == np.count_nonzero(steps[:200] > row["p99"])


def test_the_longest_slow_steps_are_shown_with_their_causes(recorded: Results) -> None:
    board = sections(recorded)[0]
    table = worst(recorded, board.cases)
    assert len(table.rows) == 10
    took = [float(row[3]) + (0 if row[4] == "-" else float(row[4])) for row in table.rows]
    assert took == sorted(took, reverse=True)
    longest = max(row["max"] for row in board.cases if row["mode"] == "burst") / 1e6
    assert took[0] >= longest - 0.001
    assert any("late wake-up" in row[5] for row in table.rows)


def test_bold_on_the_page_is_bold_and_text_that_looks_like_html_is_not(tmp_path: Path) -> None:
    table = Table("t", ["a"], [[Bold("<1>")], ["**<2>**"]], ["ends.", "goes on"])
    write_page("report.html.j2", tmp_path / "p.html", boards=[], protocols=[table], sounds={})
    text = (tmp_path / "p.html").read_text()
    assert "<td><strong>&lt;1&gt;</strong></td>" in text and "<td>**&lt;2&gt;**</td>" in text
    assert "<li>ends.</li><li>goes on.</li>" in text


@pytest.mark.parametrize(
    ("option", "said"), [("-", "only --markdown takes -"), ("none/r.html", "there is no folder none")]
)
def test_a_file_that_can_not_be_meant_is_refused(option: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(RECORDED), "--html", option]) == 1
    assert said in capsys.readouterr().err
    assert not Path(option).exists()
