"""Curves that quantize another one's checkpoints, read from YAML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from onmt_lattice.errors import UserError
from onmt_lattice.experiments.report.results import ANNEALED, FIXED
from onmt_lattice.experiments.sweep.plan import Plan, read_plan
from onmt_lattice.experiments.sweep.quantized_run import QuantizedRun

SHARED = {"rnn_size": 8, "learning_rate": 0.01}
GAUSSIAN = {"bottleneck": "gaussian"}
Z = {"quantize": "gaussian", "lattice": "Z"}
TUNED = {**Z, "more_steps": 5, "annealed": False}
SWEEP: dict[str, Any] = {
    "config": "common.yaml",
    "seeds": [1, 2],
    "fixed": {"rate_weight": [0.1, 0.2], "train_steps": 20},
    "annealed": {"train_steps": 40, "save_checkpoint_steps": 10},
}


@pytest.fixture
def text(tmp_path: Path) -> Path:
    folder = tmp_path / "text"
    folder.mkdir()
    for name in ("train.en", "valid.en", "test.en"):
        (folder / name).write_text("a b\n", encoding="utf-8")
    return folder


def plan_of(tmp_path: Path, curves: dict[str, Any], **changes: Any) -> Plan:
    (tmp_path / "common.yaml").write_text(yaml.safe_dump(SHARED), encoding="utf-8")
    path = tmp_path / "sweep.yaml"
    sweep = {**SWEEP, **changes, "curves": curves}
    path.write_text(yaml.safe_dump(sweep, sort_keys=False), encoding="utf-8")
    return read_plan(path, tmp_path / "out", tmp_path / "text", None)


def quantized(plan: Plan) -> dict[str, QuantizedRun]:
    return {run.name: run for run in plan.runs if isinstance(run, QuantizedRun)}


def test_each_run_of_the_source_is_quantized(tmp_path: Path, text: Path) -> None:
    plan = plan_of(tmp_path, {"gaussian": GAUSSIAN, "Z": Z})
    runs = quantized(plan)
    own = {name: run for name, run in runs.items() if run.curve == "Z"}
    assert list(own) == [
        f"Z_{point}_seed{seed}" for seed in (1, 2) for point in ("0.1", "0.2", "annealed")
    ]
    for run in own.values():
        source = run.waits_for
        assert source.name == run.name.replace("Z_", "gaussian_") and not source.waits_for
        assert (run.reading, run.point, run.seed) == (source.reading, source.point, source.seed)
        assert run.evaluated().keys() == source.evaluated().keys()
    assert list(own["Z_annealed_seed1"].evaluated()) == [10, 20, 30, 40]


def test_the_fair_opponent_is_added_unless_it_is_there(tmp_path: Path, text: Path) -> None:
    plan = plan_of(tmp_path, {"gaussian": GAUSSIAN, "Z": Z, "tuned": TUNED})
    names = ["gaussian, refitted", "gaussian, refitted, 5 more steps"]
    assert list(plan.curves) == ["gaussian", *names, "Z", "tuned"]
    assert plan.curves[names[1]] == {"quantize": "gaussian", "lattice": "none", "more_steps": 5}
    runs = quantized(plan)
    tuned = [run for run in runs.values() if run.more_steps]
    assert {run.reading for run in tuned} == {FIXED} and {run.steps for run in tuned} == {25}
    assert [run.reading for run in runs.values() if run.curve == names[0]].count(ANNEALED) == 2

    longer = {**TUNED, "lattice": "none"}
    again = plan_of(tmp_path, {"gaussian": GAUSSIAN, "tuned": TUNED, "longer": longer})
    assert list(again.curves) == ["gaussian", "tuned", "longer"]


def test_no_run_stands_before_what_it_quantizes(tmp_path: Path, text: Path) -> None:
    plan = plan_of(tmp_path, {"Z": Z, "ste": {"bottleneck": "ste_scalar"}, "gaussian": GAUSSIAN})
    assert list(plan.curves) == ["ste", "gaussian", "gaussian, refitted", "Z"]
    for place, run in enumerate(plan.runs):
        assert run.waits_for is None or run.waits_for in plan.runs[:place]
    assert [run.seed for run in plan.runs] == sorted(run.seed for run in plan.runs)


def test_commands_quantize_every_checkpoint_then_evaluate(tmp_path: Path, text: Path) -> None:
    run = quantized(plan_of(tmp_path, {"gaussian": GAUSSIAN, "Z": Z}))["Z_annealed_seed1"]
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
    run = quantized(plan_of(tmp_path, curves))["tuned_0.1_seed1"]
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


@pytest.mark.parametrize(
    "curve",
    [
        pytest.param({"quantize": "gaussian", "lattice": "none"}, id="a Gaussian"),
        pytest.param(
            {"quantize": "gaussian", "lattice": "A2", "lattice_code": "convolved_gaussian"},
            id="an estimate",
        ),
    ],
)
def test_what_has_no_code_is_not_compressed(
    tmp_path: Path, text: Path, curve: dict[str, Any]
) -> None:
    run = quantized(plan_of(tmp_path, {"gaussian": GAUSSIAN, "other": curve}))["other_0.1_seed1"]
    assert not any("-coded" in words for words in run.commands_left())
    assert run.commands_left()[-1][1] == "evaluate"


def test_a_folder_of_another_quantization_is_refused(tmp_path: Path, text: Path) -> None:
    def claim(curve: dict[str, Any], **gaussian: Any) -> None:
        curves = {"gaussian": {**GAUSSIAN, **gaussian}, "Z": curve}
        quantized(plan_of(tmp_path, curves))["Z_0.1_seed1"].claim()

    claim(Z)
    claim(Z)
    with pytest.raises(UserError, match=r"other options \(lattice;"):
        claim({**Z, "lattice": "A2"})
    with pytest.raises(UserError, match=r"other options \(more_steps, train_steps;"):
        claim(TUNED)
    with pytest.raises(UserError, match=r"other options \(dropout;"):
        claim(Z, dropout=0.1)
    with pytest.raises(UserError, match=r"other options \(.*quantize;"):
        run = plan_of(tmp_path, {"gaussian": GAUSSIAN, "Z": {"bottleneck": "lattice"}}).runs[3]
        assert run.name == "Z_0.1_seed1"
        run.claim()


@pytest.mark.parametrize(
    ("curve", "message"),
    [
        ({"quantize": "gausian"}, "unknown curve to quantize .*'gausian'; did you mean 'gaussian'"),
        ({"quantize": "other"}, "unknown curve to quantize .*'other'"),
        ({"quantize": "Z"}, "unknown curve to quantize .*'Z'"),
        ({"quantize": "ste"}, "quantize ste: its bottleneck is ste_scalar; expected"),
        ({"lattice": "E9"}, "curve Z: unknown lattice 'E9'.*'none' refits"),
        ({"lattice": None}, "curve Z: lattice None: expected text"),
        ({"levels": 2}, "levels: has no place beside 'quantize': expected lattice, lattice_code"),
        ({"lattice_code": "gaussian"}, "unknown lattice code in .*'gaussian'"),
        ({"lattice": "none", "lattice_code": "discrete_gaussian"}, "no lattice to code"),
        ({"more_steps": -1}, "more_steps -1: expected at least 0"),
        ({"more_steps": True}, "more_steps True: expected a whole number"),
        ({"more_steps": 5}, "more_steps: lambda of gaussian_annealed_seed1 would go on growing"),
        ({"fixed": {"rate_weight": [0.1]}}, "fixed: its runs are those of gaussian"),
        ({"fixed": False, "annealed": False}, "gaussian has no runs of the readings left"),
    ],
)
def test_mistakes(tmp_path: Path, text: Path, curve: dict[str, Any], message: str) -> None:
    others = {"gaussian": GAUSSIAN, "ste": {"bottleneck": "ste_scalar"}}
    curves = {**others, "Z": {**Z, **curve}, "other": {**Z, "quantize": "Z"}}
    if curve.get("quantize") not in ("Z", "other"):
        del curves["other"]
    with pytest.raises(UserError, match=message):
        plan_of(tmp_path, curves)
    assert not (tmp_path / "out").exists()


def test_a_curve_of_the_added_ones_name_is_refused(tmp_path: Path, text: Path) -> None:
    curves = {"gaussian": GAUSSIAN, "Z": Z, "gaussian, refitted": {"bottleneck": "none"}}
    with pytest.raises(UserError, match="name yours otherwise"):
        plan_of(tmp_path, curves)
