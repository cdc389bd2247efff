"""What is strict about every parser of a command line, OpenNMT-py's and ours."""

from __future__ import annotations

from typing import Any, NoReturn

from onmt_lattice.errors import UserError


class Strict:
    """Before a parser's class: errors are :class:`UserError`, and no option is abbreviated."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_abbrev=False, **kwargs)  # type: ignore[call-arg]

    def error(self, message: str) -> NoReturn:
        """Raise :class:`UserError` with ``message``."""
        raise UserError(message)

    def _get_option_tuples(self, option_string: str) -> list[Any]:
        """Return no option for an abbreviation; ``allow_abbrev`` stops those of two dashes only."""
        return []
