"""The batches of training, which can be resumed at any position in the corpora.

OpenNMT-py takes lines from the corpora in turns, ``bucket_size`` at a time, transforms, shuffles
and sorts them, and cuts them into batches. A bucket depends on the lines where it begins in each
corpus and on the random state there. A *position* records these, and the number of batches taken:
a resumed run makes that one bucket again.

==================  ===========================================================================
key of a position   value
==================  ===========================================================================
``texts``           where the bucket begins in each corpus; see :meth:`CorpusStream.position`
``turn``            index of the next corpus, of ``weight`` turns per corpus
``random_state``    there, of the process that makes the batches
``taken``           number of batches taken from the bucket
``stride``          number of processes that share the lines
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
from onmt_lattice.opennmt.checkpoint.contents import host_random_state, set_random_state
from onmt_lattice.opennmt.data.corpora import EXAMPLE_KEYS, CorpusIterator, line_pairs, skip_empty
from onmt_lattice.text import decoded_lines, is_sentence

Position = dict[str, Any]
Item = tuple[dict[str, Any], Any, str]  # an example, its transforms, and its corpus' name


class CorpusStream:
    """The examples of one process from a corpus, over and over."""

    def __init__(self, stock: CorpusIterator) -> None:
        self.name, self.path, self.transform = stock.cid, stock.corpus.src, stock.transform
        self.target = stock.corpus.tgt
        self.stride, self.offset = stock.stride, stock.offset
        self.skip_empty_level = stock.skip_empty_level
        self.passes, self._lines, self._begin, self._last = 1, 0, 0, b""

    def position(self) -> dict[str, int]:
        """Return the number of the pass, of the lines read in it, and the last line's check.

        That is the byte in the source where the line begins, its CRC-32, and the files' size.
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

    def seek(self, position: dict[str, int]) -> bool:
        """Go to a position; return False, and stay, if the corpus has changed."""
        with open(self.path, "rb") as file:
            file.seek(position["begin"])
            last = file.readline() if position["lines"] else b""
        if (zlib.crc32(last), self._size()) != (position["check"], position["size"]):
            return False
        self.passes, self._lines = position["pass"], position["lines"]
        self._begin, self._last = position["begin"], last
        return True

    def __iter__(self) -> Iterator[Item]:
        while True:
            is_whole, is_empty = self._lines == 0, True
            for item in self._pass():
                is_empty = False
                yield item
            if is_whole and is_empty:
                raise UserError(
                    f"data.{self.name}.path_src {self.path}: no sentence in the lines of process "
                    f"{self.offset + 1} of {self.stride}"
                )
            if statistics := self.transform.stats():
                logger.info("Transforms of %s:\n%s", self.name, statistics)
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
                    skip_empty(self.skip_empty_level, self.name, number)
                    continue
                words = (text.split() for text in (*pair, *pair))
                example = {**dict(zip(EXAMPLE_KEYS, words, strict=True)), "indices": number}
                yield example, self.transform, self.name

    def _tracked(self, file: Any) -> Iterator[bytes]:
        """Yield the lines behind the position, and move it along."""
        end = self._begin + len(self._last)
        file.seek(end)
        for line in file:
            self._begin, self._last = end, line
            end += len(line)
            self._lines += 1
            yield line


class Mixture:
    """Examples of several corpora in turns, as many of each in a row as its weight, without end."""

    def __init__(self, corpora: list[CorpusStream], weights: dict[str, int]) -> None:
        self.corpora = {corpus.name: corpus for corpus in corpora}
        self._turns = [corpus.name for corpus in corpora for _ in range(weights[corpus.name])]
        self._turn = 0

    def position(self) -> Position:
        """Return the position of the next example."""
        return {
            "texts": {name: corpus.position() for name, corpus in self.corpora.items()},
            "turn": self._turn,
        }

    def passes(self) -> list[int]:
        """Return the number of the present pass over each corpus."""
        return [corpus.passes for corpus in self.corpora.values()]

    def seek(self, position: Position) -> bool:
        """Go to a position; return False if the corpora have changed."""
        positions = position["texts"]
        if positions.keys() != self.corpora.keys():
            return False
        self._turn = position["turn"] % len(self._turns)
        return all([corpus.seek(positions[name]) for name, corpus in self.corpora.items()])

    def __iter__(self) -> Iterator[Item]:
        streams = {name: iter(corpus) for name, corpus in self.corpora.items()}
        while True:
            item = next(streams[self._turns[self._turn]])
            self._turn = (self._turn + 1) % len(self._turns)
            yield item


class PicklableBatch(Batch):
    """A batch that is sent to another process by value.

    For its tensors torch would start a process that shares memory, and wait for it, too short a
    time on a busy machine.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (pickle.dumps(vars(self)),)


def _unpickle(content: bytes) -> PicklableBatch:
    batch = PicklableBatch.__new__(PicklableBatch)
    batch.__dict__.update(pickle.loads(content))
    return batch


class TrainingBatches(DynamicDatasetIter):
    """OpenNMT-py's batches of training, from ``position`` on if there is one.

    The first batch, and the first of every bucket, have the position behind them as an attribute
    ``position``, unless ``has_positions`` is False.
    """

    position: Position | None = None
    has_positions = True

    def __iter__(self) -> Iterator[Any]:
        self._init_datasets()
        self._taken = 0
        self._marked_bucket: Position | None = None
        batches = self._with_positions(super().__iter__())
        if self.position is not None:
            self._resume(self.position, batches)
        return batches

    def _init_datasets(self) -> None:
        weights = {name: int(self.corpora_info[name]["weight"]) for name in self.corpora}
        self.dataset_adapter = DatasetAdapter(self.fields, self.is_train)
        self.mixer = Mixture([CorpusStream(self._iterator(name)) for name in self.corpora], weights)
        self.init_iterators = True

    def _iterator(self, name: str) -> CorpusIterator:
        """Return our iterator over a corpus, also in processes without the plugin."""
        names = self.corpora_info[name]["transforms"]
        pipe = TransformPipe.build_from([self.transforms[transform] for transform in names])
        logger.info("Transforms of %s: %s", name, pipe)
        level = self.skip_empty_level
        return CorpusIterator(self.corpora[name], pipe, level, self.stride, self.offset)

    def _resume(self, position: Position, batches: Iterator[Any]) -> None:
        if not self.mixer.seek(position):
            logger.warning(
                "The corpora are not those that the checkpoint was trained on, as names, sizes or "
                "lines differ; they are read from their first lines"
            )
            self._init_datasets()
            return
        for name, corpus in position["texts"].items():
            logger.info("Resuming behind line %d of %s", corpus["lines"], name)
        if position["stride"] != self.stride:
            logger.warning(
                "The checkpoint is of %d processes, this run has %d: they share the lines anew",
                *(position["stride"], self.stride),
            )
            return
        set_random_state(position["random_state"])
        for _ in islice(batches, position["taken"]):
            pass
        self._marked_bucket = None

    def _bucketing(self) -> Iterator[list[Item]]:
        items = iter(self.mixer)
        begin = self.mixer.passes()
        while True:
            if self._taken:
                begin = self.mixer.passes()
            elif all(now > then + 1 for now, then in zip(self.mixer.passes(), begin, strict=True)):
                raise UserError(
                    f"data: the transforms leave no sentence of {', '.join(self.mixer.corpora)}, "
                    f"in the lines of process {self.offset + 1} of {self.stride}"
                )
            self._taken = 0
            self._bucket = {
                **self.mixer.position(),
                "random_state": host_random_state(),
                "stride": self.stride,
            }
            yield list(islice(items, self.bucket_size))

    def _with_positions(self, batches: Iterator[Any]) -> Iterator[Any]:
        for batch in batches:
            batch.__class__ = PicklableBatch
            self._taken += 1
            if self.has_positions and self._marked_bucket is not self._bucket:
                self._marked_bucket = self._bucket
                batch.position = {**self._bucket, "taken": self._taken}
            yield batch


class PositionTracker:
    """Batches, with the ``position`` behind those that were taken, or None if they have none."""

    position: Position | None = None

    def __init__(self, batches: Iterable[Any]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[Any]:
        for batch in self._batches:
            if (position := getattr(batch, "position", None)) is not None:
                self.position = position
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
    """Return the batches of process ``offset`` of ``stride``; replaces ``_build_train_iter``."""
    transforms = make_transforms(opt, transforms_cls, fields)
    batches = TrainingBatches.from_opts(
        get_corpora(opt, is_train=True), transforms, fields, opt, True, stride=stride, offset=offset
    )
    batches.position = position
    # One of several machines does not take all batches that it makes.
    batches.has_positions = stride == opt.world_size
    return batches


def skip_batches(batches: Iterator[Any], count: int) -> Iterator[Any]:
    """Return ``batches`` without the first ``count``."""
    logger.warning(
        "The checkpoint has no position in the corpora, as those of several machines or of export: "
        "the %d batches before it are read again",
        count,
    )
    tenth = max(1, count // 10)
    for number, _ in enumerate(islice(batches, count), 1):
        if number % tenth == 0:
            logger.info("Read %d of %d batches again", number, count)
    return batches


class OnDevice:
    """Batches of OpenNMT-py, each moved to a device by :func:`moved` when it is taken."""

    def __init__(self, batches: Iterable[Any], device: torch.device, padding: int) -> None:
        self._batches = batches
        self._device = device
        self._padding = padding

    def __iter__(self) -> Iterator[Any]:
        for batch in self._batches:
            yield moved(batch, self._device, self._padding)


def moved(batch: Any, device: torch.device, padding: int) -> Any:
    """Return ``batch`` with its tokens moved to ``device``, without waiting for the device.

    The lengths of the sources and the indices of the lines stay on the CPU. A new attribute
    ``real``, ``(tokens,)`` int64 on ``device``, has the indices in ``batch.tgt[1:]``, flattened,
    that are not ``padding``.
    """
    src, lengths = batch.src
    real = batch.tgt[1:, :, 0].flatten().ne(padding).nonzero().squeeze(1)
    batch.src = _to_device(src, device), lengths
    batch.tgt, batch.real = _to_device(batch.tgt, device), _to_device(real, device)
    return batch


def _to_device(x: Tensor, device: torch.device) -> Tensor:
    if device.type == "cuda":
        x = x.pin_memory()  # a copy from other memory waits for the device
    return x.to(device, non_blocking=True)
