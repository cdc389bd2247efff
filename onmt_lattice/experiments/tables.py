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
    """Return the columns that the fields of the class ``row`` are annotated with, in their order.

    A field ``loss: Annotated[float, Column("loss", ".2f")]`` is a column; ``without`` leaves out
    some.
    """
    hints = get_type_hints(row, include_extras=True)
    found = {name: getattr(hint, "__metadata__", ()) for name, hint in hints.items()}
    return {name: more[0] for name, more in found.items() if more and name not in without}


@runtime_checkable
class Cell(Protocol):
    """A value of several numbers, which shows itself."""

    def text(self, form: str) -> str:
        """Return it for reading, by the format ``form`` of floats where that fits."""

    def json(self) -> Any:
        """Return it for ``json.dump``."""


@dataclass(frozen=True)
class Table:
    """Rows that all are of one class.

    Attributes:
        title: what was measured.
        columns: by field of the rows, in the order shown.
        rows: str, int, float or :class:`Cell` in every field, or None where there is no value.
        notes: sentences that say how to read the numbers.
    """

    title: str
    columns: dict[str, Column]
    rows: Sequence[Any]
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the table for reading: words stand left in their columns, numbers right."""
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
