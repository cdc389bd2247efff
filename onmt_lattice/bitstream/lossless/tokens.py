"""Tokens of sentences to symbols and back, each under a model's probabilities given those before.

The model returns scores, log probabilities up to a constant for each row. Frequencies are computed
from them in integers (:mod:`~onmt_lattice.bitstream.kernels`): if the scores are the same on any
machine, so is the code.

A token is coded in two steps, its bucket and its index in the bucket, so that no table has as many
entries as the vocabulary. Sentences are coded in lockstep, a number of them at a time. Each ends
with the end token, so that no length has to be sent.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from onmt_lattice.bitstream import kernels
from onmt_lattice.bitstream.coder import Coder
from onmt_lattice.bitstream.exact import Floats
from onmt_lattice.bitstream.logarithms import Integers, tables
from onmt_lattice.errors import DamagedBitstream, UserError

State = tuple[Floats, ...]  # each (rows, ...)

LONGEST = 1024  # tokens of a sentence, without its end
MAX_VOCABULARY = 2**22  # tokens
SCORES_AT_ONCE = 2**22
ROWS_AT_ONCE = 256


class TokenModel(Protocol):
    """A model of the next token.

    Attributes:
        vocabulary: V, the number of tokens.
    """

    vocabulary: int

    def start(self, values: Floats) -> State:
        """Return the state before the first token, given representations ``(rows, d)``."""
        ...

    def step(self, state: State, tokens: Integers) -> Floats:
        """Return scores ``(rows, V)``, in units of 2⁻²⁰ nats, of the token after ``tokens``.

        ``state`` is updated in place.
        """
        ...


class TokenCodec:
    """Codes sentences of tokens under ``model``.

    Args:
        model: the model.
        begin: the token before a sentence.
        end: the token that ends a sentence.

    Raises:
        UserError: if the vocabulary is too large.
    """

    def __init__(self, model: TokenModel, begin: int, end: int) -> None:
        if not 4 <= model.vocabulary <= MAX_VOCABULARY:
            raise UserError(
                f"a vocabulary of {model.vocabulary}: expected 4 to {MAX_VOCABULARY} tokens"
            )
        self.model, self.begin, self.end = model, begin, end
        self._width = min(256, int(np.ceil(np.sqrt(model.vocabulary))))
        self._buckets = -(-model.vocabulary // self._width)

    def code(
        self, coder: Coder, values: Floats, sentences: Sequence[Sequence[int]] | None
    ) -> list[list[int]]:
        """Code ``sentences``, None to read them, given ``values`` ``(sentences, d)``; return them.

        Raises:
            UserError: if a sentence is longer than LONGEST, or contains the end token.
            DamagedBitstream: on reading what no writer wrote.
        """
        for sentence in sentences or ():
            if len(sentence) > LONGEST or self.end in sentence:
                raise UserError(
                    f"a sentence of {len(sentence)} tokens: expected up to {LONGEST}, none its end"
                )
        size = max(1, min(ROWS_AT_ONCE, SCORES_AT_ONCE // self.model.vocabulary))
        coded: list[list[int]] = []
        for first in range(0, len(values), size):
            part = slice(first, first + size)
            padded = None if sentences is None else self._padded(sentences[part])
            coded += self._lockstep(coder, values[part], padded)
        return coded

    def _padded(self, sentences: Sequence[Sequence[int]]) -> Integers:
        """Return ``(longest + 1, rows)``: a sentence in each column, filled up with end tokens."""
        longest = max(len(sentence) for sentence in sentences)
        padded = np.full((longest + 1, len(sentences)), self.end)
        for column, sentence in zip(padded.T, sentences, strict=True):
            column[: len(sentence)] = sentence
        return padded

    def _lockstep(self, coder: Coder, values: Floats, padded: Integers | None) -> list[list[int]]:
        sentences: list[list[int]] = [[] for _ in values]
        rows = np.arange(len(values))
        tokens: Integers = np.full(len(values), self.begin)
        state = self.model.start(values)
        for step in range(LONGEST + 1):
            scores = self.model.step(state, tokens)
            tokens = self._code_step(coder, scores, None if padded is None else padded[step, rows])
            unfinished = tokens != self.end
            rows, tokens = rows[unfinished], tokens[unfinished]
            for row, token in zip(rows.tolist(), tokens.tolist(), strict=True):
                sentences[row].append(token)
            if not len(rows):
                return sentences
            if not unfinished.all():
                state = tuple(part[unfinished] for part in state)
        raise DamagedBitstream(f"a sentence of more than {LONGEST} tokens: expected its end")

    def _code_step(self, coder: Coder, scores: Floats, tokens: Integers | None) -> Integers:
        """Code a token for each row, None to read them, and return them ``(rows,)``."""
        exp = tables().exp
        out = np.empty((len(scores), self._buckets))
        kernels.bucket_frequencies(scores, self._width, exp, out)
        buckets = coder.symbols(out, None if tokens is None else tokens // self._width)
        out = np.empty((len(scores), self._width))
        kernels.entry_frequencies(scores, buckets, exp, out)
        entries = coder.symbols(out, None if tokens is None else tokens % self._width)
        coded = buckets * self._width + entries
        if (coded >= self.model.vocabulary).any():
            raise DamagedBitstream("a token beyond the vocabulary: expected one of it")
        return coded
