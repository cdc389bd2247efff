"""Everything of OpenNMT-py that is replaced, in one place: :func:`install`.

OpenNMT-py's own functions look up these names at run time; each becomes a subclass or a wrapper.
Models without a bottleneck can still be built, with their loss, but not trained.
"""

from __future__ import annotations

import multiprocessing
from argparse import Namespace
from typing import Any

import onmt
import onmt.bin.train
import onmt.encoders
import onmt.inputters.corpus
import onmt.inputters.inputter
import onmt.model_builder
import onmt.utils.distributed
import onmt.utils.loss
import torch
from onmt.models import NMTModel
from onmt.utils.logging import logger
from torch import nn

from onmt_lattice.config import from_options
from onmt_lattice.errors import Interrupted, UserError
from onmt_lattice.opennmt.data.batch_worker import ignore_signals
from onmt_lattice.opennmt.data.corpora import CorpusIterator, TextCorpus
from onmt_lattice.opennmt.data.stream import training_batches
from onmt_lattice.opennmt.data.transforms import make_transforms
from onmt_lattice.opennmt.data.vocabulary import (
    check_corpora,
    read_vocabulary,
    warn_of_changed_vocabulary,
)
from onmt_lattice.opennmt.data.word_vectors import prepare_embeddings
from onmt_lattice.opennmt.model.autoencoder import Autoencoder, without_positions
from onmt_lattice.opennmt.model.devices import gathered
from onmt_lattice.opennmt.model.encoder import ENCODERS, BottleneckEncoder
from onmt_lattice.opennmt.model.statistics import RateStatistics
from onmt_lattice.opennmt.options.parsers import RateWeight
from onmt_lattice.opennmt.training.loss import RateLossCompute
from onmt_lattice.opennmt.training.process import position_of, run_process
from onmt_lattice.opennmt.training.trainer import RateTrainer

_stock_build_model = onmt.model_builder.build_task_specific_model
_stock_build_loss = onmt.utils.loss.build_loss_compute
_stock_init_train = onmt.bin.train._init_train
_stock_batch_producer = onmt.bin.train.batch_producer
_stock_gather = onmt.utils.distributed.all_gather_list


def build_task_specific_model(model_opt: Namespace, fields: dict[str, Any]) -> nn.Module:
    """Build the model as OpenNMT-py does, an :class:`Autoencoder` if it has a bottleneck."""
    model = _stock_build_model(model_opt, fields)
    if isinstance(model, NMTModel) and isinstance(model.encoder, BottleneckEncoder):
        return without_positions(Autoencoder(model.encoder, model.decoder))
    return model


def build_loss_compute(model: nn.Module, tgt_field: Any, opt: Namespace, train: bool = True) -> Any:
    """Build the loss as OpenNMT-py does, with the rate added if the model has a bottleneck."""
    stock = _stock_build_loss(model, tgt_field, opt, train)
    if not isinstance(model, Autoencoder):
        return stock
    loss = RateLossCompute(stock.criterion, stock.generator, from_options(RateWeight, opt))
    return loss.to(next(loss.generator.parameters()).device)


def init_train(opt: Namespace) -> tuple[dict[str, Any] | None, dict[str, Any], dict[str, type]]:
    """Prepare vocabulary and transforms as OpenNMT-py does, and check that they fit the text."""
    checkpoint, fields, transforms = _stock_init_train(opt)
    if checkpoint is not None and not opt.update_vocab:
        warn_of_changed_vocabulary(opt, fields)
    check_corpora(opt, fields, transforms)
    return checkpoint, fields, transforms


def all_gather_list(data: Any, max_size: int = 4096) -> list[Any]:
    """Gather ``data`` from every process, over whichever backend they share."""
    if torch.distributed.get_backend() != "gloo":
        return _stock_gather(data, max_size)
    return gathered(data)


def resume_from(start: dict[str, Any] | None) -> None:
    """Let the next run of OpenNMT-py resume from the checkpoint ``start``, at its position."""

    def build_train_iter(opt: Namespace, fields: Any, transforms_cls: Any, **share: int) -> Any:
        position = position_of(start, opt.gpu_ranks[share["offset"]])
        return training_batches(opt, fields, transforms_cls, **share, position=position)

    onmt.bin.train._build_train_iter = build_train_iter
    onmt.bin.train.load_checkpoint = lambda ckpt_path: start


def single_main(*args: Any, **kwargs: Any) -> None:
    """Train in this process, which OpenNMT-py may have started without the plugin."""
    install()
    try:
        run_process(*args, **kwargs)
    except Interrupted as interruption:
        if torch.distributed.is_initialized():  # then the process that started this one raises it
            logger.info("%s", interruption)
        else:
            raise


def batch_producer(batches: Any, queue: Any, *args: Any) -> None:
    """Make batches for another process, and pass a :class:`UserError` on to it."""
    ignore_signals()
    try:
        _stock_batch_producer(batches, queue, *args)
    except UserError as error:
        queue.put(error)


def install() -> None:
    """Replace what is named below, for training with :func:`resume_from`; again changes nothing."""
    onmt.encoders.str2enc.update(ENCODERS)  # a registry; stock tools refuse to train these
    onmt.model_builder.build_task_specific_model = build_task_specific_model
    # Read text as our own commands do, and make sentences of words, each its own target.
    onmt.inputters.corpus.ParallelCorpus = TextCorpus
    onmt.inputters.corpus.ParallelCorpusIterator = CorpusIterator
    # Fork, so that processes that count words see these; since Python 3.14 not the default.
    onmt.inputters.corpus.mp = multiprocessing.get_context("fork")
    onmt.inputters.inputter._read_vocab_file = read_vocabulary  # refuses any other file
    onmt.utils.Statistics = RateStatistics  # counts the rate beside the loss
    onmt.utils.loss.build_loss_compute = build_loss_compute
    onmt.Trainer = RateTrainer  # validates on the CPU too, in both channels
    onmt.bin.train.single_main = single_main  # resumes exactly
    onmt.bin.train._init_train = init_train
    onmt.bin.train.batch_producer = batch_producer
    onmt.bin.train.make_transforms = make_transforms  # errors name files and options
    onmt.bin.train.prepare_pretrained_embeddings = prepare_embeddings  # words may have spaces
    onmt.utils.distributed.all_gather_list = all_gather_list
