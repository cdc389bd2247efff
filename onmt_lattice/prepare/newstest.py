"""newstest2014 alone, by way of sacrebleu: no training data needed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from onmt_lattice.errors import UserError
from onmt_lattice.files import write_lines
from onmt_lattice.prepare.archive import read_lines, survey
from onmt_lattice.prepare.manifest import Facts
from onmt_lattice.prepare.sgm import decode_entities
from onmt_lattice.prepare.sources import FULL_NEWSTEST2014
from onmt_lattice.prepare.subword import kind_of, segment
from onmt_lattice.prepare.texts import read_text
from onmt_lattice.prepare.tokenise import tokeniser

TEST_SET, PAIR = "wmt14/full", "de-en"
ARCHIVE, MEMBER, SENTENCES = FULL_NEWSTEST2014


def prepare(output: Path, given: Path | None = None, model: Path | None = None) -> Facts:
    """Write newstest2014's English sentences to ``output``: Moses tokens, segmented by a ``model``.

    They come from sacrebleu's test set ``wmt14/full``, which downloads it once to its own
    folder, or from ``test-full.tgz`` in the folder ``given``. A sentencepiece ``model`` gets
    plain sentences, not tokens. Return the number of "sentences" and of "units".

    Raises:
        UserError: if the test set cannot be had or read, has not the 3,003 sentences that were
            published, or the file of the ``model`` holds none.
    """
    sentences = list(_from_archive(given / ARCHIVE) if given else _from_sacrebleu())
    if len(sentences) != SENTENCES:
        source = given / ARCHIVE if given else _cache()
        raise UserError(
            f"newstest2014 from {source} has {len(sentences):,} sentences and not {SENTENCES:,}; "
            "delete that and run again"
        )
    if model is None or kind_of(model) == "bpe":
        sentences = list(map(tokeniser("en"), sentences))
    units = segment(sentences, model).lines if model else sentences
    write_lines(output, units)
    return {"sentences": len(units), "units": sum(len(line.split()) for line in units)}


def _from_archive(path: Path) -> Iterator[str]:
    survey(path, [MEMBER])
    return read_text(read_lines(path, MEMBER), MEMBER)


def _from_sacrebleu() -> Iterator[str]:
    from sacrebleu.dataset import DATASETS

    dataset = DATASETS[TEST_SET]
    try:
        (path,) = dataset.get_reference_files(PAIR)
        with open(path, encoding="utf-8", newline="\n") as stream:
            lines = stream.read().removesuffix("\n").split("\n")
    except (OSError, SystemExit) as error:
        raise UserError(
            f"sacrebleu cannot provide {TEST_SET} ({error}); if a download was interrupted, "
            f"delete {_cache()}; without a network, give -from a folder with {ARCHIVE}"
        ) from error
    return (decode_entities(line) for line in lines)


def _cache() -> str:
    from sacrebleu.utils import SACREBLEU_DIR

    return os.path.join(SACREBLEU_DIR, TEST_SET)
