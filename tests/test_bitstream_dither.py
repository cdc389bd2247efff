import pytest
import torch

from onmt_lattice.bitstream import DitherKey, LatticeCodec
from onmt_lattice.codes import make_code
from onmt_lattice.lattices import make_lattice
from onmt_lattice.noise import SentenceNoise


def test_steps_are_the_leading_bits_of_the_noise_there_is() -> None:
    key = DitherKey(2**63 + 5, (0, 7, 2**64 - 1))
    noise = SentenceNoise(key.seed, list(key.indices))
    uniforms = noise.uniform(torch.zeros(3, 1, dtype=torch.float64), 40)
    assert key.steps(40).tolist() == (uniforms * 2**20).floor().long().tolist()


def test_a_sentence_has_its_own_in_any_batch() -> None:
    together = DitherKey(1, (4, 5, 6)).steps(9)
    assert DitherKey(1, (6,)).steps(9).tolist() == together[2:].tolist()
    assert DitherKey(2, (6,)).steps(9).tolist() != together[2:].tolist()


@pytest.mark.parametrize("name", ["Z", "A2", "A3*", "D4", "E8", "BW16", "Leech", "conv16-16"])
def test_uniform_modulo_the_lattice(name: str) -> None:
    lattice = make_lattice(name).with_second_moment(1.0)
    codec = LatticeCodec(make_code("discrete_gaussian", lattice), torch.zeros(50, lattice.dim))
    u = codec.dither(DitherKey(0, tuple(range(100))))
    assert u.shape == (100, 50, lattice.dim)
    squares = (u - lattice.nearest_point(u)).square().mean(-1).flatten()
    error = float(squares.std()) / len(squares) ** 0.5
    assert float(squares.mean()) == pytest.approx(1, abs=4 * error + 2e-3)


@pytest.mark.parametrize("seed, index", [(-1, 0), (2**64, 0), (0, -1), (0, 2**64)])
def test_keys_that_there_are_not(seed: int, index: int) -> None:
    with pytest.raises(ValueError, match=r"expected an integer in \[0, 2⁶⁴\)"):
        DitherKey(seed, (index,))
