"""The grid of a sweep, read from YAML: curves, some of which quantize another's checkpoints."""

from __future__ import annotations

import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from onmt_lattice.errors import UserError
from onmt_lattice.experiments.demo.demo import CONFIG
from onmt_lattice.experiments.report.results import ANNEALED, FIXED
from onmt_lattice.experiments.sweep.plan import Plan, read_plan
from onmt_lattice.experiments.sweep.quantized import QuantizedRun
from onmt_lattice.experiments.sweep.sweep import SweepOptions, commands

ROOT = Path(__file__).parent.parent
SHARED = {"rnn_size": 8, "train_steps": 100, "save_model": "elsewhere"}
SWEEP: dict[str, Any] = {
    "config": "common.yaml",
    "seeds": [1, 2],
    "fixed": {"rate_weight": [0.1, 0.2], "train_steps": 20},
    "annealed": {"rate_weight": 1.0, "train_steps": 40, "save_checkpoint_steps": 10},
    "curves": {
        "gaussian": {"bottleneck": "gaussian"},
        "lattice A2": {"bottleneck": "lattice", "lattice": "A2", "annealed": False},
        "ste": {"bottleneck": "ste_scalar", "fixed": {"rate_weight": 0.5, "levels": [2, 3, 4]}},
    },
}


def plan_of(
    tmp_path: Path, text: Path | None, shared: dict[str, Any] = SHARED, **changes: Any
) -> Plan:
    (tmp_path / "common.yaml").write_text(yaml.safe_dump(shared), encoding="utf-8")
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump({**SWEEP, **changes}, sort_keys=False), encoding="utf-8")
    return read_plan(path, tmp_path / "out", text, None)


def test_every_curve_schedule_value_and_seed_is_a_run_of_the_nearest_options(
    tmp_path: Path, text: Path
) -> None:
    plan = plan_of(tmp_path, text)
    names = [run.name for run in plan.runs]
    assert len(set(names)) == len(names) == 2 * ((2 + 1) + 2 + (3 + 1))
    assert names[:3] == ["gaussian_0.1_seed1", "gaussian_0.2_seed1", "gaussian_annealed_seed1"]
    assert "lattice_A2_0.2_seed2" in names and "lattice_A2_annealed_seed1" not in names
    assert [run.seed for run in plan.runs] == sorted(run.seed for run in plan.runs)
    runs = {run.name: run for run in plan.runs}
    ste = runs["ste_3_seed2"]
    assert ste.point == {"levels": 3}
    assert ste.steps == 20  # of the schedule, not of the shared configuration
    assert ste.options["rate_weight"] == 0.5  # of the curve's own schedule
    assert ste.options["rnn_size"] == 8 and ste.options["seed"] == 2
    assert "save_model" not in ste.options
    for name in ("train", "valid"):
        corpus = "corpus" if name == "train" else name
        assert ste.options["data"][corpus]["path_src"] == str(text / f"{name}.en")
    assert (plan.test, plan.vocabulary) == (text / "test.en", tmp_path / "out" / "vocab.txt")
    annealed = runs["gaussian_annealed_seed1"]
    assert (annealed.steps, annealed.point) == (40, {})


def test_a_value_that_is_a_path_is_part_of_the_name(tmp_path: Path, text: Path) -> None:
    """A folder in between would leave runs of several curves with one name, and one record."""
    fixed = {"pre_word_vecs_enc": ["a/x.pt", "b/x.pt"]}
    runs = plan_of(tmp_path, text, fixed=fixed, annealed={}).runs
    assert {run.folder.parent for run in runs} == {tmp_path / "out"}
    assert len({run.name for run in runs}) == len(runs)
    assert runs[0].name == "gaussian_a_x.pt_seed1"


def test_gpus_are_the_sweeps_to_give(tmp_path: Path, text: Path) -> None:
    shared = {**SHARED, "gpu_ranks": [0, 1], "world_size": 2}
    plan = plan_of(tmp_path, text, shared)
    assert plan.gpus_a_run == 2
    assert not {"gpu_ranks", "world_size"} & set(plan.runs[0].options)
    gloo = plan_of(tmp_path, text, {**shared, "gpu_backend": "gloo"})
    assert gloo.gpus_a_run == 0 and gloo.runs[0].options["world_size"] == 2
    assert plan_of(tmp_path, text).gpus_a_run == 0
    assert plan_of(tmp_path, text, {**SHARED, "gpu_ranks": []}).gpus_a_run == 0
    assert plan_of(tmp_path, text, {**SHARED, "gpu_ranks": 0}).gpus_a_run == 1


def test_commands_by_hand_take_the_gpus(tmp_path: Path, text: Path) -> None:
    plan_of(tmp_path, text, {**SHARED, "gpu_ranks": [0, 1], "world_size": 2})
    options = SweepOptions(config=tmp_path / "sweep.yaml", output=tmp_path / "out", text=text)
    _, training, evaluation, *_ = commands(options)
    assert "-world_size 2 -gpu_ranks 0 1 -master_port" in training
    assert evaluation.endswith("-gpu 0")
    assert not any("-gpu" in line for line in commands(replace(options, gpus=["none"])))
    plan_of(tmp_path, text)  # of a configuration without GPUs
    assert not any("-gpu" in line for line in commands(options))
    _, training, *_ = commands(replace(options, gpus=["3"]))
    assert "-world_size 1 -gpu_ranks 0 -master_port" in training


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"curve": {}}, "unknown key in .*'curve'; did you mean 'curves'"),
        ({"config": None}, "config None: expected text; the YAML file"),
        ({"curves": None}, "curves None: expected 'option: value' lines"),
        ({"curves": {"gaussian": {"bottlenek": "gaussian"}}}, "did you mean 'bottleneck'"),
        ({"curves": {"gaussian": {"seed": 3}}}, "seed: is set by the sweep"),
        ({"curves": {"Z": {"bottleneck": "lattice"}}}, "unknown reference .*'gaussian'"),
        ({"seeds": []}, "seeds .*: expected a list"),
        ({"fixed": {"rate_weight": 0.1}}, "fixed: expected a list of values"),
        ({"fixed": {"rate_weight": [0.1], "levels": []}}, "gaussian: fixed: .* not an empty one"),
        ({"fixed": {"rate_weight": [0.1, 0.1]}}, "two runs would be called gaussian_0.1_seed1"),
        ({"annealed": {"keep_checkpoint": 2}}, "keep_checkpoint 2: .* annealed needs"),
        ({"shared": {**SHARED, "keep_checkpoint": 2}}, "keep_checkpoint 2: .* annealed needs"),
        ({"curves": {"gaussian": {"keep_checkpoint": 0}}, "annealed": {}}, "0: .* its last"),
        ({"shared": {**SHARED, "world_size": "two"}}, "world_size 'two': expected a whole number"),
        ({"annealed": {"save_checkpoint_steps": 0}}, "save_checkpoint_steps 0: expected a whole"),
        ({"fixed": {"rate_weight": [1], "train_steps": "1e3"}}, "train_steps '1e3': expected a"),
        (
            {"shared": {}, "annealed": {}, "fixed": {"rate_weight": [1]}},
            "train_steps None: expected",
        ),
        ({"fixed": {"rate_weight": [0.1, math.nan]}}, "gaussian: rate_weight nan: .* at least 0"),
        ({"curves": {"gaussian": {"dropout": [0.1, 1]}}}, r"dropout \[0.1, 1\]: expected"),
        (
            {"fixed": {}, "annealed": {}, "curves": {"gaussian": {"bottleneck": "gaussian"}}},
            "expected 'fixed' or 'annealed'",
        ),
    ],
)
def test_mistakes(tmp_path: Path, text: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        plan_of(tmp_path, text, **changes)
    assert not (tmp_path / "out").exists()


def test_texts_that_are_not_there(tmp_path: Path, text: Path) -> None:
    with pytest.raises(UserError, match="names no data; give -text"):
        plan_of(tmp_path, None)
    with pytest.raises(UserError, match=r"test is missing: the path"):
        plan_of(tmp_path, None, {**SHARED, "data": {}})
    with pytest.raises(UserError, match=r"test none.en: no such file"):
        plan_of(tmp_path, None, {**SHARED, "data": {}}, test="none.en")
    (text / "test.en").write_bytes(b"\x1f\x8b")
    with pytest.raises(UserError, match=r"-text .*/test.en: is packed by gzip"):
        plan_of(tmp_path, text)
    (text / "valid.en").unlink()
    with pytest.raises(UserError, match=r"no valid.en"):
        plan_of(tmp_path, text)


def test_presets_are_in_order(tmp_path: Path, text: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each can be read, and a preset has the Gaussian, lattices and straight-through quantizers."""
    shutil.copytree(ROOT / "configs", tmp_path / "configs")
    (tmp_path / "data/wmt16").mkdir(parents=True)
    (tmp_path / "data/wmt16/data.yaml").write_text("data: {}\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    paths = [*sorted(Path("configs").glob("*/sweep*.yaml")), CONFIG]
    assert {path.parent.name for path in paths} >= {"paper", "captions"}
    for path in paths:
        plan = read_plan(path, tmp_path / "out", text, None)
        kinds = {str(run.options["bottleneck"]) for run in plan.runs}
        kinds |= {"lattice" for curve in plan.curves.values() if "lattice" in curve}
        if path.stem == "sweep":
            assert {"gaussian", "lattice", "ste_vector"} <= kinds


GAUSSIAN = {"bottleneck": "gaussian"}
Z = {"quantize": "gaussian", "lattice": "Z"}
TUNED = {**Z, "more_steps": 5, "annealed": False}


def plan_of_curves(tmp_path: Path, curves: dict[str, Any]) -> Plan:
    return plan_of(tmp_path, tmp_path / "text", curves=curves)


def quantized(plan: Plan) -> dict[str, QuantizedRun]:
    return {run.name: run for run in plan.runs if isinstance(run, QuantizedRun)}


def test_each_run_of_the_source_is_quantized(tmp_path: Path, text: Path) -> None:
    plan = plan_of_curves(tmp_path, {"gaussian": GAUSSIAN, "Z": Z})
    runs = quantized(plan)
    own = {name: run for name, run in runs.items() if run.curve == "Z"}
    assert list(own) == [
        f"Z_{point}_seed{seed}" for seed in (1, 2) for point in ("0.1", "0.2", "annealed")
    ]
    for run in own.values():
        source = run.waits_for
        assert source.name == run.name.replace("Z_", "gaussian_") and not source.waits_for
        assert (run.schedule, run.point, run.seed) == (source.schedule, source.point, source.seed)
        assert run.evaluated().keys() == source.evaluated().keys()
    assert list(own["Z_annealed_seed1"].evaluated()) == [10, 20, 30, 40]


def test_the_fair_opponent_is_added_unless_it_is_there(tmp_path: Path, text: Path) -> None:
    plan = plan_of_curves(tmp_path, {"gaussian": GAUSSIAN, "Z": Z, "tuned": TUNED})
    names = ["gaussian, refitted", "gaussian, refitted, 5 more steps"]
    assert list(plan.curves) == ["gaussian", *names, "Z", "tuned"]
    assert plan.curves[names[1]] == {"quantize": "gaussian", "lattice": "none", "more_steps": 5}
    runs = quantized(plan)
    tuned = [run for run in runs.values() if run.more_steps]
    assert {run.schedule for run in tuned} == {FIXED} and {run.steps for run in tuned} == {25}
    assert [run.schedule for run in runs.values() if run.curve == names[0]].count(ANNEALED) == 2

    longer = {**TUNED, "lattice": "none"}
    again = plan_of_curves(tmp_path, {"gaussian": GAUSSIAN, "tuned": TUNED, "longer": longer})
    assert list(again.curves) == ["gaussian", "tuned", "longer"]


def test_no_run_stands_before_what_it_quantizes(tmp_path: Path, text: Path) -> None:
    plan = plan_of_curves(
        tmp_path, {"Z": Z, "ste": {"bottleneck": "ste_scalar"}, "gaussian": GAUSSIAN}
    )
    assert list(plan.curves) == ["ste", "gaussian", "gaussian, refitted", "Z"]
    for place, run in enumerate(plan.runs):
        assert run.waits_for is None or run.waits_for in plan.runs[:place]
    assert [run.seed for run in plan.runs] == sorted(run.seed for run in plan.runs)


def test_commands_quantize_every_checkpoint_then_evaluate(tmp_path: Path, text: Path) -> None:
    run = quantized(plan_of_curves(tmp_path, {"gaussian": GAUSSIAN, "Z": Z}))["Z_annealed_seed1"]
    *quantizing, plain, decoded = run.commands_left()
    source, folder = run.waits_for.folder, run.folder
    assert [" ".join(words) for words in quantizing] == [
        f"onmt_lattice quantize -model {source}/model_step_{step}.safetensors -lattice Z "
        f"-src {text}/train.en -output {folder}/model_step_{step}.safetensors -seed 0"
        for step in (10, 20, 30, 40)
    ]
    assert ["-scores", str(folder)] == plain[plain.index("-scores") :][:2]
    assert "-reconstruct" in decoded and "-reconstruct" not in plain
    assert "-coded" in decoded and "-coded" in plain
    assert run.commands_left(("-gpu_ranks", "0"))[0][-2:] == ["-gpu", "0"]


def test_commands_train_on_from_the_quantized_checkpoint(tmp_path: Path, text: Path) -> None:
    curves = {"gaussian": GAUSSIAN, "tuned": {**TUNED, "lattice_code": "discrete_gaussian"}}
    run = quantized(plan_of_curves(tmp_path, curves))["tuned_0.1_seed1"]
    quantizing, training, _ = run.commands_left(("-gpu_ranks", "0"))
    start = f"{run.folder}/model_step_20.safetensors"
    assert start in quantizing and quantizing[-2:] == ["-gpu", "0"]
    assert training[:4] == ["onmt_lattice", "train", "-config", str(run.waits_for.config)]
    code = ["-lattice_code", "discrete_gaussian"]
    assert training[4:10] == ["-bottleneck", "lattice", "-lattice", "Z", *code]
    assert training[-6:] == ["-train_steps", "25", "-gpu_ranks", "0", "-resume", "auto"]
    run.claim()
    run.checkpoint(20).touch()
    assert run.commands_left(("-gpu_ranks", "0"))[0] == training and not run.trained
    run.checkpoint(24).touch()
    assert run.commands_left()[0][-2:] == ["-resume", "auto"]
    run.checkpoint(25).touch()
    assert run.trained and run.commands_left()[0][1] == "evaluate"


def test_a_folder_of_another_quantization_is_refused(tmp_path: Path, text: Path) -> None:
    def claim(curve: dict[str, Any], **gaussian: Any) -> None:
        curves = {"gaussian": {**GAUSSIAN, **gaussian}, "Z": curve}
        quantized(plan_of_curves(tmp_path, curves))["Z_0.1_seed1"].claim()

    claim(Z)
    claim(Z)
    with pytest.raises(UserError, match=r"other options \(lattice;"):
        claim({**Z, "lattice": "A2"})
    with pytest.raises(UserError, match=r"other options \(more_steps, train_steps;"):
        claim(TUNED)
    with pytest.raises(UserError, match=r"other options \(dropout;"):
        claim(Z, dropout=0.1)
    runs = plan_of_curves(tmp_path, {"gaussian": GAUSSIAN, "Z": {"bottleneck": "lattice"}}).runs
    (run,) = [run for run in runs if run.name == "Z_0.1_seed1"]
    with pytest.raises(UserError, match=r"other options \(.*quantize;"):
        run.claim()


@pytest.mark.parametrize(
    ("curve", "message"),
    [
        ({"quantize": "gausian"}, "unknown curve to quantize .*'gausian'; did you mean 'gaussian'"),
        ({"quantize": "Z"}, "unknown curve to quantize .*'Z'"),
        ({"quantize": "ste"}, "quantize ste: its bottleneck is ste_scalar; expected"),
        ({"lattice": "E9"}, "curve Z: unknown lattice 'E9'.*'none' refits"),
        ({"levels": 2}, "levels: not an option beside 'quantize': expected lattice, lattice_code"),
        ({"lattice_code": "gaussian"}, "unknown lattice code in .*'gaussian'"),
        ({"lattice": "none", "lattice_code": "discrete_gaussian"}, "no lattice to code"),
        ({"more_steps": 5}, "more_steps: lambda of gaussian_annealed_seed1 would continue to grow"),
        ({"fixed": {"rate_weight": [0.1]}}, "fixed: its runs are those of gaussian"),
        ({"fixed": False, "annealed": False}, "gaussian has no runs of the schedules left"),
    ],
)
def test_mistakes_of_quantizing_curves(
    tmp_path: Path, text: Path, curve: dict[str, Any], message: str
) -> None:
    others = {"gaussian": GAUSSIAN, "ste": {"bottleneck": "ste_scalar"}}
    curves = {**others, "Z": {**Z, **curve}}
    with pytest.raises(UserError, match=message):
        plan_of_curves(tmp_path, curves)
    with pytest.raises(UserError, match="name yours otherwise"):
        plan_of_curves(tmp_path, {"gaussian": GAUSSIAN, "Z": Z, "gaussian, refitted": GAUSSIAN})
    assert not (tmp_path / "out").exists()
