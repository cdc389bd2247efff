"""newstest2014 alone, by way of sacrebleu: no training data needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from onmt_lattice.errors import UserError
from onmt_lattice.experiments.prepare.moses import tokeniser
from onmt_lattice.experiments.prepare.options import FULL_NEWSTEST2014
from onmt_lattice.experiments.prepare.steps import Facts
from onmt_lattice.experiments.prepare.subword import is_sentencepiece, segment
from onmt_lattice.experiments.prepare.texts import count_lines, decode_entities, read_sentences
from onmt_lattice.files import write_lines
from onmt_lattice.text import lines_of

TEST_SET, PAIR = "wmt14/full", "de-en"
ARCHIVE, MEMBER, SENTENCES = FULL_NEWSTEST2014


def prepare(output: Path, archives: Path | None = None, model: Path | None = None) -> Facts:
    """Write newstest2014's English sentences to ``output``: Moses tokens, segmented by a ``model``.

    They come from sacrebleu's test set ``wmt14/full``, which it downloads once to its own folder,
    or from ``test-full.tgz`` in the folder ``archives``. A sentencepiece ``model`` gets plain
    sentences, not tokens. Return the number of "sentences" and of "units".
    """
    source = archives / ARCHIVE if archives else Path(_cache())
    if archives:
        count_lines(source, [MEMBER])  # is the archive whole?
    sentences = list(read_sentences(source, MEMBER) if archives else _from_sacrebleu())
    if len(sentences) != SENTENCES:
        raise UserError(
            f"newstest2014 from {source} has {len(sentences):,} sentences and not {SENTENCES:,}; "
            "delete that and run again"
        )
    if model is None or not is_sentencepiece(model):
        sentences = list(map(tokeniser("en"), sentences))
    lines = segment(sentences, model) if model else sentences
    write_lines(output, lines)
    return {"sentences": len(lines), "units": sum(len(line.split()) for line in lines)}


def _from_sacrebleu() -> Iterator[str]:
    from sacrebleu.dataset import DATASETS

    try:
        (path,) = DATASETS[TEST_SET].get_reference_files(PAIR)
    except (OSError, SystemExit) as error:
        raise UserError(
            f"sacrebleu cannot provide {TEST_SET} ({error}); if a download was interrupted, "
            f"delete {_cache()}; without a network, give -from a folder with {ARCHIVE}"
        ) from error
    return map(decode_entities, lines_of(path, "newstest2014", longest=None))


def _cache() -> str:
    from sacrebleu.utils import SACREBLEU_DIR

    return os.path.join(SACREBLEU_DIR, TEST_SET)
