"""Encoders of convolutional codes of rate 1/2 over ℤ_q, as trellises and as block codes.

q is a prime, so that ℤ_q is the field GF(q), or 4. At each step the encoder takes an input in ℤ_q,
remembers the last ν inputs, and outputs two numbers: c_m = Σ_j g_m[j]·u_{t−j} mod q, with taps
g_m[0] … g_m[ν], the newest input first.

A block of T steps has two ends. A known state at the start makes the first coordinates of the
lattice coarse, a free state at the end makes the last ones fine. Both raise G, as do all unequal
second moments. Therefore the newer half of the inputs before the first step is free (the older ones
are 0), and the same number of the last inputs is 0; the rate is then exactly 1/2. No termination
that one pass of the trellis decodes had a smaller G; see scripts/search_generators.py.

Over ℤ4 the taps are coprime modulo 2. Modulo 2 the code therefore has dimension T, and over ℤ4 it
is a free module of rank T, with 4^T words and a generator whose pivots are units.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor


class Encoder:
    """An encoder over ``sections`` steps.

    Args:
        q: the order of the ring, a prime or 4.
        taps: two words of ν + 1 digits, such as "1011011" and "1111001", coprime as polynomials
            modulo the prime that divides q; neither the newest nor the oldest two are both 0 there.
        sections: T, at least ν, so that different messages have different words (Sylvester).

    Attributes:
        memory: ν.
        states: S = q^ν. The digits of a state are the remembered inputs, the units the newest.
        free: number of free inputs before the first step, and of last inputs that are 0.
    """

    def __init__(self, q: int, taps: tuple[str, str], sections: int):
        self.q, self.sections = q, sections
        self.taps = torch.tensor([[int(digit) for digit in word] for word in taps])
        self.memory = len(taps[0]) - 1
        self.states = q**self.memory
        self.free = self.memory // 2
        self._tables_on: dict[torch.device, tuple[Tensor, Tensor]] = {}

    def tables(self, device: torch.device) -> tuple[Tensor, Tensor]:
        """Return the tables of the trellis on ``device``, copied only once.

        Returns:
            ``(S, q)`` int32, the labels; ``(2, S)`` uint8, the masks of first and last states.
        """
        if device not in self._tables_on:
            masks = torch.stack([self.starts, self.ends]).to(device, torch.uint8)
            self._tables_on[device] = self.labels.to(device, torch.int32), masks
        return self._tables_on[device]

    @cached_property
    def labels(self) -> Tensor:
        """``(S, q)`` int64, q·first + second on the edge into s′ from s′ div q + d·S/q."""
        state = torch.arange(self.states)[:, None]
        register = state + self.states * torch.arange(self.q)  # the newest input is its units
        digits = register[..., None] // self.q ** torch.arange(self.memory + 1) % self.q
        first, second = (digits @ self.taps.T % self.q).unbind(-1)
        return self.q * first + second

    @cached_property
    def starts(self) -> Tensor:
        """``(S,)`` bool, the allowed states before the first step."""
        return torch.arange(self.states) < self.q**self.free

    @cached_property
    def ends(self) -> Tensor:
        """``(S,)`` bool, the allowed states after the last step."""
        return torch.arange(self.states) % self.q**self.free == 0

    @cached_property
    def generator(self) -> Tensor:
        """``(T, 2T)`` int64: the words of single inputs, those before the first step first."""
        rows = torch.zeros(self.sections, self.sections + self.memory + self.free, 2).long()
        for i, row in enumerate(rows):
            row[i : i + self.memory + 1] = self.taps.T
        return rows[:, self.free : self.free + self.sections].flatten(1)

    @cached_property
    def reduced(self) -> tuple[Tensor, Tensor, Tensor]:
        """Row-reduce the generator G over ℤ_q.

        Returns:
            ``(T, 2T)`` R = MG mod q, which is the identity at the pivots; ``(T, T)`` M; ``(T,)``
            the pivots, in rising order. All are int64.
        """
        rows = torch.cat([self.generator, torch.eye(self.sections).long()], 1)
        pivots, prime = [], 2 if self.q == 4 else self.q
        for i in range(self.sections):
            units = rows[i:, : 2 * self.sections] % prime != 0
            column = int(units.any(0).long().argmax())
            swap = i + int(units[:, column].long().argmax())
            rows[[i, swap]] = rows[[swap, i]]
            rows[i] = rows[i] * pow(int(rows[i, column]), -1, self.q) % self.q
            others = rows[:, column].clone()
            others[i] = 0
            rows = (rows - others[:, None] * rows[i]) % self.q
            pivots.append(column)
        reduced, transform = rows.split([2 * self.sections, self.sections], 1)
        return reduced.contiguous(), transform.contiguous(), torch.tensor(pivots)

    def word(self, message: Tensor) -> Tensor:
        """Return ``(..., 2T)`` int64, the word of ``message`` ``(..., T)``, the inputs in order."""
        return _product(message, self.generator) % self.q

    def message(self, word: Tensor) -> Tensor:
        """Return ``(..., T)`` int64, the message of ``word`` ``(..., 2T)`` of the code."""
        _, transform, pivots = self.reduced
        return _product(word.index_select(-1, pivots.to(word.device)), transform) % self.q

    def last_state(self, point: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return ``(N,)``, the states after the last step for points ``(N, 2T)`` of the code."""
        message = self.message(torch.from_numpy(point % self.q)).numpy()
        inputs = np.concatenate([message, np.zeros_like(message[:, : self.free])], 1)
        newest_first = inputs[:, : -self.memory - 1 : -1]
        return newest_first @ self.q ** np.arange(self.memory)


def _product(x: Tensor, matrix: Tensor) -> Tensor:
    """Return the exact product of matrices of small integers, in float64: GPUs have no other."""
    return (x.double() @ matrix.to(x.device).double()).round().long()
