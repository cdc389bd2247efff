"""The grid of a sweep: from one YAML file to its training runs."""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onmt_lattice.config import COUNT, COUNT_OR_ZERO, Config, from_mapping, option
from onmt_lattice.errors import UserError, unknown_name
from onmt_lattice.experiments.report.results import ANNEALED, FIXED, SCHEDULES
from onmt_lattice.experiments.sweep.options import SEEDS
from onmt_lattice.experiments.sweep.quantized import (
    QUANTIZE,
    QuantizedCurve,
    check_source,
    quantized_curves,
)
from onmt_lattice.experiments.sweep.run import SAVE_CHECKPOINT_STEPS, Run
from onmt_lattice.opennmt.options.parsers import train_parser
from onmt_lattice.opennmt.options.parsing import check_keys, read_config
from onmt_lattice.opennmt.options.ranges import RANGES
from onmt_lattice.text import read_lines

REFERENCE = "gaussian"
TEXTS = ("train.en", "valid.en", "test.en")
PAIRED = "train.src, train.tgt, valid.src and so on"
# Options that a sweep sets for its runs, and no file may.
OWN = "save_model train_from log_json seed gpu_ranks world_size src_vocab tgt_vocab data".split()


@dataclass(frozen=True, kw_only=True)
class SweepFile(Config):
    """The YAML file of a sweep."""

    config: str = option(..., "the YAML file that all runs share")
    curves: dict[str, Any] = option(..., "the options of each curve, by its name")
    fixed: dict[str, Any] = option({}, "options, of which one is a list: a model for each value")
    annealed: dict[str, Any] = option({}, "options of a run whose checkpoints are evaluated")
    seeds: list[int] = option(..., "the seeds, such as [1, 2]", range=SEEDS)
    test: str | None = option(None, "the path of the text to evaluate on")
    test_source: str | None = option(None, "that of its source, where that is another text")
    reference: object = option(REFERENCE, "the curve that the others are compared with")
    evaluate_every: int = option(
        1, "steps between the checkpoints of an annealed run to evaluate", range=COUNT
    )
    reconstruct: int = option(3, "checkpoints to decode the text with", range=COUNT_OR_ZERO)


@dataclass(frozen=True)
class Plan:
    """All runs of a sweep."""

    path: Path  # the YAML file it was read from
    folder: Path
    test: Path  # the text to evaluate on, the target
    reference: str  # name of the curve that the others are compared with
    curves: dict[str, dict[str, Any]]  # the options of each
    gpus_a_run: int  # how many GPUs a run takes; 0 for the CPU
    runs: tuple[Run, ...]  # of all curves, schedules and seeds

    @property
    def vocabulary(self) -> Path:
        """The vocabulary of all runs."""
        return Path(self.runs[0].options["src_vocab"])


def read_plan(path: Path, folder: Path, text: Path | None, seeds: list[int] | None) -> Plan:
    """Return the plan of the sweep in the YAML file ``path``, of a ``folder`` for its runs.

    ``text``, a folder of train.en, valid.en and test.en, or of train.src, train.tgt and so on, and
    ``seeds`` replace the file's own.
    """
    sweep = from_mapping(SweepFile, read_config(path), str(path))
    texts = {} if text is None else _texts(text)
    shared = _shared(path, sweep, folder, texts)
    gpus = _take_gpus(path, shared)
    sides = texts["test"] if texts else _test(path, sweep)
    for each in sides.values():  # a mistake is reported at once
        read_lines(each, f"{path}: test" if text is None else "-text")
    test = Path(sides.get("path_tgt", sides["path_src"]))
    every = {str(n): _mapping(f"{path}: curve {n}", curve) for n, curve in sweep.curves.items()}
    trained = {name: curve for name, curve in every.items() if QUANTIZE not in curve}
    others = {name: curve for name, curve in every.items() if QUANTIZE in curve}
    quantized = quantized_curves(path, others, trained)
    points = _checked_points(path, trained, sweep, shared)
    order = _order(list(every), quantized)
    runs: list[Run] = []
    for seed in seeds or sweep.seeds:  # outermost: an early stop leaves whole curves
        of_seed: list[Run] = [
            Run(
                curve=name,
                schedule=schedule,
                point=point,
                seed=seed,
                folder=_folder(folder, name, schedule, point, seed),
                options={**options, "seed": seed},
                test=test,
                evaluate_every=sweep.evaluate_every,
                reconstruct=sweep.reconstruct,
                test_source=Path(sides["path_src"]) if "path_tgt" in sides else None,
            )
            for name, options, schedule, point in points
        ]
        for curve in quantized:
            of_seed += _quantized_runs(path, folder, curve, of_seed)
        runs += sorted(of_seed, key=lambda run: order.index(run.curve))
    ((name, count),) = Counter(run.name for run in runs).most_common(1)
    if count > 1:
        raise UserError(f"{path}: two runs would be called {name}; name them apart")
    reference = str(sweep.reference)
    if reference not in order:
        raise unknown_name(f"reference in {path}", reference, order)
    settings = {name: _own_options(curve) for name, curve in trained.items()}
    settings |= {curve.name: curve.options() for curve in quantized}
    curves = {name: settings[name] for name in order}
    return Plan(path, folder, test, reference, curves, gpus, tuple(runs))


def _order(names: list[str], quantized: Sequence[QuantizedCurve]) -> list[str]:
    """Return the names of all curves in the order of the file, none before what it quantizes."""
    order = {name: (number, 0, 0) for number, name in enumerate(names)}
    for curve in quantized:
        own = names.index(curve.name) if curve.name in names else -1
        order[curve.name] = (max(own, order[curve.source][0]), 1, own)
    return sorted(order, key=lambda name: order[name])


def _quantized_runs(
    path: Path, folder: Path, curve: QuantizedCurve, trained: Sequence[Run]
) -> list[Run]:
    """Return the runs of ``curve``, one for each of its source's among ``trained``."""
    runs: list[Run] = []
    for source in trained:
        if source.curve == curve.source and source.schedule in curve.schedules:
            check_source(path, curve, source)
            own = _folder(folder, curve.name, source.schedule, source.point, source.seed)
            runs.append(curve.run(source, own))
    if not runs:
        raise UserError(
            f"{path}: curve {curve.name}: {curve.source} has no runs of the schedules left to it"
        )
    return runs


def _folder(folder: Path, curve: str, schedule: str, point: Mapping[str, Any], seed: int) -> Path:
    values = "_".join(map(str, point.values()))
    return folder / re.sub(r"[^\w.=+-]+", "_", f"{curve}_{values or schedule}_seed{seed}")


def _texts(folder: Path) -> dict[str, dict[str, str]]:
    """Return the paths of the sides of train, valid and test in a ``folder`` of texts."""
    paired = (folder / "train.src").is_file() and not (folder / TEXTS[0]).is_file()
    endings = {"path_src": "src", "path_tgt": "tgt"} if paired else {"path_src": "en"}
    texts = {}
    for name in ("train", "valid", "test"):
        texts[name] = {side: str(folder / f"{name}.{end}") for side, end in endings.items()}
        for path in map(Path, texts[name].values()):
            if not path.is_file():
                raise UserError(
                    f"-text {folder}: expected a folder of {', '.join(TEXTS)}, or of {PAIRED}; "
                    f"no {path.name}"
                )
    return texts


def _shared(
    path: Path, sweep: SweepFile, folder: Path, texts: Mapping[str, dict[str, str]]
) -> dict[str, Any]:
    """Return the options that every run has, with its data and vocabulary."""
    shared = read_config(path.parent / sweep.config)
    shared.pop("save_model", None)
    if texts:
        shared["data"] = {"corpus": texts["train"], "valid": texts["valid"]}
        shared.pop("src_vocab", None)
        if "tgt_vocab" in shared:
            shared["tgt_vocab"] = str(folder / "vocab.tgt.txt")
    if "data" not in shared:
        raise UserError(
            f"{path.parent / sweep.config}: names no data; give -text, a folder of "
            f"{', '.join(TEXTS)}, or of {PAIRED}"
        )
    shared.setdefault("src_vocab", str(folder / "vocab.txt"))
    return shared


def _take_gpus(path: Path, shared: dict[str, Any]) -> int:
    """Return how many GPUs a run asks for; the sweep chooses which ones."""
    if shared.get("gpu_backend") == "gloo":  # several processes on the CPU: a matter of their own
        return 0
    processes = _count(path, shared, "world_size", 1)
    shared.pop("world_size", None)
    return 0 if shared.pop("gpu_ranks", None) in (None, []) else processes  # the rank may be a 0


def _test(path: Path, sweep: SweepFile) -> dict[str, str]:
    """Return the paths of the sides of the text to evaluate on."""
    if sweep.test is None:
        raise UserError(f"{path}: test is missing: the path of the text to evaluate on")
    for name, text in {"test": sweep.test, "test_source": sweep.test_source}.items():
        if text is not None and not Path(text).is_file():
            raise UserError(f"{path}: {name} {text}: no such file")
    if sweep.test_source is None:
        return {"path_src": sweep.test}
    return {"path_src": sweep.test_source, "path_tgt": sweep.test}


def _checked_points(
    path: Path,
    trained: Mapping[str, Mapping[str, Any]],
    sweep: SweepFile,
    shared: Mapping[str, Any],
) -> list[tuple[str, dict[str, Any], str, dict[str, Any]]]:
    """Return curve, options, schedule and varied options of every run that is trained."""
    points, known = [], train_parser().names()
    for name, curve in trained.items():
        for options, schedule, point in _points(path, name, curve, sweep):
            check_keys(path, options, known)
            for key in OWN:
                if key in options:
                    raise UserError(
                        f"{path}: curve {name}: {key}: is set by the sweep; leave it out"
                    )
            options = {**shared, **options}
            _check_checkpoints(path, schedule, options)
            _check_numbers(path, name, options)
            points.append((name, options, schedule, point))
    if not points:
        raise UserError(f"{path}: expected 'fixed' or 'annealed', and curves to follow it")
    return points


def _points(
    path: Path, name: str, curve: Mapping[str, Any], sweep: SweepFile
) -> Iterator[tuple[dict[str, Any], str, dict[str, Any]]]:
    """Yield the options of each run of a curve, its schedule, and the options that vary."""
    for schedule in SCHEDULES:
        shared, own = getattr(sweep, schedule), curve.get(schedule, {})
        if own is False or not (shared or own):
            continue
        own = _mapping(f"{path}: curve {name}: {schedule}", own) if own else {}
        settings = {**shared, **own}
        varied = {k: v for k, v in settings.items() if schedule == FIXED and isinstance(v, list)}
        if schedule == FIXED and not (varied and all(varied.values())):
            raise UserError(
                f"{path}: curve {name}: fixed: expected a list of values of an option, not an "
                f"empty one"
            )
        for values in itertools.product(*varied.values()):
            point = dict(zip(varied, values, strict=True))
            yield {**settings, **_own_options(curve), **point}, schedule, point


def _own_options(curve: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in curve.items() if key not in SCHEDULES}


def _check_numbers(path: Path, name: str, options: Mapping[str, Any]) -> None:
    """Raise for a number that ``train`` would refuse in every run."""
    several = {action.dest for action in train_parser()._actions if action.nargs is not None}
    for key in RANGES.keys() & options.keys():
        value = options[key]
        if isinstance(value, list) and key not in several:
            raise UserError(f"{path}: curve {name}: {key} {value}: expected a single number")
        try:
            numbers = list(map(float, value if isinstance(value, list) else [value]))
        except (TypeError, ValueError):
            continue  # not a number, which train reports
        if not all(number in RANGES[key] for number in numbers):
            raise UserError(f"{path}: curve {name}: {key} {value}: expected {RANGES[key]}")


def _check_checkpoints(path: Path, schedule: str, options: Mapping[str, Any]) -> None:
    """Raise for options that would train a run to its end and leave it without a point."""
    _count(path, options, "train_steps", None)
    _count(path, options, "save_checkpoint_steps", SAVE_CHECKPOINT_STEPS)
    keep = options.get("keep_checkpoint", -1)
    if keep == 0 or (schedule == ANNEALED and keep != -1):
        needed = "all its checkpoints" if schedule == ANNEALED else "its last checkpoint"
        raise UserError(
            f"{path}: keep_checkpoint {keep!r}: a run of the schedule {schedule} needs {needed}; "
            f"leave it out, or set it to -1 there"
        )


def _mapping(name: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping) or not value:
        raise UserError(f"{name}: expected 'option: value' lines, got {value!r}")
    return value


def _count(path: Path, options: Mapping[str, Any], key: str, default: int | None) -> int:
    value = options.get(key, default)
    if type(value) is not int or value not in RANGES[key]:
        raise UserError(f"{path}: {key} {value!r}: expected a whole number, {RANGES[key]}")
    return value
