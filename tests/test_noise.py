"""Noise: a sentence's own depends on seed and index alone, and has the law it claims."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from conftest import generator
from hypothesis import given, settings
from hypothesis import strategies as st

from onmt_lattice.bitstream import DitherKey
from onmt_lattice.noise import SentenceNoise, StreamNoise

F64 = torch.float64
SEEDS = st.integers(0, 2**64 - 1)
INDICES = st.integers(0, 2**40)


def batch(size: int, dtype: torch.dtype = F64) -> torch.Tensor:
    return torch.zeros(size, 3, dtype=dtype)


def draw(noise: SentenceNoise, size: int) -> torch.Tensor:
    """Return a mixed sequence of draws, as a bottleneck with a Monte-Carlo code makes them."""
    like = batch(size)
    return torch.cat([noise.uniform(like, 5), noise.normal(like, 4), noise.uniform(like, 1)], 1)


class Fixed:
    """A stream that always returns one value."""

    def __init__(self, value: float) -> None:
        self.value = value

    def random(self, dim: int) -> Any:
        return np.full(dim, self.value)


def noise_of(value: float) -> SentenceNoise:
    noise = SentenceNoise(0, [0])
    noise.streams = [Fixed(value)]  # type: ignore[list-item]
    return noise


@settings(derandomize=True, deadline=None, max_examples=25)
@given(seed=SEEDS, indices=st.lists(INDICES, min_size=1, max_size=6, unique=True), data=st.data())
def test_the_noise_of_a_sentence_is_the_same_in_every_batch(
    seed: int, indices: list[int], data: st.DataObject
) -> None:
    together = draw(SentenceNoise(seed, indices), len(indices))
    other_order = data.draw(st.permutations(range(len(indices))))
    shuffled = draw(SentenceNoise(seed, [indices[i] for i in other_order]), len(indices))
    assert torch.equal(shuffled, together[other_order])
    for row, index in enumerate(indices):
        assert torch.equal(draw(SentenceNoise(seed, torch.tensor([index])), 1)[0], together[row])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
def test_every_dtype_gets_the_same_noise_rounded(dtype: torch.dtype) -> None:
    for draw_one in (SentenceNoise.uniform, SentenceNoise.normal):
        exact = draw_one(SentenceNoise(1, [4, 9]), batch(2), 500)
        rounded = draw_one(SentenceNoise(1, [4, 9]), batch(2, dtype), 500)
        assert rounded.dtype == dtype
        inside = exact.to(dtype) != 1  # a uniform that rounds to 1 becomes 0
        assert torch.equal(rounded[inside], exact.to(dtype)[inside])


def test_the_global_generator_neither_matters_nor_moves() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = draw(SentenceNoise(0, [2]), 1)
    assert torch.equal(torch.get_rng_state(), state)
    noise = SentenceNoise(0, [2])  # whose draws follow one another along the stream
    parts = torch.cat([noise.uniform(batch(1), 3), noise.uniform(batch(1), 4)], 1)
    assert torch.equal(parts, SentenceNoise(0, [2]).uniform(batch(1), 7))
    torch.manual_seed(2)
    assert torch.equal(draw(SentenceNoise(0, [2]), 1), first)


def test_the_streams_of_neighbouring_indices_and_seeds_are_uncorrelated() -> None:
    keys = [(seed, index) for seed in (0, 1, 2, 2**63) for index in (0, 1, 2, 2**32)]
    n = 4096
    rows = torch.cat([SentenceNoise(s, [i]).normal(batch(1), n) for s, i in keys])
    correlation = rows @ rows.T / n  # 1 on the diagonal, N(0, 1/n) off it
    off = correlation[~torch.eye(len(keys), dtype=torch.bool)]
    assert off.abs().max() < 5 / math.sqrt(n)
    lagged = (rows[:, 1:] * rows[:, :-1]).mean(1)
    assert lagged.abs().max() < 5 / math.sqrt(n)


def test_uniforms_have_the_moments_of_a_uniform() -> None:
    u = SentenceNoise(11, list(range(100))).uniform(batch(100), 1000).flatten()
    assert ((u >= 0) & (u < 1)).all()
    for k in (1, 2, 3, 4):
        spread = math.sqrt((1 / (2 * k + 1) - 1 / (k + 1) ** 2) / len(u))
        assert (u**k).mean().item() == pytest.approx(1 / (k + 1), abs=4 * spread)


def test_normals_have_the_moments_and_the_quantiles_of_a_normal() -> None:
    x = SentenceNoise(11, list(range(100))).normal(batch(100), 1000).flatten()
    for k, moment in ((1, 0), (2, 1), (3, 0), (4, 3)):
        variance = math.prod(range(1, 2 * k, 2)) - moment**2  # E x^2k = (2k − 1)!!
        bound = 4 * math.sqrt(variance / len(x))
        assert (x**k).mean().item() == pytest.approx(moment, abs=bound)
    for q in (-2.0, -0.5, 0.0, 1.0):
        p = torch.special.ndtr(torch.tensor(q, dtype=F64)).item()
        bound = 4 * math.sqrt(p * (1 - p) / len(x))
        assert (x < q).double().mean().item() == pytest.approx(p, abs=bound)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, F64])
@pytest.mark.parametrize("value", [0.0, 2.0**-53, 0.5, 1 - 2.0**-52, 1 - 2.0**-53])
def test_the_extremes_of_the_stream_stay_in_range(value: float, dtype: torch.dtype) -> None:
    like = batch(1, dtype)
    uniform = noise_of(value).uniform(like, 1)
    assert 0 <= uniform.item() < 1
    assert noise_of(value).normal(like, 1).isfinite().all()


def test_a_batch_of_another_size_is_refused() -> None:
    noise = SentenceNoise(0, [0, 1])
    for draw_one in (noise.uniform, noise.normal):
        with pytest.raises(ValueError, match="noise of 2 sentences: expected as many rows, got 3"):
            draw_one(batch(3), 2)


@pytest.mark.parametrize(
    ("seed", "index"), [(1.5, 0), (-1, 0), (2**64, 0), ("1", 0), (0, 1.5), (0, -1), (0, 2**64)]
)
def test_a_key_is_two_integers(seed: Any, index: Any) -> None:
    for made in (lambda: SentenceNoise(seed, [index]), lambda: DitherKey(seed, (index,))):
        with pytest.raises(ValueError, match=r"expected an integer in \[0, 2⁶⁴\)"):
            made()


def test_stream_noise_has_the_law_it_claims() -> None:
    noise = StreamNoise(generator(0))
    u, x = noise.uniform(batch(1), 100_000), noise.normal(batch(1), 100_000)
    assert 0 <= u.min() and u.max() < 1
    for drawn, mean, variance in ((u, 1 / 2, 1 / 12), (x, 0, 1)):
        assert drawn.mean().item() == pytest.approx(mean, abs=0.013)
        assert drawn.var().item() == pytest.approx(variance, rel=0.02)
