"""What of OpenNMT-py is replaced, and only that."""

from __future__ import annotations

import importlib
import multiprocessing
import pkgutil
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import onmt
import onmt.bin.train
import onmt.encoders
import onmt.inputters.corpus
import onmt.inputters.inputter
import onmt.model_builder
import onmt.utils.distributed
import onmt.utils.loss
import pytest
from conftest import Build, Corpus

from onmt_lattice.opennmt.data import corpora
from onmt_lattice.opennmt.model.autoencoder import Autoencoder
from onmt_lattice.opennmt.model.encoder import BottleneckEncoder
from onmt_lattice.opennmt.model.statistics import RateStatistics
from onmt_lattice.opennmt.options import parsers as options
from onmt_lattice.opennmt.options import parsing
from onmt_lattice.opennmt.training import launch as training
from onmt_lattice.opennmt.training import plugin
from onmt_lattice.opennmt.training.loss import RateLossCompute
from onmt_lattice.opennmt.training.trainer import RateTrainer

ROOT = Path(plugin.__file__).parent.parent
MODULES = [
    onmt,
    onmt.bin.train,
    onmt.encoders,
    onmt.inputters.corpus,
    onmt.inputters.inputter,
    onmt.model_builder,
    onmt.models.model_saver,
    onmt.opts,
    onmt.train_single,
    onmt.trainer,
    onmt.translate.translator,
    onmt.utils,
    onmt.utils.distributed,
    onmt.utils.loss,
    onmt.utils.parse,
    onmt.utils.report_manager,
    onmt.utils.statistics,
]


def names() -> dict[tuple[str, str], Any]:
    return {(m.__name__, key): value for m in MODULES for key, value in vars(m).items()}


@pytest.fixture
def stock(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """OpenNMT-py without the plugin, until the test ends."""
    with monkeypatch.context() as patch:
        for name in (options.BRNN, options.TRANSFORMER):
            patch.delitem(onmt.encoders.str2enc, name, raising=False)
        for module, name, value in (
            (onmt.model_builder, "build_task_specific_model", plugin._stock_build_model),
            (onmt.utils.loss, "build_loss_compute", plugin._stock_build_loss),
            (onmt.utils.distributed, "all_gather_list", plugin._stock_gather),
            (onmt.inputters.corpus, "ParallelCorpus", plugin.TextCorpus.__base__),
            (onmt.inputters.corpus, "ParallelCorpusIterator", plugin.CorpusIterator.__base__),
            (onmt.inputters.corpus, "mp", multiprocessing),
            (onmt.inputters.inputter, "_read_vocab_file", plugin._stock_read_vocabulary),
            (onmt.bin.train, "_init_train", plugin._stock_init_train),
            (onmt.utils, "Statistics", onmt.utils.statistics.Statistics),
            (onmt, "Trainer", onmt.trainer.Trainer),
            (onmt.bin.train, "single_main", onmt.train_single.main),
            (onmt.bin.train, "make_transforms", onmt.transforms.make_transforms),
            (
                *(onmt.bin.train, "prepare_pretrained_embeddings"),
                onmt.modules.embeddings.prepare_pretrained_embeddings,
            ),
            (onmt.bin.train, "load_checkpoint", onmt.models.model_saver.load_checkpoint),
            (onmt.bin.train, "batch_producer", plugin._stock_batch_producer),
            (onmt.bin.train, "_build_train_iter", onmt.train_single._build_train_iter),
        ):
            patch.setattr(module, name, value)
        yield


@pytest.mark.usefixtures("stock")
def test_install_replaces_what_the_table_lists_and_nothing_else() -> None:
    before, encoders = names(), dict(onmt.encoders.str2enc)
    plugin.install()
    replaced = {f"{module}.{key}" for (module, key), value in names().items()
                if value is not before.get((module, key))}  # fmt: skip
    assert set(onmt.encoders.str2enc) - set(encoders) == {options.BRNN, options.TRANSFORMER}
    listed = re.findall(r"^``([\w.]+)(?:\[.*\])?`` ", plugin.__doc__, flags=re.MULTILINE)
    assert replaced | {"onmt.encoders.str2enc"} == {f"onmt.{name}" for name in listed}
    once = names()
    plugin.install()
    assert names() == once


@pytest.mark.usefixtures("stock")
def test_importing_the_package_replaces_nothing() -> None:
    before = names()
    for package in ("options", "model", "checkpoint", "data", "training", "inference", "commands"):
        for module in pkgutil.iter_modules([str(ROOT / package)]):
            importlib.import_module(f"onmt_lattice.opennmt.{package}.{module.name}")
    assert names() == before
    assert options.BRNN not in onmt.encoders.str2enc


def test_with_a_bottleneck_every_part_is_ours(build: Build) -> None:
    trainer = build()
    assert isinstance(trainer, RateTrainer) and isinstance(trainer.model, Autoencoder)
    assert isinstance(trainer.model.encoder, BottleneckEncoder)
    assert isinstance(trainer.train_loss, RateLossCompute)
    assert isinstance(trainer.valid_loss, RateLossCompute)
    assert type(onmt.utils.Statistics()) is RateStatistics


def test_without_one_model_and_loss_are_opennmt_s_own(corpus: Corpus) -> None:
    plugin.install()
    data = f"{{c: {{path_src: {corpus.train}}}}}"
    words = ["-data", data, "-src_vocab", str(corpus.vocabulary), "-encoder_type", "brnn"]
    opt = parsing.parse(
        options.train_parser, [*words, "-rnn_size", "8", "-word_vec_size", "8", "-layers", "1"]
    )
    corpora.check_data(opt)
    opt.global_attention = "general"
    opt.attention_dropout = opt.dropout
    training.ArgumentParser.update_model_opts(opt)
    _, fields, _ = onmt.bin.train._init_train(opt)
    model = onmt.model_builder.build_model(opt, opt, fields, None)
    assert type(model) is onmt.models.NMTModel
    loss = onmt.utils.loss.build_loss_compute(model, fields["tgt"].base_field, opt)
    assert type(loss) is onmt.utils.loss.NMTLossCompute


def test_an_own_configuration_stops_stock_opennmt() -> None:
    from onmt.opts import train_opts
    from onmt.utils.parse import ArgumentParser

    parser = ArgumentParser()
    train_opts(parser)
    words = ["-data", "{}", "-src_vocab", "v", "-encoder_type", options.BRNN]
    with pytest.raises(SystemExit):
        parser.parse_known_args(words)
