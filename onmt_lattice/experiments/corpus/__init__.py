"""The embedded corpus: sentences of a grammar of English whose entropy is known exactly."""

from onmt_lattice.experiments.corpus.english import (
    SPLITS,
    corpus_text,
    english_grammar,
    ideal_bits,
    write_corpus,
)
from onmt_lattice.experiments.corpus.grammar import Grammar, Rule

__all__ = [
    "SPLITS",
    "Grammar",
    "Rule",
    "corpus_text",
    "english_grammar",
    "ideal_bits",
    "write_corpus",
]
