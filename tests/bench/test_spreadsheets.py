"""Names from elsewhere are never run by the spreadsheet that opens a table."""

from __future__ import annotations

import csv
from pathlib import Path

import pandas
import pytest
from tonearm.bench.output.spreadsheets import write_csv


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r"])
def test_no_text_of_a_csv_is_run_by_a_spreadsheet_and_numbers_stay_what_they_are(tmp_path: Path, start: str) -> None:
    text = f"{start}1+cmd"
    tables = {
        "cases": pandas.DataFrame(
            {"board": [text, "pi"], "p50": [-1.25, 1e-300], "wait": [-3, 4], "none": [None, text]}
        ),
        "steps": pandas.DataFrame({"case": pandas.Categorical([text, "a", text]), "ns": [-1, 0, 2**60]}),
    }
    for name, table in tables.items():
        write_csv(table, tmp_path / f"{name}.csv")
        with (tmp_path / f"{name}.csv").open(newline="") as stream:
            cells = [cell for row in csv.reader(stream) for cell in row]
        numbers = {str(value) for column in ("p50", "wait", "ns") if column in table for value in table[column]}
        assert not [cell for cell in cells if cell.startswith(start) and cell not in numbers]
        assert f"'{text}".replace("\r", " ") in cells
        found = pandas.read_csv(tmp_path / f"{name}.csv")
        for column in set(table) & {"p50", "wait", "ns"}:
            assert found[column].tolist() == table[column].tolist()
