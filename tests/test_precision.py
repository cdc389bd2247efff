"""How training multiplies matrices: what -model_dtype changes, and what it leaves alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Corpus, batch_of, lines_of
from test_training import load, train
from torch import nn

from onmt_lattice.opennmt.checkpoint import load_autoencoder

Build = Callable[..., Any]
LINES = lines_of(800, 1)[:24]


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
    batch = batch_of(trainer, LINES)
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
        batch = batch_of(trainer, LINES)
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
    log = tmp_path / "log"
    train(config, "-train_steps", 3, "-resume", "auto", "-log_file", log)
    assert "-model_dtype: the checkpoint had bf16; continuing with fp32" in log.read_text()
