"""Bottlenecks of the library vector-quantize-pytorch: what they send, learn and refuse."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Corpus, Mistake, Trained, assert_equal, normal

from onmt_lattice.bottlenecks import ResidualBottleneck, make_bottleneck
from onmt_lattice.cli import main
from onmt_lattice.errors import UserError
from onmt_lattice.noise import StreamNoise

NOISE = StreamNoise()
M = 12  # the dimension of X


def made(name: str, seed: int = 0, **options: Any) -> Any:
    torch.manual_seed(seed)
    return make_bottleneck(name, M, **options)


def residual(**options: Any) -> ResidualBottleneck:
    """Return one whose entries some batches have fitted."""
    bottleneck = made("residual_vq", **{"levels": 8, "quantizers": 4, **options})
    for seed in range(20):
        bottleneck(normal(64, M, seed=seed).float(), NOISE)
    return bottleneck  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", ["fsq", "lfq", "residual_vq"])
def test_what_hardly_varies_has_different_symbols(name: str) -> None:
    bottleneck = made(name, vector_dim=4) if name != "residual_vq" else made(name)
    for seed in range(100):
        bottleneck(min(seed, 40) / 40 + 0.01 * normal(50, M, seed=seed).float(), NOISE)
    assert bottleneck(torch.zeros(1, M), NOISE).output.isfinite().all()
    symbols = bottleneck.eval().symbols_of(1 + 0.01 * normal(50, M).float())
    assert all(len(column.unique()) > 5 for column in symbols.T)


@pytest.mark.parametrize("levels", [2, 3, 4, 5, 16])
def test_fsq_sends_a_level_of_each_number(levels: int) -> None:
    dim = 4
    bottleneck = made("fsq", levels=levels, vector_dim=dim).eval()
    through = bottleneck.quantized(5 * normal(500, M).float(), NOISE)
    assert through.symbols.shape == (500, M // dim) and bottleneck.alphabet == levels**dim
    assert through.symbols.min() >= 0 and through.symbols.max() < levels**dim
    values = bottleneck.values(through.symbols)
    assert values.abs().max() <= 1 and len(values.unique()) == levels
    torch.testing.assert_close(bottleneck.map_out(values), through.output)
    expected = math.log(levels**dim) * M / dim  # the code is uniform
    assert through.rate_nats.tolist() == pytest.approx([expected] * 500)


def test_the_penalty_of_lfq_is_in_the_loss_of_training_alone() -> None:
    x = normal(50, M).float()
    for weights in ({}, {"entropy_weight": 0.0, "commitment_weight": 0.0}):
        bottleneck = made("lfq", vector_dim=3, **weights)
        penalty = bottleneck(x, NOISE).penalty
        assert penalty.shape == (50,) and (penalty == 0).all() == bool(weights)
        assert bottleneck.eval()(x, NOISE).penalty is None


def test_more_quantizers_leave_less() -> None:
    bottleneck = residual(quantizer_dropout=True).eval()
    x = normal(300, M, seed=99).float()
    inner, rest, rates = bottleneck.inner(x), [], []
    for count in (4, 3, 2, 1):
        bottleneck.truncate(count)
        symbols = bottleneck.symbols_of(x)
        rest.append((inner - bottleneck.values(symbols)).square().sum().item())
        rates.append(bottleneck.rate_nats(symbols).sum().item())
    assert rest == sorted(rest) and rates == sorted(rates, reverse=True)
    with pytest.raises(UserError, match="-quantizers 2: expected 1 to 1, as the model has"):
        bottleneck.truncate(2)


def test_what_dropout_leaves_out_is_not_paid_for() -> None:
    bottleneck = residual(quantizer_dropout=True)
    counts = set()
    for seed in range(30):
        through = bottleneck(normal(16, M, seed=seed).float(), NOISE)
        assert through.symbols is not None and (through.symbols >= 0).all()
        count = through.symbols.shape[1]
        assert through.rate_nats.tolist() == pytest.approx([count * math.log(8)] * 16)
        counts.add(count)
    assert counts == {1, 2, 3, 4}


def _process(rank: int, store: str, folder: str) -> None:
    torch.distributed.init_process_group("gloo", f"file://{store}", rank=rank, world_size=2)
    torch.set_num_threads(1)
    bottleneck = made("residual_vq", levels=8, quantizers=3, quantizer_dropout=True)
    torch.manual_seed(rank)
    for seed in range(30):
        bottleneck(normal(20 + rank, M, seed=100 * rank + seed).float(), NOISE)
    torch.save(bottleneck.state_dict(), f"{folder}/{rank}.pt")
    torch.distributed.destroy_process_group()


def test_several_processes_share_their_averages(tmp_path: Path) -> None:
    words = (str(tmp_path / "store"), str(tmp_path))
    torch.multiprocessing.start_processes(_process, words, 2, start_method="fork")
    first, second = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert_equal(first, second)
    sizes = [value.sum().item() for key, value in first.items() if key.endswith("cluster_size")]
    assert max(sizes) > 21  # the sentences of both


def test_fewer_quantizers_are_evaluated(
    trained: Trained, corpus: Corpus, tmp_path: Path, mistake: Mistake
) -> None:
    words = ["evaluate", "-model", str(trained("residual_vq")), "-src", str(corpus.valid)]
    rates = []
    for count in (1, 2, 4):
        output = tmp_path / f"{count}.json"
        assert main([*words, "-quantizers", str(count), "-coded", "-output", str(output)]) == 0
        evaluation = json.loads(output.read_text())
        assert evaluation["settings"]["quantizers"] == count
        rates.append(evaluation["rate"]["word"])
    assert rates == sorted(rates) and rates[0] > 0
    assert "-quantizers 5: expected 1 to 4" in mistake(*words, "-quantizers", 5)
    words[2] = str(trained("ste_vector"))
    assert "bottleneck is ste_vector; expected a model" in mistake(*words, "-quantizers", 1)


@pytest.mark.parametrize("name", ["fsq", "lfq", "residual_vq"])
def test_a_library_that_is_missing_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "vector_quantize_pytorch", None)
    with pytest.raises(UserError, match=rf"-bottleneck {name}: .*pip install onmt_lattice\[vq\]"):
        made(name)


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("fsq", {"levels": 1}, "-levels 1: expected at least 2"),
        ("fsq", {"vector_dim": 5}, "-vector_dim 5 does not divide the bottleneck's 12 dimensions"),
        ("fsq", {"levels": 17}, "-vector_dim 4: codebooks of 83521 entries; expected"),
        ("lfq", {"vector_dim": 17}, "-vector_dim 17: expected at least 1 and at most 16"),
        ("residual_vq", {"quantizers": 0}, "-quantizers 0: expected at least 1"),
    ],
)
def test_a_mistake_is_answered(name: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError) as error:
        made(name, **options)
    assert message in str(error.value)
