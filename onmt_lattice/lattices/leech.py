"""The Leech lattice, from three octets of coordinates.

In integer coordinates (SPLAG's, √8 times those of the lattice of volume 1) the points of the Leech
lattice are the vectors τ·1 + 2c + 4k, τ in {0, 1}, c in the Golay code, k integer, Σk ≡ τ mod 2.
On one octet they are a copy of 2·E8 that contains 4·E8, with 256 cosets of it; and Turyn's
construction of the Golay code becomes one of the lattice (Tits; Lepowsky & Meurman, 1982):

    Λ24 = ⋃ (t + a, t + b, t + a + b) + (4·E8)³,  t in 16 and a, b in 16 cosets,

the a forming the group ℤ₂⁴. The weights of the 256 cosets on each octet are built from coordinates
to pairs to quads to octets. A convolution over ℤ₂⁴, for each of the 16 t, then gives the weights of
the 4,096 cosets of (4·E8)³.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from onmt_lattice.lattices.coding_order import CodingOrder, group_order
from onmt_lattice.lattices.convolution import CodeLattice, Over, convolve, join
from onmt_lattice.lattices.e8 import E8
from onmt_lattice.lattices.golay import HAMMING, HAMMING_REVERSED, golay_generator, span
from onmt_lattice.lattices.registry import register_lattice
from onmt_lattice.lattices.trellis import MAX


@register_lattice("Leech")
class Leech(CodeLattice):
    """Λ24: volume 1, shortest vectors of length 2.

    Covering radius and kissing number: Conway & Sloane, SPLAG, chapter 4, section 11. G: table 2.3
    there, a simulation; four million points of this decoder gave 0.065757 ± 0.000003.
    """

    name = "Leech"
    dim = 24
    nsm = 0.065771
    kissing_number = 196560
    unit_covering_radius = math.sqrt(2)
    unit = math.sqrt(1 / 8)
    period = 8
    decode_block = 256
    theta_block = 192

    def __init__(self) -> None:
        self._e8 = E8()
        self.unit_basis = self._integer_basis() * self.unit

    def _integer_basis(self) -> Tensor:
        """Return rows 2c, 4(e_j − e_23) and 8e_23, with one of the 2c replaced by (1, …, 1, −3)."""
        code = golay_generator()
        pivots = code.argmax(1)
        basis = 4 * torch.eye(24, dtype=torch.float64)
        basis[:, 23] -= 4
        basis[23, 23] = 8
        basis[pivots] = 2 * code.double()
        basis[pivots[0]] = 1
        basis[pivots[0], 23] = -3
        return basis

    def _make_tables(self) -> tuple[Tensor, ...]:
        vectors = glue_vectors()
        return vectors.T.float().contiguous(), coset_index(vectors, octet_cosets())

    def _weigh(self, residues: Tensor, over: Over) -> tuple[Tensor, Tensor]:
        """Return by (a + b, t) the weights of two octets, for all 16 a together, and the third."""
        first, second, third = self._octets(residues, over)
        return convolve(first, second, over).flatten(0, 1), third.flatten(0, 1)

    def _octets(self, residues: Tensor, over: Over) -> tuple[Tensor, ...]:
        """Return for each octet ``(16, 16, N)``, the weights of 4·E8 + a + t, by a and t.

        Axes as in :func:`octet_cosets`: p parities, u and v of the (u | u + v) joined last, then
        labels that tell apart the words of the halves, and τ.
        """
        ones = residues.unflatten(0, (2, 2, 2))  # (p, u, τ, 24, N)
        pairs = join(ones[..., 0::2, :], ones[..., 1::2, :], over)  # (p, u, v, τ, 12, N)
        left, right = pairs[..., 0::2, :].unsqueeze(3), pairs[..., 1::2, :]
        right = torch.stack([right, right.flip(2)], 3)  # the label of the right pair is v + w
        quads = join(left, right, over)  # (p, u, v', v, w, τ, 6, N)
        quads = quads.flatten(2, 3).flatten(0, 1)  # (p and u, labels, w, τ, 6, N)
        left, right = quads[..., 0::2, :].unsqueeze(2), quads[..., 1::2, :].unsqueeze(1)
        octets = convolve(left, right, over)  # (p and u, left labels, right labels, w, τ, 3, N)
        by_glue = octets.flatten(0, 4).index_select(0, self._tables(residues.device)[1])
        return by_glue.unflatten(0, (16, 16)).unbind(2)

    def _decode(self, x: Tensor) -> Tensor:
        """Find the nearest coset of (4·E8)³, and decode in it, octet by octet."""
        x = x / self.unit
        octets = self._octets(self._distances(x), MAX)
        offset = self._tables(x.device)[0].index_select(1, self._trace(octets).flatten())
        x = x.unflatten(0, (3, 8)).transpose(0, 1).flatten(1)  # (8, 3 N)
        point = offset + 4 * self._e8._decode((x - offset) / 4)
        return point.unflatten(1, (3, -1)).transpose(0, 1).flatten(0, 1) * self.unit

    def _trace(self, octets: tuple[Tensor, ...]) -> Tensor:
        """Return ``(3, N)``, the glue vectors of the nearest coset: t, then a + b, then a."""
        glued = convolve(octets[0], octets[1], MAX) + octets[2]
        t = glued.amax(0).max(0).indices
        at_t = t.expand(16, 1, -1)
        first, second, both = (w.gather(1, at_t)[:, 0] for w in (*octets[:2], glued))
        c = both.max(0).indices
        partners = torch.arange(16, device=c.device)[:, None] ^ c
        a = (first + second.gather(0, partners)).max(0).indices
        return torch.stack([a, a ^ c, c]) * 16 + t

    def _order(self) -> CodingOrder:
        """Halve the octets: their labels are again the 256 cosets of 4·E8."""
        return group_order(self.unit_basis.numpy(), np.full(24, self.unit))


def octet_cosets() -> Tensor:
    """Return ``(256, 8)``, a vector of each coset of 4·E8 as :meth:`Leech._octets` orders them.

    The index has bits p, u of the right quad, (v', v) of the left and of the right, w, τ; the
    vector is τ·1 + 2c + 4p·e_0 with the word c of even weight that these bits spell.
    """
    bits = torch.cartesian_prod(*[torch.arange(2)] * 8)
    p, u, left_quad, left_pair, right_quad, right_pair, w, tau = bits.unbind(1)

    def quad(u: Tensor, v_quad: Tensor, v_pair: Tensor) -> list[Tensor]:
        return [u, u + v_pair, u + v_quad, u + v_quad + v_pair + w]

    word = quad(torch.zeros_like(u), left_quad, left_pair) + quad(u, right_quad, right_pair)
    vectors = tau[:, None] + 2 * (torch.stack(word, 1) % 2)
    vectors[:, 0] += 4 * p
    return vectors


def glue_vectors() -> Tensor:
    """Return ``(256, 8)``, the vectors a + t of index 16a + t; indices of a add by XOR.

    The a are 2h + 4p·e_0, h in H; the t are 2h + τ(−3, 1, …, 1), h in H′; h modulo (1, …, 1).
    """
    unit = torch.eye(1, 8, dtype=torch.int64)
    p = torch.tensor([0, 1]).repeat_interleave(8)[:, None]
    a = 2 * span(HAMMING).repeat(2, 1) + 4 * p * unit
    t = 2 * span(HAMMING_REVERSED).repeat(2, 1) + p * (1 - 4 * unit)
    return (a[:, None] + t).flatten(0, 1)


def coset_index(vectors: Tensor, cosets: Tensor) -> Tensor:
    """Return for each of ``vectors`` ``(N, 8)`` the index of its coset in ``cosets``, mod 4·E8.

    4·E8 are the vectors congruent to (0, …, 0) or (2, …, 2) mod 4 whose sum is 0 mod 8.
    """
    difference = vectors[:, None] - cosets
    even = (difference[..., :1] % 2 == 0) & (difference % 4 == difference[..., :1] % 4)
    is_member = even.all(-1) & (difference.sum(-1) % 8 == 0)
    return is_member.long().argmax(1)
