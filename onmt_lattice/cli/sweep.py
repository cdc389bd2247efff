"""``onmt_lattice sweep``."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from onmt_lattice.config import parse
from onmt_lattice.experiments.sweep.options import SweepOptions
from onmt_lattice.files import check_folder

if TYPE_CHECKING:
    from onmt_lattice.experiments.report.results import Results


def run(argv: list[str]) -> int:
    """Run the sweep with the options in ``argv``; return 1 if runs have failed."""
    options = parse("sweep", SweepOptions, argv)
    check_folder(options.output, "-output")
    stop_in_order()
    if options.results is not None:
        from onmt_lattice.experiments.report.page import redraw

        return _report(redraw(options.results, options.output, options.per), options.output)

    from onmt_lattice.experiments.sweep import sweep

    if options.commands:
        print("\n".join(sweep.commands(options)))
        return 0
    results = sweep.draw_now(options) if options.draw_only else sweep.sweep(options)
    return _report(results, options.output)


def _report(results: Results, output: Path) -> int:
    """Print the table and the paths of the results; return 1 if runs have failed."""
    print((output / "table.txt").read_text(encoding="utf-8"))
    for name in ("figure3.png", "report.html", "results.json"):
        if (output / name).exists():
            print(f"written to {output / name}")
    failed = [run.name for run in results.runs if run.record.status == "failed"]
    if failed:
        print(
            f"onmt_lattice sweep: {len(failed)} of {len(results.runs)} runs failed: "
            f"{', '.join(failed)}; see the report, and run them again with -retry_failed",
            file=sys.stderr,
        )
    return 1 if failed else 0


def stop_in_order() -> None:
    """Let SIGTERM act as Ctrl-C, which stops the runs in order; forks just end.

    ``build_vocab`` ends its workers by SIGTERM, and each would print a traceback. The signal is
    blocked until a fork has the default handler.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    unblock = partial(signal.pthread_sigmask, signal.SIG_UNBLOCK, [signal.SIGTERM])
    os.register_at_fork(
        before=partial(signal.pthread_sigmask, signal.SIG_BLOCK, [signal.SIGTERM]),
        after_in_parent=unblock,
        after_in_child=lambda: (signal.signal(signal.SIGTERM, signal.SIG_DFL), unblock()),
    )


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
