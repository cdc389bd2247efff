"""Tables of results, as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, get_type_hints, runtime_checkable


class Column(NamedTuple):
    """How a field of the rows is shown: its heading, with the unit, and the format of floats."""

    heading: str
    form: str = ".4f"


def columns(row: type, *without: str) -> dict[str, Column]:
    """Return the columns of a class, its fields ``loss: Annotated[float, Column("loss", ".2f")]``.

    Fields ``without`` a column, by name, are skipped.
    """
    hints = get_type_hints(row, include_extras=True)
    annotations = {n: getattr(hint, "__metadata__", ()) for n, hint in hints.items()}
    return {n: more[0] for n, more in annotations.items() if more and n not in without}


@runtime_checkable
class Cell(Protocol):
    """A value of several numbers."""

    def text(self, form: str) -> str:
        """Return it for reading, by the format ``form`` of floats where that fits."""

    def json(self) -> Any:
        """Return it for ``json.dump``."""


@dataclass(frozen=True)
class Table:
    """Rows with the same fields."""

    title: str
    columns: dict[str, Column]  # by field of the rows, in the order shown
    rows: Sequence[Any]  # fields of str, int, float or Cell, or None where there is no value
    notes: tuple[str, ...] = ()  # sentences on how to read the numbers

    def text(self) -> str:
        """Return the table for reading: words are aligned left, numbers right."""
        columns = [
            self._column(field, column.heading, column.form)
            for field, column in self.columns.items()
        ]
        lines = ["  ".join(line).rstrip() for line in zip(*columns, strict=True)]
        return "\n".join([self.title, "", *lines, *(["", *self.notes] if self.notes else [])])

    def _column(self, field: str, heading: str, form: str) -> list[str]:
        values = [getattr(row, field) for row in self.rows]
        cells = [heading, *(show(value, form) for value in values)]
        width = max(map(len, cells))
        words = any(isinstance(value, str) for value in values)
        return [cell.ljust(width) if words else cell.rjust(width) for cell in cells]

    def json(self) -> dict[str, Any]:
        """Return the same for ``json.dump``, every number with all its digits."""
        return {
            "title": self.title,
            "columns": {field: column.heading for field, column in self.columns.items()},
            "rows": [
                {field: _plain(getattr(row, field)) for field in self.columns} for row in self.rows
            ],
            "notes": list(self.notes),
        }


def show(value: Any, form: str) -> str:
    """Return a cell's text."""
    if isinstance(value, Cell):
        return value.text(form)
    if value is None:
        return "–"
    return format(value, form) if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    return value.json() if isinstance(value, Cell) else value
