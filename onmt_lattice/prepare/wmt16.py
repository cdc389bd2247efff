"""The paper's data: English sentences of WMT16 German-English, from archives to a vocabulary.

What Google's NMT tutorial does in ``wmt16_en_de.sh``, for the English side: the tutorial's
corpora, Moses tokens, pairs of 1 to 80 tokens, 32,000 merges, newstest2013 to validate on and
newstest2014 to test on. Each step is noted in the manifest and done once.
"""

from __future__ import annotations

import sys
import time
from functools import partial
from importlib.metadata import version
from pathlib import Path

import yaml

from onmt_lattice.prepare.archive import read_lines
from onmt_lattice.prepare.collection import Collection
from onmt_lattice.prepare.manifest import Facts, Manifest, Step, key, sole_user, write_changed
from onmt_lattice.prepare.options import MODEL_FILES, Options
from onmt_lattice.prepare.sources import ARCHIVES, TESTS, VALIDATION, Text, members
from onmt_lattice.prepare.subword import learn_bpe, learn_pieces
from onmt_lattice.prepare.texts import in_order, read_text, shuffled, write_text, write_training
from onmt_lattice.prepare.tokens import Tokens, report

TEXTS = {"valid": VALIDATION, **TESTS}


def prepare(options: Options) -> Manifest:
    """Prepare the data in ``options.output``, or do what is left to do; return the manifest.

    Raises:
        UserError: for archives that cannot be had, are broken or not what they should be, for
            pairs that are not aligned, and for a folder that was prepared with other options.
    """
    with sole_user(options.output):
        preparation = _Preparation(options)
        preparation.run()
        return preparation.manifest


class _Preparation:
    """The steps and how they hang together: archives, tokens, model, training text, texts.

    A step's key holds the keys of the steps before it, so that all keys are known at once and
    what is current need not be made to know it.
    """

    def __init__(self, options: Options) -> None:
        out = self._out = options.output
        self._options = options
        self.manifest = Manifest(out)
        self._collection = Collection(options, self.manifest)
        self._archives = {name: self._collection.facts(name, members(name)) for name in ARCHIVES}
        self._tokens = Tokens(options, self.manifest, self._collection, self._archives)
        self._model = out / MODEL_FILES[options.subword]
        self._steps = self._plan()

    def _plan(self) -> dict[str, Step]:
        options, out = self._options, self._out
        tokens = key([step.key for step in self._tokens.steps])
        software = version("sentencepiece" if options.plain else "subword-nmt")
        order = options.order if options.plain else None  # BPE learns from all, in any order
        model = key(tokens, options.merges, order, software)
        training = (out / "train.en", out / "vocab.txt")
        steps = [
            Step("model", model, (self._model,)),
            Step("train", key(model, options.order), training),
            *(self._text_step(name, text, model) for name, text in TEXTS.items()),
        ]
        return {step.name: step for step in steps}

    def _text_step(self, name: str, text: Text, model: str) -> Step:
        names = [f"{name}.en"]
        if self._options.plain and name != "valid":
            names.append(f"{name}.pieces.en")
        under = key(model, self._archives[text.archive]["sha256"], text)
        return Step(name, under, tuple(self._out / n for n in names))

    def run(self) -> None:
        """Do every step that is not current."""
        steps, once = self._steps, self.manifest.once
        planned = [*self._tokens.steps, *steps.values()]
        self.manifest.begin(planned, self._options.of_data(), self._options.redo)
        once(steps["model"], self._learn)
        vocabulary = once(steps["train"], self._segment)["vocabulary"]
        for name, text in TEXTS.items():
            once(steps[name], partial(self._text, name, text))
        self._write_yaml(vocabulary)
        if not self._options.keep_work:
            self._tokens.delete()

    def _learn(self) -> Facts:
        """Learn the subword model."""
        options, files = self._options, self._sides()
        start = time.monotonic()
        if options.plain:
            sample = shuffled(files, options.order or 0)
            facts = learn_pieces(sample, options.merges, self._model)
        else:
            facts = learn_bpe(in_order(files), options.merges, self._model)
        unit, count = list(facts.items())[-1]
        report(f"learned {self._model.name}", count, unit, time.monotonic() - start)
        return facts

    def _segment(self) -> Facts:
        """Write the training text, in its order, and the vocabulary."""
        options, files = self._options, self._sides()
        start = time.monotonic()
        english = [path for path in files if path.suffix == ".en"]
        german = [path for path in files if path.suffix == ".de"]
        lines = in_order(english) if options.keep_order else shuffled(english, options.seed)
        facts = write_training(
            lines,
            in_order(german),
            self._model,
            self._steps["train"].files,
            plain=options.plain,
            workers=options.workers,
            total=self._tokens.kept * (1 + options.joint_bpe),
        )
        report("segmented", facts["sentences"], "sentences", time.monotonic() - start)
        return facts

    def _sides(self) -> list[Path]:
        """Return the files of tokenised sentences, having made them."""
        self._tokens.make()
        return self._tokens.files("en") + self._tokens.files("de")

    def _text(self, name: str, text: Text) -> Facts:
        path = self._collection.path(text.archive)
        sentences = read_text(read_lines(path, text.member), text.member)
        facts = write_text(sentences, self._model, self._options.plain, self._steps[name].files)
        if facts["sentences"] != text.sentences:
            print(
                f"{name}: {facts['sentences']:,} sentences where {text.member} of WMT16 has "
                f"{text.sentences:,}; numbers on them do not compare with others'",
                file=sys.stderr,
            )
        return facts

    def _write_yaml(self, vocabulary: int) -> None:
        """Write what OpenNMT-py needs to know of the data, as a part of its configuration."""
        out = self._out.resolve()
        content: Facts = {
            "data": {
                corpus: {
                    "path_src": str(out / f"{corpus}.en"),
                    "path_tgt": str(out / f"{corpus}.en"),
                }
                | ({"transforms": ["sentencepiece"]} if self._options.plain else {})
                for corpus in ("train", "valid")
            },
            "src_vocab": str(out / "vocab.txt"),
            "src_vocab_size": vocabulary,
            "share_vocab": True,
        }
        if self._options.plain:
            model = str(out / self._model.name)
            content |= {"src_subword_model": model, "tgt_subword_model": model}
        head = "# Written by `onmt_lattice prepare wmt16`: where the data is.\n"
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        write_changed(self._out / "data.yaml", head + text)
