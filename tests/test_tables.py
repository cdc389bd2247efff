"""Tables as text and as JSON."""

from __future__ import annotations

import dataclasses
from typing import Any, NamedTuple

import pytest

from onmt_lattice.experiments.tables import Column, Table, show


class Interval(NamedTuple):
    low: float
    high: float

    def text(self, form: str) -> str:
        return f"{self.low:{form}} to {self.high:{form}}"

    def json(self) -> list[float]:
        return [self.low, self.high]


class Row(NamedTuple):
    lattice: str
    rate: Interval | None
    loss: float
    dim: int = 1


COLUMNS = {"lattice": Column("Λ"), "rate": Column("bits", ".1f"), "loss": Column("loss", ".2f")}
ROWS = [Row("Z", Interval(0.5, 0.125), 0.125), Row("Leech", None, 2.0)]


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.25, "0.2500"), (7, "7"), ("E8", "E8"), (None, "–"), (Interval(1, 2), "1.0000 to 2.0000")],
)
def test_cells(value: Any, text: str) -> None:
    assert show(value, ".4f") == text


def test_words_stand_left_and_numbers_right() -> None:
    assert Table("title", COLUMNS, ROWS, ("note",)).text().splitlines() == [
        "title",
        "",
        "Λ            bits  loss",
        "Z      0.5 to 0.1  0.12",
        "Leech           –  2.00",
        "",
        "note",
    ]


def test_json_has_every_digit_of_the_columns_and_no_more() -> None:
    found = Table("title", COLUMNS, ROWS, ("note",)).json()
    assert found["columns"] == {"lattice": "Λ", "rate": "bits", "loss": "loss"}
    assert found["rows"] == [
        {"lattice": "Z", "rate": [0.5, 0.125], "loss": 0.125},
        {"lattice": "Leech", "rate": None, "loss": 2.0},
    ]
    assert (found["title"], found["notes"]) == ("title", ["note"])


def test_rows_may_be_of_any_class() -> None:
    row = dataclasses.make_dataclass("R", ["lattice", "rate", "loss"])
    rows = [row(r.lattice, r.rate, r.loss) for r in ROWS]
    assert Table("title", COLUMNS, rows).text() == Table("title", COLUMNS, ROWS).text()


def test_no_rows() -> None:
    assert Table("title", COLUMNS, []).text().splitlines()[2] == "Λ  bits  loss"
