"""The batches of training, which can be gone on with from any place in the texts.

OpenNMT-py takes lines from the corpora in turns, ``bucket_size`` of them at a time, transforms,
shuffles and sorts them, and cuts them into batches. What a bucket becomes follows from where it
begins in each text and from the random numbers there. These are the *position* that a checkpoint
keeps, with how many batches of the bucket were taken: a resumed run makes that one bucket again.

==================  ===========================================================================
key of a position   what it is
==================  ===========================================================================
``texts``           where the bucket begins in each corpus; see :meth:`Text.place`
``turn``            whose turn it is, of ``weight`` turns a corpus
``random_state``    there, of the process that makes the batches
``taken``           how many batches of the bucket were taken
``stride``          among how many processes the lines are dealt out
==================  ===========================================================================
"""

from __future__ import annotations

import os
import pickle
import zlib
from argparse import Namespace
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import torch
from onmt.inputters.corpus import DatasetAdapter, get_corpora
from onmt.inputters.dynamic_iterator import DynamicDatasetIter
from onmt.transforms import TransformPipe, make_transforms
from onmt.utils.logging import logger
from torch import Tensor
from torchtext.data import Batch

from onmt_lattice.errors import UserError
from onmt_lattice.opennmt.checkpoint import host_random_state, set_random_state
from onmt_lattice.opennmt.data.corpora import KEYS, CorpusIterator, line_pairs, skip_empty
from onmt_lattice.text import decoded_lines, is_sentence

Position = dict[str, Any]
Item = tuple[dict[str, Any], Any, str]  # an example, its transforms, and its corpus' name


class Text:
    """The lines of a corpus that fall to one process, over and over, each pair an example.

    Args:
        stock: OpenNMT-py's iterator over the corpus, once.
    """

    def __init__(self, stock: CorpusIterator) -> None:
        self.name, self.path, self.transform = stock.cid, stock.corpus.src, stock.transform
        self.target = stock.corpus.tgt
        self.stride, self.offset = stock.stride, stock.offset
        self.empty = stock.skip_empty_level
        self.passes, self._lines, self._begin, self._last = 1, 0, 0, b""

    def place(self) -> dict[str, int]:
        """Return which pass this is, the lines read in it, and what is known of the last of them.

        That is the byte where it begins in the source and its CRC-32, with the bytes of the files.
        """
        return {
            "pass": self.passes,
            "lines": self._lines,
            "begin": self._begin,
            "check": zlib.crc32(self._last),
            "size": self._size(),
        }

    def _size(self) -> int:
        return sum(os.path.getsize(path) for path in {self.path, self.target})

    def seek(self, place: dict[str, int]) -> bool:
        """Go to a place of this text; return False, and stay, if the text is another one there."""
        with open(self.path, "rb") as file:
            file.seek(place["begin"])
            last = file.readline() if place["lines"] else b""
        if (zlib.crc32(last), self._size()) != (place["check"], place["size"]):
            return False
        self.passes, self._lines = place["pass"], place["lines"]
        self._begin, self._last = place["begin"], last
        return True

    def __iter__(self) -> Iterator[Item]:
        found = 0
        while True:
            before, begun = found, self._lines
            for item in self._pass():
                found += 1
                yield item
            if found == before and begun == 0:
                raise UserError(
                    f"data.{self.name}.path_src {self.path}: no sentence in the lines that fall to "
                    f"process {self.offset + 1} of {self.stride}"
                )
            if said := self.transform.stats():
                logger.info("Transforms of %s:\n%s", self.name, said)
            self.passes += 1
            self._lines, self._begin, self._last = 0, 0, b""
            logger.info("Reading %s for the %d. time", self.name, self.passes)

    def _pass(self) -> Iterator[Item]:
        with open(self.path, "rb") as file:
            tracked, option, first = self._tracked(file), f"data.{self.name}.path_src", self._lines
            lines = decoded_lines(tracked, self.path, option, None, first + 1)
            for pair in line_pairs(self.name, self.path, self.target, lines, first):
                number = self._lines - 1
                if number % self.stride != self.offset:
                    continue
                if not all(map(is_sentence, pair)):
                    skip_empty(self.empty, self.name, number)
                    continue
                words = dict(zip(KEYS, (text.split() for text in (*pair, *pair)), strict=True))
                yield {**words, "indices": number}, self.transform, self.name

    def _tracked(self, file: Any) -> Iterator[bytes]:
        """Yield the lines behind the place, which goes on with them."""
        end = self._begin + len(self._last)
        file.seek(end)
        for line in file:
            self._begin, self._last = end, line
            end += len(line)
            self._lines += 1
            yield line


class Mixture:
    """Examples of several texts in turns, as many of each in a row as its weight, without end."""

    def __init__(self, texts: list[Text], weights: dict[str, int]) -> None:
        self.texts = {text.name: text for text in texts}
        self._turns = [text.name for text in texts for _ in range(weights[text.name])]
        self._turn = 0

    def position(self) -> Position:
        """Return where in the texts the next example is taken from."""
        return {
            "texts": {name: text.place() for name, text in self.texts.items()},
            "turn": self._turn,
        }

    def passes(self) -> list[int]:
        """Return which pass over each text this is."""
        return [text.passes for text in self.texts.values()]

    def seek(self, position: Position) -> bool:
        """Go to a position; return False if it is one in other texts."""
        places = position["texts"]
        if places.keys() != self.texts.keys():
            return False
        self._turn = position["turn"] % len(self._turns)
        return all([text.seek(places[name]) for name, text in self.texts.items()])

    def __iter__(self) -> Iterator[Item]:
        streams = {name: iter(text) for name, text in self.texts.items()}
        while True:
            item = next(streams[self._turns[self._turn]])
            self._turn = (self._turn + 1) % len(self._turns)
            yield item


class Sent(Batch):
    """A batch that goes to another process as it is.

    For its tensors alone torch would start a process that shares memory, which a busy machine may
    keep waiting for longer than torch does.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _received, (pickle.dumps(vars(self)),)


def _received(content: bytes) -> Sent:
    batch = Sent.__new__(Sent)
    batch.__dict__.update(pickle.loads(content))
    return batch


class TrainingBatches(DynamicDatasetIter):
    """OpenNMT-py's batches of training, from ``position`` on if there is one.

    The first batch, and the first of every bucket, carry the position behind them as an attribute
    ``position``, unless ``tells`` is False.
    """

    position: Position | None = None
    tells = True

    def __iter__(self) -> Iterator[Any]:
        self._init_datasets()
        self._taken = 0
        self._told: Position | None = None
        batches = self._marked(super().__iter__())
        if self.position is not None:
            self._go_on(self.position, batches)
        return batches

    def _init_datasets(self) -> None:
        weights = {name: int(self.corpora_info[name]["weight"]) for name in self.corpora}
        self.dataset_adapter = DatasetAdapter(self.fields, self.is_train)
        self.mixer = Mixture([Text(self._iterator(name)) for name in self.corpora], weights)
        self.init_iterators = True

    def _iterator(self, name: str) -> CorpusIterator:
        """Return OpenNMT-py's iterator over a corpus, ours in every process that makes batches."""
        chosen = self.corpora_info[name]["transforms"]
        pipe = TransformPipe.build_from([self.transforms[transform] for transform in chosen])
        logger.info("Transforms of %s: %s", name, pipe)
        level = self.skip_empty_level
        return CorpusIterator(self.corpora[name], pipe, level, self.stride, self.offset)

    def _go_on(self, position: Position, batches: Iterator[Any]) -> None:
        if not self.mixer.seek(position):
            logger.warning(
                "The corpora are not those that the checkpoint was trained on, as names, sizes or "
                "lines differ; they are read from their first lines"
            )
            self._init_datasets()
            return
        for name, place in position["texts"].items():
            logger.info("Going on behind line %d of %s", place["lines"], name)
        if position["stride"] != self.stride:
            logger.warning(
                "The checkpoint is of %d processes, this run has %d: the lines are dealt out anew",
                *(position["stride"], self.stride),
            )
            return
        set_random_state(position["random_state"])
        for _ in islice(batches, position["taken"]):
            pass
        self._told = None

    def _bucketing(self) -> Iterator[list[Item]]:
        items = iter(self.mixer)
        begin = self.mixer.passes()
        while True:
            if self._taken:
                begin = self.mixer.passes()
            elif all(now > then + 1 for now, then in zip(self.mixer.passes(), begin, strict=True)):
                raise UserError(
                    f"data: the transforms leave no sentence of {', '.join(self.mixer.texts)}, in "
                    f"the lines that fall to process {self.offset + 1} of {self.stride}"
                )
            self._taken = 0
            self._bucket = {
                **self.mixer.position(),
                "random_state": host_random_state(),
                "stride": self.stride,
            }
            yield list(islice(items, self.bucket_size))

    def _marked(self, batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            batch.__class__ = Sent
            self._taken += 1
            if self.tells and self._told is not self._bucket:
                self._told = self._bucket
                batch.position = {**self._bucket, "taken": self._taken}
            yield batch


class PositionTracker:
    """Knows the position behind the batches that were taken from it.

    Attributes:
        position: that one, or None if the batches carry none.
    """

    position: Position | None = None

    def __init__(self, batches: Iterable[Any]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[Any]:
        for batch in self._batches:
            if (found := getattr(batch, "position", None)) is not None:
                self.position = found
            elif self.position is not None:
                self.position = {**self.position, "taken": self.position["taken"] + 1}
            yield batch


def training_batches(
    opt: Namespace,
    fields: dict[str, Any],
    transforms_cls: dict[str, type],
    stride: int = 1,
    offset: int = 0,
    position: Position | None = None,
) -> TrainingBatches:
    """Return the batches of training of one process; stands for ``_build_train_iter``.

    Args:
        opt: the options, validated.
        fields: vocabulary and numbering of the tokens.
        transforms_cls: transforms of the text, by name.
        stride: among how many processes the lines are dealt out.
        offset: which of them this is.
        position: where to go on from, or None for the beginning.
    """
    transforms = make_transforms(opt, transforms_cls, fields)
    batches = TrainingBatches.from_opts(
        get_corpora(opt, is_train=True), transforms, fields, opt, True, stride=stride, offset=offset
    )
    batches.position = position
    # Of several machines, each takes some of the batches that it makes and leaves the others.
    batches.tells = stride == opt.world_size
    return batches


def behind(batches: Iterator[Any], count: int) -> Iterator[Any]:
    """Return ``batches`` behind the first ``count``, which are made again, with a warning.

    It is for runs on several machines, of whose batches none carries a position.
    """
    logger.warning(
        "The checkpoint has no position in the texts, as those of several machines: the %d batches "
        "before it are read again",
        count,
    )
    tenth = max(1, count // 10)
    for number, _ in enumerate(islice(batches, count), 1):
        if number % tenth == 0:
            logger.info("Read %d of %d batches again", number, count)
    return batches


class OnDevice:
    """Batches of OpenNMT-py, each moved to a device by :func:`moved` when it is taken.

    Args:
        batches: on the CPU.
        device: where to.
        padding: the token that stands for padding.
    """

    def __init__(self, batches: Iterable[Any], device: torch.device, padding: int) -> None:
        self._batches = batches
        self._device = device
        self._padding = padding

    def __iter__(self) -> Iterator[Any]:
        for batch in self._batches:
            yield moved(batch, self._device, self._padding)


def moved(batch: Any, device: torch.device, padding: int) -> Any:
    """Return ``batch``, its tokens moved to ``device`` without waiting for it.

    The lengths of its sources and the indices of its lines stay on the CPU. It gets an attribute
    ``real``, ``(tokens,)`` int64 on ``device``: where in ``batch.tgt[1:]``, flattened, there is no
    padding.
    """
    src, lengths = batch.src
    real = batch.tgt[1:, :, 0].flatten().ne(padding).nonzero().squeeze(1)
    batch.src = _sent(src, device), lengths
    batch.tgt, batch.real = _sent(batch.tgt, device), _sent(real, device)
    return batch


def _sent(x: Tensor, device: torch.device) -> Tensor:
    if device.type == "cuda":
        x = x.pin_memory()  # from elsewhere the device is waited for
    return x.to(device, non_blocking=True)
