"""The options of a sweep."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from onmt_lattice.config import COUNT, THREADS, Config, Range, option
from onmt_lattice.errors import UserError

NONE = "none"  # for -gpus
SEEDS = Range(1, 2**32 - 1)  # of trainings


@dataclass(frozen=True, kw_only=True)
class SweepOptions(Config):
    """Train and evaluate the grid of models that a YAML file describes, and draw Figure 3.

    Figure 3 of the paper is rate against NLL, in bits per word; a table and a report go with it.
    Can be interrupted, and resumes when run again. Writes to -output: results.json, figure3.png,
    .svg and .pdf, table.txt, report.html, manifest.json (the state of every run) and a folder for
    each run.

    example: onmt_lattice sweep -config configs/captions/sweep.yaml -text multi30k
    -output runs/captions
    """

    config: Path | None = option(None, "YAML file of the sweep", metavar="FILE")
    output: Path = option(..., "folder that everything goes to", metavar="DIR")
    text: Path | None = option(
        None,
        "folder of train.en, valid.en and test.en, in place of the data of the configuration; of a "
        "task with another target: of train.src, train.tgt, valid.src and so on",
        metavar="DIR",
    )
    seeds: list[int] | None = option(
        None, "seeds, in place of the file's own", range=SEEDS, metavar="N"
    )
    jobs: int | None = option(
        None,
        "runs at a time (default: one per core or GPU; on Slurm all)",
        range=COUNT,
        metavar="N",
    )
    threads: int = option(
        1,
        "threads of a run on this machine (default: 1: two that share a busy core with other work "
        "take many times as long as one)",
        range=THREADS,
        metavar="N",
    )
    gpus: list[str] | None = option(
        None,
        "numbers of the GPUs that runs get in turn, or 'none' (default: if the configuration has "
        "gpu_ranks, all that are visible)",
        metavar="GPU",
    )
    cluster: str | None = option(
        None,
        "make each run a job of Slurm, through submitit; jobs continue when the sweep is stopped, "
        "and are found when it is run again",
        ["slurm"],
    )
    cluster_options: list[str] | None = option(
        None,
        "for submitit, such as slurm_partition=gpu timeout_min=4320 cpus_per_task=4 mem_gb=16",
        metavar="KEY=VALUE",
    )
    retry_failed: bool = option(False, "start runs again that have failed")
    commands: bool = option(
        False, "train nothing: print the commands that remain, to be run by hand"
    )
    draw_only: bool = option(False, "train nothing: draw what is finished so far")
    results: Path | None = option(
        None,
        "train nothing: draw figure, table and report of this results.json into -output",
        metavar="FILE",
    )
    per: str = option("word", "what figure, table and report count bits per", ["word", "token"])

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.config is None) == (self.results is None):
            raise UserError("expected either -config FILE or -results FILE")
        if self.cluster_options and not self.cluster:
            raise UserError("-cluster_options: needs -cluster")
        if self.cluster and self.gpus not in (None, [NONE]):
            raise UserError(
                f"-gpus {' '.join(self.gpus or [])}: a cluster gives out its GPUs; leave it out"
            )
