"""``onmt_lattice sweep``."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from onmt_lattice.cli.arguments import Parser
from onmt_lattice.errors import UserError
from onmt_lattice.files import check_folder
from onmt_lattice.ranges import COUNT, THREADS, check_ranges

if TYPE_CHECKING:
    from onmt_lattice.experiments.report.results import Results


def parser() -> Parser:
    """Return the parser of this command."""
    p = Parser(
        prog="onmt_lattice sweep",
        description="Train and evaluate the grid of models that a YAML file describes, and draw "
        "Figure 3 of the paper, rate against NLL in bits per word, with table and report. Can be "
        "interrupted, and resumes when run again. Leaves in -output: results.json, figure3.png, "
        ".svg and .pdf, table.txt, report.html, manifest.json (the state of every run) and a "
        "folder for each run.",
        epilog="example: onmt_lattice sweep -config configs/captions/sweep.yaml -text multi30k "
        "-output runs/captions",
    )
    p.option("config", type=Path, metavar="FILE", help="YAML file of the sweep")
    p.option("output", type=Path, metavar="DIR", help="folder that everything goes to")
    p.option(
        "text",
        type=Path,
        metavar="DIR",
        help="folder of train.en, valid.en and test.en, in place of the data of the configuration",
    )
    p.option("seeds", type=int, nargs="+", metavar="N", help="seeds, in place of the file's own")
    p.option(
        "jobs",
        type=int,
        metavar="N",
        help="runs at a time (default: one a core or GPU; on Slurm all)",
    )
    p.option(
        "threads",
        type=int,
        default=1,
        metavar="N",
        help="threads of a run on this machine (default: 1: two that share a busy core with "
        "other work take many times as long as one)",
    )
    p.option(
        "gpus",
        nargs="+",
        metavar="GPU",
        help="numbers of the GPUs that runs get in turn, or 'none' (default: if the "
        "configuration has gpu_ranks, all that are visible)",
    )
    p.option(
        "cluster",
        choices=["slurm"],
        help="make each run a job of Slurm, through submitit; jobs continue when the sweep is "
        "stopped, and are found when it is run again",
    )
    p.option(
        "cluster_options",
        nargs="+",
        metavar="KEY=VALUE",
        help="for submitit, such as slurm_partition=gpu timeout_min=4320 cpus_per_task=4 mem_gb=16",
    )
    p.option("retry_failed", action="store_true", help="start runs again that have failed")
    p.option(
        "commands",
        action="store_true",
        help="train nothing: print the command lines that do by hand what is left",
    )
    p.option(
        "draw_only", action="store_true", help="train nothing: draw what the runs are at by now"
    )
    p.option(
        "results",
        type=Path,
        metavar="FILE",
        help="train nothing: draw figure, table and report of this results.json into -output",
    )
    p.option(
        "per",
        choices=["word", "token"],
        default="word",
        help="what figure, table and report count bits per (default: word)",
    )
    return p


def run(argv: list[str]) -> int:
    """Run the sweep with the options in ``argv``; return 1 if runs have failed."""
    args = parser().parse_args(argv)
    if args.output is None or (args.config is None) == (args.results is None):
        raise UserError("expected -output DIR, and either -config FILE or -results FILE")
    check_folder(args.output, "-output")
    check_ranges(vars(args), {"jobs": COUNT, "threads": THREADS})
    if args.cluster_options and not args.cluster:
        raise UserError("-cluster_options: need -cluster")
    if args.cluster and args.gpus not in (None, ["none"]):
        raise UserError(f"-gpus {' '.join(args.gpus)}: a cluster gives out its GPUs; leave it out")
    stop_in_order()

    drawn, printed, results = args.draw_only, args.commands, args.results
    for name in ("draw_only", "commands", "results"):
        delattr(args, name)
    if results is not None:
        from onmt_lattice.experiments.report.drawing import redraw

        return _end(redraw(results, args.output, args.per), args.output)

    from onmt_lattice.experiments.sweep import sweep

    options = sweep.SweepOptions(**vars(args))
    if printed:
        print("\n".join(sweep.commands(options)))
        return 0
    return _end(sweep.draw_now(options) if drawn else sweep.sweep(options), args.output)


def _end(results: Results, output: Path) -> int:
    """Print the table and where all is; return 1 if runs have failed."""
    print((output / "table.txt").read_text(encoding="utf-8"))
    for name in ("figure3.png", "report.html", "results.json"):
        if (output / name).exists():
            print(f"written to {output / name}")
    failed = [run.name for run in results.runs if run.record.status == "failed"]
    if failed:
        print(
            f"onmt_lattice sweep: {len(failed)} of {len(results.runs)} runs failed: "
            f"{', '.join(failed)}; see the report, and start them again with -retry_failed",
            file=sys.stderr,
        )
    return 1 if failed else 0


def stop_in_order() -> None:
    """Let SIGTERM be as Ctrl-C, on which the runs are stopped in order; forks just end by it.

    ``build_vocab`` ends its workers that way, which would otherwise each print a traceback.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    os.register_at_fork(after_in_child=partial(signal.signal, signal.SIGTERM, signal.SIG_DFL))


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
