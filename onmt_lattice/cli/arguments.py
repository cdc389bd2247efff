"""A parser for the commands that are all ours, in OpenNMT-py's style of options."""

from __future__ import annotations

import argparse
from typing import Any

from onmt_lattice.errors import UserError, unknown_name
from onmt_lattice.ranges import BEAM, COUNT, DEVICE, SEED, THREADS, check_ranges
from onmt_lattice.registry import Strict


class Parser(Strict, argparse.ArgumentParser):
    """An ``argparse`` parser for which ``-name`` and ``--name`` are the same."""

    def option(self, name: str, **kwargs: Any) -> None:
        """Add an option as OpenNMT-py does, with one dash or two."""
        self.add_argument(f"-{name}", f"--{name}", **kwargs)

    def names(self, parsed: argparse.Namespace) -> set[str]:
        """Return every option name, without dashes; of the subcommand too that was ``parsed``."""
        names = {s.lstrip("-") for a in self._actions for s in a.option_strings}
        for action in self._actions:
            if isinstance(action, argparse._SubParsersAction):
                names |= action.choices[getattr(parsed, action.dest)].names(parsed)
        return names

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse ``args``; an unknown option is an error that names the nearest one."""
        parsed, unknown = self.parse_known_args(args, namespace)
        for word in unknown:
            if word.startswith("-") and len(word) > 1:
                raise unknown_name("option", word.split("=")[0].lstrip("-"), self.names(parsed))
            raise UserError(f"unexpected word {word!r} on the command line")
        return parsed


NUMBERS = {
    "seed": SEED,
    "gpu": DEVICE,
    "beam_size": BEAM,
    "threads": THREADS,
    **dict.fromkeys(("batch_size", "max_length", "line"), COUNT),
}


def check_numbers(args: dict[str, Any]) -> None:
    """Raise :class:`UserError` for a number among ``args`` that is too small or too large."""
    check_ranges(args, NUMBERS)
