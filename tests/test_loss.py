"""The objective: NLL + λ · rate, the rate once a batch, whatever the accumulation."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from conftest import Build, batch_of, lines_of
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from onmt_lattice.noise import StreamNoise
from onmt_lattice.opennmt.options.parsers import SCHEDULES, RateWeight

LEARNING_RATE = 0.5
STEEP = {"rate_weight": 3.0, "rate_weight_schedule": "hyperbolic", "rate_weight_midpoint": 2}
SGD = {
    "optim": "sgd",
    "learning_rate": LEARNING_RATE,
    "max_grad_norm": 0.0,
    "param_init": 0.5,
    **STEEP,
}
STE = {"bottleneck": "ste_scalar", "levels": 3, "bottleneck_dim": None}
LINES = lines_of(800, 1)[:24]


def fresh(build: Build, **options: Any) -> Any:
    """Return a trainer whose quantizers no longer follow the data, and that has no saver."""
    trainer = build(**{**SGD, **options})
    if "batches" in dict(trainer.model.encoder.bottleneck.named_buffers()):
        trainer.model.encoder.bottleneck.batches.fill_(10**6)
    return trainer


def parameters(trainer: Any) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in trainer.model.named_parameters()}


def stepped(trainer: Any, batches: list[Any], steps: int = 1) -> dict[str, Tensor]:
    """Return the parameters after ``steps`` steps of OpenNMT-py's own training loop."""
    torch.manual_seed(5)
    trainer.model_saver = None
    trainer.train(batches, steps, save_checkpoint_steps=0)
    return parameters(trainer)


def objective(trainer: Any, batch: Any, rate_weight: float) -> tuple[Tensor, Tensor, Tensor]:
    """Return NLL + λ · rate, NLL and rate (nats, summed over the batch) from the definition."""
    model = trainer.model
    decoded, through = model.autoencode(
        batch.src[0], batch.tgt, batch.src[1], StreamNoise(), relaxed=True
    )
    log_prob = torch.log_softmax(model.generator[0](decoded), -1)
    target = batch.tgt[1:]
    nll = -(log_prob.gather(2, target) * (target != trainer.train_loss.padding_idx)).sum()
    rate = through.rate_nats.sum()
    return nll + rate_weight * rate, nll, rate


def assert_alike(ours: dict[str, Tensor], expected: dict[str, Tensor], **tolerance: float) -> None:
    for name, value in expected.items():
        torch.testing.assert_close(
            ours[name], value, msg=lambda m, n=name: f"{n}: {m}", **tolerance
        )


def moved(trainer: Any, batch: Any, normalization: str) -> dict[str, Tensor]:
    """Return the parameters after one step of gradient descent on the objective, by hand."""
    torch.manual_seed(5)
    norm = (batch.tgt[1:] != trainer.train_loss.padding_idx).sum().item()
    if normalization == "sents":
        norm = batch.batch_size
    loss, _, rate = objective(trainer, batch, RateWeight(3.0, "hyperbolic", 2)(1))
    assert rate > 1
    (loss / norm).backward()
    return {
        name: (p - LEARNING_RATE * p.grad if p.grad is not None else p).detach()
        for name, p in trainer.model.named_parameters()
    }


@pytest.mark.parametrize("normalization", ["sents", "tokens"])
def test_a_step_goes_down_the_objective_s_gradient(build: Build, normalization: str) -> None:
    trainer = fresh(build, normalization=normalization)
    batch = batch_of(trainer, LINES)
    expected = moved(fresh(build, normalization=normalization), batch, normalization)
    before = parameters(trainer)
    after = stepped(trainer, [batch])
    assert_alike(after, expected, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(after["encoder.rnn.weight_ih_l0"], before["encoder.rnn.weight_ih_l0"])


@pytest.mark.parametrize("normalization", ["sents", "tokens"])
def test_two_accumulated_batches_are_one_of_both(build: Build, normalization: str) -> None:
    options = {**STE, "normalization": normalization}
    whole = fresh(build, **options)
    expected = moved(fresh(build, **options), batch_of(whole, LINES), normalization)
    assert_alike(stepped(whole, [batch_of(whole, LINES)]), expected, rtol=1e-4, atol=1e-6)
    halves = fresh(build, **options, accum_count=[2])
    parts = [batch_of(halves, LINES[:10]), batch_of(halves, LINES[10:])]
    assert_alike(stepped(halves, parts), expected, rtol=1e-4, atol=1e-6)


def test_without_weight_the_rate_only_counts(build: Build) -> None:
    free, charged = (
        stepped(trainer, [batch_of(trainer, LINES)])
        for trainer in (fresh(build, rate_weight=0.0), fresh(build, rate_weight=3.0))
    )
    weight = "encoder.bottleneck.map_in.weight"
    assert not torch.equal(free[weight], charged[weight])
    trainer = fresh(build, **STE, rate_weight=0.0)
    before = parameters(trainer)["encoder.bottleneck.logits"]
    # The code's logits only matter to the rate.
    after = stepped(trainer, [batch_of(trainer, LINES)])["encoder.bottleneck.logits"]
    assert torch.equal(before, after)


MIDPOINT = 1000


def weight(schedule: str, asymptote: float = 3.0, midpoint: int = MIDPOINT) -> RateWeight:
    return RateWeight(asymptote, schedule, midpoint)


@pytest.mark.parametrize("t", [0.0, 0.25, 1.0, 3.0])
def test_schedules_are_their_formulas_of_t_midpoints(t: float) -> None:
    step = round(t * MIDPOINT)
    assert weight("constant")(step) == 3.0
    assert weight("hyperbolic")(step) == pytest.approx(3 * t / (1 + t))
    assert weight("logistic")(step) == pytest.approx(3 / (1 + math.exp(5 * (1 - t))))


@settings(derandomize=True, deadline=None)
@given(
    schedule=st.sampled_from(sorted(SCHEDULES)),
    asymptote=st.floats(0, 1e6),
    midpoint=st.integers(1, 10**9),
    step=st.integers(0, 10**15),
)
def test_a_weight_never_falls_nor_leaves_its_range(
    schedule: str, asymptote: float, midpoint: int, step: int
) -> None:
    λ = RateWeight(asymptote, schedule, midpoint)
    assert 0 <= λ(step) <= λ(step + midpoint) <= asymptote
