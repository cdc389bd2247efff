"""The paper's data: English sentences of WMT16 German-English, from archives to a vocabulary.

What Google's NMT tutorial does in ``wmt16_en_de.sh``, for the English side: the tutorial's
corpora, Moses tokens, pairs of 1 to 80 tokens, 32,000 merges, newstest2013 to validate on and
newstest2014 to test on. Each step is recorded in the manifest and done once.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from importlib.metadata import version
from itertools import tee
from pathlib import Path

import yaml
from tqdm import tqdm

from onmt_lattice.experiments.prepare.archives import Archives, read_sums
from onmt_lattice.experiments.prepare.moses import clean, tokeniser
from onmt_lattice.experiments.prepare.options import MODEL_FILES, TEXTS, TRAINING, Wmt16Options
from onmt_lattice.experiments.prepare.parallel import map_batches
from onmt_lattice.experiments.prepare.steps import Facts, Step, Steps, write_changed
from onmt_lattice.experiments.prepare.subword import learn_bpe, learn_pieces, segment
from onmt_lattice.experiments.prepare.texts import in_order, read_lines, read_sentences, shuffled
from onmt_lattice.files import output_stream, write_lines
from onmt_lattice.locks import only_user


def prepare(options: Wmt16Options) -> Steps:
    """Prepare the data in ``options.output``, or resume; return the manifest."""
    with only_user(options.output):
        recipe = _Recipe(options)
        recipe.run()
        return recipe.manifest


class _Recipe:
    """The steps: survey the archives, tokenise and clean, learn, shuffle and segment, texts."""

    def __init__(self, options: Wmt16Options) -> None:
        self.options, self.folder = options, options.output
        self.manifest = Steps(self.folder)
        self.archives = Archives(self.manifest, options)
        facts = self.archives.survey(read_sums(options.checksums) if options.checksums else {})
        digests = {name: archive["sha256"] for name, archive in facts.items()}
        self.pairs = {n: facts[c.archive]["lines"][c.members[0]] for n, c in TRAINING.items()}
        plain, sides = options.plain, ("en", "de") if options.joint_bpe else ("en",)
        self.tokens = tuple(
            Step(
                f"tokens/{name}",
                (digests[corpus.archive], options.max_tokens, plain, sides, version("sacremoses")),
                partial(self._tokenise, name),
                tuple(f"work/{name}.{side}" for side in sides),
            )
            for name, corpus in TRAINING.items()
        )
        software = version("sentencepiece" if plain else "subword-nmt")
        order = options.order if plain else None  # BPE learns from all sentences, in any order
        depends, file = (options.merges, order, software), MODEL_FILES[options.subword]
        self.model = Step("model", depends, self._learn, (file,), self.tokens)
        files, needs = ("train.en", "vocab.txt"), (*self.tokens, self.model)
        self.train = Step("train", options.order, self._segment, files, needs)
        self.texts = tuple(
            Step(
                name,
                digests[text.archive],
                partial(self._text, name),
                (f"{name}.en", *([f"{name}.pieces.en"] if plain and name != "valid" else [])),
                (self.model,),
            )
            for name, text in TEXTS.items()
        )

    def run(self) -> None:
        """Do every step that is not current."""
        steps = (self.model, self.train, *self.texts)
        self.manifest.begin([*self.tokens, *steps], self.options.of_data(), self.options.redo)
        for step in steps:
            self.manifest.make(step)
        self._write_yaml()
        if not self.options.keep_work:
            for path in self._tokens("en") + self._tokens("de"):
                path.unlink(missing_ok=True)
            with suppress(OSError):  # if the user keeps something there
                (self.folder / "work").rmdir()

    def _tokenise(self, name: str, *files: Path) -> Facts:
        """Tokenise and clean a corpus; write English, and German to a second file."""
        path = self.archives.path(TRAINING[name].archive)
        sides = (read_lines(path, member) for member in TRAINING[name].members)
        total = self.pairs[name]
        bar = tqdm(zip(*sides, strict=True), name, total, unit=" pairs", disable=None)
        work = partial(clean, longest=self.options.max_tokens, plain=self.options.plain)
        dropped, invalid = Counter[str](), list[int]()
        with ExitStack() as stack:
            streams = [stack.enter_context(output_stream(str(file))) for file in files]
            for number, pair in enumerate(map_batches(work, bar, self.options.workers), 1):
                if not pair.valid:
                    invalid.append(number)
                if pair.fault:
                    dropped[pair.fault] += 1
                    continue
                for stream, line in zip(streams, (pair.english, pair.german), strict=False):
                    stream.write(f"{line}\n".encode())
        facts = {"pairs": total, "kept": total - dropped.total(), "dropped": dict(dropped)}
        return facts | ({"lines not UTF-8": invalid} if invalid else {})

    def _learn(self, model: Path) -> Facts:
        """Learn the subword model on all sides that were tokenised."""
        options, files = self.options, self._tokens("en") + self._tokens("de")
        if options.plain:
            return learn_pieces(shuffled(files, options.order or 0), options.merges, model)
        return learn_bpe(in_order(files), options.merges, model)

    def _segment(self, training: Path, vocabulary: Path) -> Facts:
        """Write the training text, in its order, and the vocabulary: the units of all sides.

        If plain, the text stays as it is, for OpenNMT-py to segment as it reads. Lines of which
        the model leaves no unit are dropped.
        """
        files, order = self._tokens("en"), self.options.order
        english = in_order(files) if order is None else shuffled(files, order)
        sentences, counts = 0, Counter[str]()
        with output_stream(str(training)) as stream:
            for line, units in self._segmented(english):
                if units:
                    stream.write(f"{line if self.options.plain else units}\n".encode())
                    sentences += 1
                    counts.update(units.split(" "))
        facts = {"sentences": sentences, "units": counts.total()}
        for _, units in self._segmented(in_order(self._tokens("de"))):
            counts.update(units.split(" ") if units else [])
        ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
        write_lines(vocabulary, (f"{unit}\t{count}" for unit, count in ranked))
        return facts | {"vocabulary": len(counts)}

    def _segmented(self, lines: Iterable[str]) -> Iterator[tuple[str, str]]:
        """Yield each line and its units."""
        total = sum(self.manifest.facts(step.name)["kept"] for step in self.tokens)
        lines, source = tee(tqdm(lines, "segment", total, unit=" lines", disable=None))
        work = partial(segment, model=self.folder / self.model.files[0])
        return zip(lines, map_batches(work, source, self.options.workers), strict=True)

    def _text(self, name: str, *files: Path) -> Facts:
        """Write a validation or test text: segmented, or if plain as it is, and segmented too."""
        text, plain = TEXTS[name], self.options.plain
        sentences = read_sentences(self.archives.path(text.archive), text.member)
        lines = [" ".join(s.split()) if plain else tokeniser("en")(s) for s in sentences]
        segmented = segment(lines, self.folder / self.model.files[0])
        for path, content in zip(files, ([lines] if plain else []) + [segmented], strict=False):
            write_lines(path, content)
        if len(lines) != text.sentences:
            print(
                f"{name}: {len(lines):,} sentences where {text.member} of WMT16 has "
                f"{text.sentences:,}; numbers on them do not compare with others'",
                file=sys.stderr,
            )
        return {"sentences": len(lines), "units": sum(len(line.split()) for line in segmented)}

    def _write_yaml(self) -> None:
        """Write the part of OpenNMT-py's configuration that names the data."""
        folder, plain = self.folder.resolve(), self.options.plain
        content: Facts = {"data": {}}
        for name in ("train", "valid"):
            paths = dict.fromkeys(("path_src", "path_tgt"), str(folder / f"{name}.en"))
            content["data"][name] = paths | ({"transforms": ["sentencepiece"]} if plain else {})
        content["src_vocab"] = str(folder / "vocab.txt")
        content["src_vocab_size"] = self.manifest.facts("train")["vocabulary"]
        content["share_vocab"] = True
        if plain:
            model = str(folder / self.model.files[0])
            content |= {"src_subword_model": model, "tgt_subword_model": model}
        head = "# Written by `onmt_lattice prepare wmt16`: where the data is.\n"
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        write_changed(self.folder / "data.yaml", head + text)

    def _tokens(self, side: str) -> list[Path]:
        """Return the files of tokens of one side, "en" or "de", in the order of the corpora."""
        files = (file for step in self.tokens for file in step.files)
        return [self.folder / file for file in files if file.endswith(f".{side}")]
