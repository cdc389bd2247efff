"""Tables of results, as text and as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from onmt_lattice.theory.estimates import Estimate


class Column(NamedTuple):
    """How a field of the rows is shown: its heading, with the unit, and the format of floats."""

    heading: str
    form: str = ".4f"


@dataclass(frozen=True)
class Table:
    """Rows that all are of one ``NamedTuple`` class.

    Attributes:
        title: what was measured.
        columns: by field of the rows, in the order of the fields.
        rows: str, int, float or :class:`Estimate` in every field.
        notes: sentences that say how to read the numbers.
    """

    title: str
    columns: dict[str, Column]
    rows: Sequence[Any]
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """Return the table for reading: estimates as mean ± standard error."""
        headings = [column.heading for column in self.columns.values()]
        cells = [
            [show(getattr(row, field), column.form) for field, column in self.columns.items()]
            for row in self.rows
        ]
        widths = [max(map(len, column)) for column in zip(headings, *cells, strict=True)]
        lines = [
            "  ".join(
                cell.ljust(width) if isinstance(kind, str) else cell.rjust(width)
                for cell, width, kind in zip(line, widths, self.rows[0], strict=True)
            ).rstrip()
            for line in [headings, *cells]
        ]
        return "\n".join([self.title, "", *lines, *(["", *self.notes] if self.notes else [])])

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
    """Return a cell's text; an estimate is given to two digits of its standard error."""
    if isinstance(value, Estimate):
        mean, error = value
        decimals = max(0, 1 - int(f"{error:.1e}".split("e")[1])) if error > 0 else 4
        return f"{mean:.{decimals}f} ± {error:.{decimals}f}"
    return format(value, form) if isinstance(value, float) else str(value)


def _plain(value: Any) -> Any:
    return value._asdict() if isinstance(value, Estimate) else value
