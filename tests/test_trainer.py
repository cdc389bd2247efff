"""Validation, in both channels and without a trace in the training, and how training multiplies."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import BOTTLENECKS, Build, Corpus, Trained, assert_equal, batch_of, lines_of, train
from torch import nn

from onmt_lattice.errors import Interrupted
from onmt_lattice.opennmt.checkpoint.contents import named_tensors
from onmt_lattice.opennmt.checkpoint.loading import load_autoencoder, load_checkpoint
from onmt_lattice.opennmt.checkpoint.loading import load_checkpoint as load

LINES = lines_of(800, 1)[:40]


def weights(path: Path) -> dict[str, Any]:
    return dict(named_tensors(load_checkpoint(path)))


@pytest.mark.parametrize("name", ["gaussian", "lattice_z", "ste_vector"])
def test_training_is_the_same_with_and_without_validation(
    corpus: Corpus, tmp_path: Path, name: str
) -> None:
    data = corpus.settings()["data"]
    ends = []
    for run, changes in {
        "each": {"valid_steps": 1},
        "never": {"valid_steps": 1000},
        "without": {"data": {"grammar": data["grammar"]}},
    }.items():
        base = tmp_path / run
        options = {"bottleneck_dim": None, **BOTTLENECKS[name], "save_model": str(base)}
        config = corpus.yaml(tmp_path / f"{run}.yaml", **options, train_steps=6, **changes)
        train(config)
        ends.append(weights(tmp_path / f"{run}_step_6.safetensors"))
    assert_equal(ends[0], ends[1])
    assert_equal(ends[0], ends[2])


def test_a_run_that_keeps_no_checkpoints_names_none_when_it_is_stopped(build: Build) -> None:
    trainer = build(keep_checkpoint=0)
    trainer.optim._training_step, trainer.stop.number = 4, signal.SIGTERM
    with pytest.raises(Interrupted, match=r"^stopped at step 3 by SIGTERM$"):
        trainer._stop_if_requested()


def test_validation_reports_the_use_of_codebooks(trained: Trained, name: str) -> None:
    text = (trained(name).parent / f"{name}.log").read_text(encoding="utf-8")
    assert "Validation quantized" in text and "Validation relaxed" in text
    assert ("Validation codebooks" in text) == name.startswith(("ste", "residual"))


def test_validation_does_not_depend_on_the_batches(build: Build, name: str) -> None:
    trainer = build(**{"bottleneck_dim": None, **BOTTLENECKS[name], "param_init": 0.5})
    whole = trainer.validate([batch_of(trainer, LINES)])
    parts = trainer.validate([batch_of(trainer, LINES[i : i + 7], i) for i in range(0, 40, 7)])
    assert parts.n_words == whole.n_words == sum(len(line.split()) + 1 for line in LINES)
    assert parts.loss == pytest.approx(whole.loss, rel=1e-5)
    assert parts.rate_nats == pytest.approx(whole.rate_nats, rel=1e-5)
    assert parts.relaxed.rate_nats == pytest.approx(whole.relaxed.rate_nats, rel=1e-5)
    again = trainer.validate([batch_of(trainer, LINES, first_index=1000)])
    noisy = name in ("gaussian", "lattice_z", "lattice_a2")
    assert (again.loss != pytest.approx(whole.loss, rel=1e-5)) == noisy


def test_validation_sees_the_averaged_parameters(build: Build) -> None:
    trainer = build()
    batch = batch_of(trainer, LINES)
    plain = trainer.validate([batch])
    averages = [torch.zeros_like(p) for p in trainer.model.parameters()]
    averaged = trainer.validate([batch], moving_average=averages)
    # With every parameter at 0, all tokens are equally likely.
    assert averaged.xent() == pytest.approx(
        torch.log(torch.tensor(float(trainer.model.generator[0].out_features))).item(), rel=1e-5
    )
    assert trainer.validate([batch]).loss == plain.loss


FEW = lines_of(800, 1)[:24]


def seen(trainer: Any, validate: bool) -> dict[str, tuple[str, bool, bool]]:
    """Return torch's precision at some products of a batch, cuDNN's, and if in bfloat16."""
    found: dict[str, tuple[str, bool, bool]] = {}

    def note(name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: Any, out: Any) -> None:
            half = torch.is_autocast_enabled("cpu")
            tf32 = torch.backends.cudnn.allow_tf32
            found[name] = torch.get_float32_matmul_precision(), tf32, half

        return hook

    bottleneck = trainer.model.encoder.bottleneck
    hooked = {"map": bottleneck.map_in, "decoder": trainer.model.decoder.rnn}
    handles = [module.register_forward_hook(note(name)) for name, module in hooked.items()]
    batch = batch_of(trainer, FEW)
    trainer.model_saver = None
    trainer.validate([batch]) if validate else trainer.train([batch], 1, save_checkpoint_steps=0)
    for handle in handles:
        handle.remove()
    return found


@pytest.mark.parametrize("validate", [False, True])
@pytest.mark.parametrize("dtype", ["fp32", "tf32", "bf16"])
def test_the_bottleneck_and_validation_stay_in_single_precision(
    build: Build, dtype: str, validate: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("onmt_lattice.opennmt.model.gru.applies", lambda *args: False)
    found = seen(build(model_dtype=dtype), validate)
    assert found["map"] == ("highest", False, False)
    tf32, half = (dtype == name and not validate for name in ("tf32", "bf16"))
    assert found["decoder"] == ("high" if tf32 else "highest", tf32, half)
    assert torch.get_float32_matmul_precision() == "highest"
    assert torch.backends.cudnn.allow_tf32  # as torch has it


def test_a_step_in_bfloat16_is_near_that_in_single_precision(build: Build) -> None:
    ends = []
    for dtype in ("fp32", "bf16"):
        trainer = build(model_dtype=dtype, optim="sgd", learning_rate=0.5, layers=2)
        batch = batch_of(trainer, FEW)
        trainer.model_saver = None
        trainer.train([batch], 1, save_checkpoint_steps=0)
        assert {p.dtype for p in trainer.model.parameters()} == {torch.float32}
        ends.append((trainer.unreported.sums(), trainer.optim.grad_norm))
    (single, norm), (half, other) = ends
    assert half["loss"] == pytest.approx(single["loss"], rel=1e-2)
    assert half["rate_nats"] == pytest.approx(single["rate_nats"], rel=1e-2)
    assert other == pytest.approx(norm, rel=0.05)
    assert half["loss"] != single["loss"]


def test_models_trained_in_bfloat16_are_evaluated_as_any_others(
    corpus: Corpus, tmp_path: Path
) -> None:
    config = corpus.yaml(tmp_path / "a.yaml", save_model=str(tmp_path / "m"), train_steps=2)
    train(config, "-model_dtype", "bf16")
    checkpoint = load(tmp_path / "m_step_2.safetensors")
    assert {value.dtype for value in checkpoint["model"].values()} == {torch.float32}
    assert not load_autoencoder(tmp_path / "m_step_2.safetensors").model.bf16
