"""What of OpenNMT-py is replaced, and only that."""

from __future__ import annotations

import subprocess
import sys

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

STOCK = """
import importlib, pkgutil, sys
import onmt.bin.train, onmt.encoders, onmt.inputters.inputter, onmt.model_builder, onmt.utils
def names():
    return {(m, key): value for m in modules for key, value in vars(sys.modules[m]).items()}
modules = [name for name in sys.modules if name.split(".")[0] == "onmt"]
before = names()
import onmt_lattice.opennmt as package
for module in pkgutil.walk_packages(package.__path__, "onmt_lattice.opennmt."):
    importlib.import_module(module.name)
print([key for key, value in names().items() if value is not before.get(key, value)])
"""


def test_importing_the_package_replaces_nothing_of_opennmt() -> None:
    done = subprocess.run([sys.executable, "-c", STOCK], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


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
