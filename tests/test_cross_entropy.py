"""Linear map and cross entropy in one: the definition's value and gradient, in bounded memory."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

from onmt_lattice.opennmt.model import logits as module
from onmt_lattice.opennmt.model.cross_entropy import cross_entropy

N, DIM, WORDS = 37, 6, 50


def inputs(spread: float = 1.0) -> tuple[Tensor, nn.Linear, Tensor]:
    torch.manual_seed(1)
    linear = nn.Linear(DIM, WORDS)
    with torch.no_grad():
        linear.weight.mul_(spread)
    return torch.randn(N, DIM, requires_grad=True), linear, torch.randint(WORDS, (N,))


def gradients(rows: Tensor, linear: nn.Linear) -> list[Tensor]:
    found = [rows.grad, linear.weight.grad, linear.bias.grad]
    rows.grad = linear.weight.grad = linear.bias.grad = None
    assert all(g is not None for g in found)
    return [g for g in found if g is not None]


@pytest.mark.parametrize("at_once", [WORDS, 5 * WORDS + 1, 2**23])
@pytest.mark.parametrize("spread", [1.0, 300.0])  # the second is sure of nearly every word
@pytest.mark.parametrize(("scale", "further"), [(1.0, 1.0), (1 / 7, 1.0), (0.5, 3.0)])
def test_value_and_gradient_are_those_of_the_definition(
    at_once: int, spread: float, scale: float, further: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOGITS_AT_ONCE", at_once)
    rows, linear, target = inputs(spread)
    found = cross_entropy(rows, linear, target, scale)
    (further * found.loss).backward()
    ours = gradients(rows, linear)
    logits = functional.linear(rows.double(), linear.weight.double(), linear.bias.double())
    expected = functional.cross_entropy(logits, target, reduction="sum")
    (further * scale * expected).backward()
    for one, other in zip(ours, gradients(rows, linear), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5 * spread)
    torch.testing.assert_close(found.nll_nats, expected, rtol=1e-6, atol=1e-6)
    assert found.loss.item() == pytest.approx(scale * expected.item(), rel=1e-6)
    assert found.correct.item() == (logits.argmax(1) == target).sum()


def test_what_is_frozen_gets_no_gradient() -> None:
    rows, linear, target = inputs()
    linear.requires_grad_(False)
    cross_entropy(rows, linear, target).loss.backward()
    assert rows.grad is not None
    assert linear.weight.grad is None
    with torch.no_grad():
        assert not cross_entropy(rows, linear, target).loss.requires_grad


def test_no_rows_cost_nothing() -> None:
    rows, linear, target = inputs()
    found = cross_entropy(rows[:0], linear, target[:0])
    found.loss.backward()
    assert found.nll_nats == 0
    assert gradients(rows, linear)[1].count_nonzero() == 0


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that any operation returned."""

    numel = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
        out = func(*args, **(kwargs or {}))
        if isinstance(out, Tensor):
            self.numel = max(self.numel, out.numel())
        return out


def test_memory_for_logits_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOGITS_AT_ONCE", 20 * WORDS)
    rows, linear, target = inputs()
    with Largest() as seen:
        cross_entropy(rows, linear, target).loss.backward()
    padded = 64  # numbers of a row, aligned
    assert seen.numel <= 20 * padded < N * WORDS


@pytest.mark.parametrize("at_once", [5 * WORDS + 1, 2**23])
def test_bfloat16_multiplies_and_does_nothing_else(
    at_once: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "LOGITS_AT_ONCE", at_once)
    rows, linear, target = inputs()
    found = cross_entropy(rows.bfloat16(), linear, target, 1 / 7)
    assert found.loss.dtype == torch.float32
    found.loss.backward()
    ours = gradients(rows, linear)
    cross_entropy(rows, linear, target, 1 / 7).loss.backward()
    for one, other in zip(ours, gradients(rows, linear), strict=True):
        assert one.dtype == torch.float32
        torch.testing.assert_close(one, other, rtol=0, atol=0.02 * other.abs().max().item())
    expected = functional.cross_entropy(linear(rows), target, reduction="sum").double()
    torch.testing.assert_close(found.nll_nats, expected, rtol=1e-3, atol=0)
