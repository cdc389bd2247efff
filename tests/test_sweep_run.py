"""A run of a sweep, the records of all runs, and what is collected of them."""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from onmt_lattice.errors import UserError
from onmt_lattice.experiments.report.results import (
    ANNEALED,
    FAILED,
    FINISHED,
    FIXED,
    RUNNING,
    WAITING,
)
from onmt_lattice.experiments.sweep.manifest import Manifest
from onmt_lattice.experiments.sweep.plan import Plan, read_plan
from onmt_lattice.experiments.sweep.run import Run
from onmt_lattice.experiments.sweep.sweep import SweepOptions, begin, collect, draw_now, manifest_of
from onmt_lattice.opennmt.training.history import History


def run_in(folder: Path, schedule: str = FIXED, **options: Any) -> Run:
    options = {"train_steps": 20, "save_checkpoint_steps": 5, **options}
    run = Run("c", schedule, {}, 1, folder / "r", options, Path("test.en"))
    run.claim()
    return run


def touch(run: Run, *names: str) -> None:
    for name in names:
        (run.folder / name).touch()


def test_training_goes_on_from_the_last_checkpoint(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    assert run.step() == 0
    touch(run, *(f"model_step_{step}.safetensors" for step in (10, 5, 3, "x")))
    touch(run, ".model_step_999.safetensors.abc.part.safetensors")  # a write that was cut off
    assert list(run.checkpoints()) == [3, 5, 10]
    words = run.command(("-gpu_ranks", "0")) or []
    assert words[5:8] == ["train", "-config", str(run.config)]
    assert words[8:] == ["-gpu_ranks", "0", "-resume", "auto"]
    assert not run.trained and run.step() == 10
    History(run.history, 0).append({"event": "train", "step": 15, "nll": math.nan})
    with open(run.history, "a", encoding="utf-8") as file:
        file.write('{"event": "train", "st')  # killed while it wrote
    assert run.step() == 15


def test_a_fixed_run_is_judged_by_its_last_checkpoint(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    assert list(run.evaluated()) == list(run.decoded()) == [20]
    touch(run, "model_step_5.safetensors", "model_step_20.safetensors")
    (command,) = run.commands()
    folder = str(run.folder)
    assert command[5:] == [
        *("evaluate", "-src", "test.en", "-output", folder, "-reconstruct", folder),
        *("-model", f"{folder}/model_step_20.safetensors"),
    ]
    touch(run, "model_step_20.json", "model_step_20.txt")
    assert run.command() is None and run.finished


@pytest.mark.parametrize(
    ("options", "coded"),
    [
        ({}, False),
        ({"bottleneck": "gaussian"}, False),
        ({"bottleneck": "none"}, False),
        ({"bottleneck": "lattice"}, True),
        ({"bottleneck": "lattice", "lattice": "E8", "lattice_code": "auto"}, True),
        ({"bottleneck": "lattice", "lattice": "E8", "lattice_code": "convolved_gaussian"}, False),
        ({"bottleneck": "ste_vector", "levels": 4}, True),
    ],
)
def test_what_has_a_code_is_compressed_as_it_is_evaluated(
    tmp_path: Path, options: dict[str, Any], coded: bool
) -> None:
    """A point that was evaluated before the bytes of files were taken is not evaluated again."""
    run = run_in(tmp_path, ANNEALED, **options)
    touch(run, *(f"model_step_{step}.safetensors" for step in (5, 10, 15, 20)))
    assert [("-coded" in words) for words in run.evaluate_commands()] == [coded, coded]
    touch(run, *(f"model_step_{n}.{e}" for n in (5, 10, 15, 20) for e in ("json", "txt")))
    assert run.finished


def test_every_checkpoint_of_an_annealed_run_is_a_point(tmp_path: Path) -> None:
    run = run_in(tmp_path, ANNEALED, train_steps=22)
    assert list(run.evaluated()) == [5, 10, 15, 20, 22]
    assert list(run.decoded()) == [10, 15, 22]  # three, evenly spaced, the last among them
    touch(run, *(f"model_step_{step}.safetensors" for step in (5, 10, 15, 20, 22)))
    plain, decoded = run.evaluate_commands()
    models = [Path(word).name for word in plain if word.endswith(".safetensors")]
    assert models == ["model_step_5.safetensors", "model_step_20.safetensors"]
    assert "-reconstruct" in decoded and "-reconstruct" not in plain
    touch(run, "model_step_5.json")
    assert f"{run.folder}/model_step_5.safetensors" not in (run.command() or [])


def test_evaluate_every_thins_the_checkpoints_out(tmp_path: Path) -> None:
    options = {"train_steps": 22, "save_checkpoint_steps": 5}
    run = Run("c", ANNEALED, {}, 1, tmp_path, options, Path("t"), evaluate_every=10, reconstruct=0)
    assert list(run.evaluated()) == [10, 20, 22]
    assert run.decoded() == {} and run.evaluate_commands()[1] == []


def test_the_commands_left_are_as_typed_by_hand(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    touch(run, "model_step_5.safetensors")
    training, evaluation = run.commands_left(("-gpu_ranks", "0"))
    assert training == [*run.train_command(), "-gpu_ranks", "0", "-resume", "auto"]
    assert evaluation[:2] == ["onmt_lattice", "evaluate"] and evaluation[-2:] == ["-gpu", "0"]
    assert "-gpu" not in run.commands_left()[1]
    touch(run, "model_step_20.safetensors", "model_step_20.json", "model_step_20.txt")
    assert run.commands_left() == []


def test_a_folder_of_other_options_is_refused(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    assert not run.claim()  # it is no new one
    held = run.config.read_bytes()
    with pytest.raises(UserError, match=r"other options \(train_steps"):
        run_in(tmp_path, train_steps=30)
    assert run.config.read_bytes() == held


def test_options_that_cannot_be_read_are_said_to_be_damaged(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    for content in ("", "- a", "a: [", "\x00"):
        run.config.write_text(content, encoding="utf-8")
        with pytest.raises(UserError, match=r"config.yaml: damaged; remove"):
            run.claim()
        assert run.config.read_text(encoding="utf-8") == content


def test_evaluations_of_another_text_or_training_are_removed(tmp_path: Path) -> None:
    run = run_in(tmp_path)
    touch(run, *(f"model_step_{end}" for end in ("20.safetensors", "5.txt", "20.txt", "10.json")))
    (run.folder / "model_step_20.json").write_text('{"text": "test.en"}', encoding="utf-8")
    run.claim()
    left = {path.name for path in run.folder.glob("model_step_*")}
    assert left == {"model_step_20.safetensors", "model_step_20.json", "model_step_20.txt"}
    assert run.finished
    other = dataclasses.replace(run, test=Path("other.en"))
    other.check()
    assert other.finished
    other.claim()
    assert [path.name for path in run.folder.glob("model_step_*")] == ["model_step_20.safetensors"]
    (run.folder / "model_step_20.json").write_text('{"text": "test.en"}', encoding="utf-8")
    (run.folder / "model_step_20.safetensors").unlink()
    run.claim()
    assert [path.name for path in run.folder.glob("model_step_*")] == []


def test_a_run_may_move_to_another_folder(tmp_path: Path) -> None:
    run = run_in(tmp_path, src_vocab="old/vocab.txt")
    run.folder.parent.rename(tmp_path.with_name("moved"))
    moved = run_in(tmp_path.with_name("moved"), src_vocab="new/vocab.txt")
    assert yaml.safe_load(moved.config.read_text(encoding="utf-8")) == {
        **moved.options,
        "save_model": str(moved.folder / "model"),
        "log_json": str(moved.folder / "history.jsonl"),
    }


def runs_in(folder: Path) -> list[Run]:
    """Return three runs that differ in their seed."""
    options = {"train_steps": 20}
    return [
        Run("c", FIXED, {}, seed, folder / f"c_seed{seed}", options, Path("test.en"))
        for seed in (1, 2, 3)
    ]


def test_records_are_those_of_the_manifest_before(tmp_path: Path) -> None:
    one, two, three = runs = runs_in(tmp_path)
    manifest = Manifest(tmp_path, runs, {})
    manifest.record(one, RUNNING)
    manifest.record(two, RUNNING, job="77")
    manifest.record(three, FAILED, "out of luck")
    again = Manifest(tmp_path, runs, {})
    assert again[one].status == RUNNING  # as far as one can tell who looks on
    again.take_over()  # its sweep was killed
    assert again[one].status == WAITING
    assert again[two] == manifest[two] and again[three] == manifest[three]


def test_runs_of_other_seeds_keep_their_records(tmp_path: Path) -> None:
    """A job in a queue would be submitted twice, and a failure forgotten."""
    one, two, three = runs = runs_in(tmp_path)
    whole = Manifest(tmp_path, runs, {})
    whole.record(two, FAILED, "out of luck")
    whole.record(three, RUNNING, job="77")
    part = Manifest(tmp_path, [one], {})
    assert part.failed() == []
    part.record(one, FINISHED)
    again = Manifest(tmp_path, runs, {})
    assert again[one].status == FINISHED
    assert (again[two], again[three]) == (whole[two], whole[three])
    names = [run["name"] for run in json.loads(part.path.read_text(encoding="utf-8"))["runs"]]
    assert sorted(names) == [run.name for run in runs]


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"runs": null}', '{"runs": [{"name": "a"}]}'])
def test_a_damaged_manifest_is_said_to_be(tmp_path: Path, content: str) -> None:
    (tmp_path / "manifest.json").write_text(content, encoding="utf-8")
    with pytest.raises(UserError, match=r"manifest.json: damaged .* remove it"):
        Manifest(tmp_path, runs_in(tmp_path), {})


def test_sentences_are_the_lines_that_are_evaluated(tmp_path: Path) -> None:
    """Other separators break no line, and so each stands beside its own reconstruction."""
    text = tmp_path / "test.en"
    text.write_bytes("a\u2028b\x0cc\rd\n\ne f\n".encode())
    plan = Plan(tmp_path / "sweep.yaml", tmp_path, text, "gaussian", {}, 0, ())
    results = collect(plan, Manifest(tmp_path, plan.runs, {}))
    assert results.inputs == ["a\u2028b\x0cc\rd", "", "e f"]


@pytest.fixture
def options(tmp_path: Path, text: Path) -> SweepOptions:
    """Return a sweep of one run."""
    (tmp_path / "common.yaml").write_text("train_steps: 20", encoding="utf-8")
    sweep = "{config: common.yaml, reference: a, seeds: [1], curves: {a: {layers: 1}}, "
    sweep += "fixed: {rate_weight: [0.1]}}"
    (tmp_path / "sweep.yaml").write_text(sweep, encoding="utf-8")
    return SweepOptions(config=tmp_path / "sweep.yaml", output=tmp_path / "out", text=text)


def plan_of(options: SweepOptions) -> Plan:
    return read_plan(options.config, options.output, options.text, None)


def test_the_failure_of_a_folder_that_was_removed_is_forgotten(options: SweepOptions) -> None:
    plan = plan_of(options)
    (run,) = plan.runs
    plan.vocabulary.parent.mkdir()
    plan.vocabulary.touch()
    manifest = manifest_of(plan)
    begin(plan, manifest)
    manifest.record(run, FAILED, "out of luck")
    for status in (FAILED, WAITING):
        manifest = manifest_of(plan)
        begin(plan, manifest)
        assert manifest[run].status == status
        shutil.rmtree(run.folder)


def test_what_is_drawn_are_the_runs_of_the_sweep_as_they_are(
    options: SweepOptions, tmp_path: Path
) -> None:
    """One under way as such, and none of other options."""
    plan = plan_of(options)
    (run,) = plan.runs
    run.claim()
    Manifest(plan.folder, plan.runs, {}).record(run, RUNNING)
    (drawn,) = draw_now(options).runs
    assert (drawn.name, drawn.record.status) == (run.name, RUNNING)
    left = (options.output / "results.json").read_bytes()
    (tmp_path / "common.yaml").write_text("train_steps: 30", encoding="utf-8")
    with pytest.raises(UserError, match=r"holds a run of other options \(train_steps"):
        draw_now(options)
    assert (options.output / "results.json").read_bytes() == left
