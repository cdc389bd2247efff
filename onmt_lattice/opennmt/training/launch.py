"""Training: OpenNMT-py's own flow, with our model, loss, trainer and saver in it."""

from __future__ import annotations

import copy
import importlib.util
import os
import re
import signal
import socket
from argparse import Namespace

import onmt.bin.train
import torch
import yaml
from onmt.utils.logging import init_logger
from onmt.utils.parse import ArgumentParser

from onmt_lattice.config import check_ranges
from onmt_lattice.errors import Interrupted, UserError
from onmt_lattice.files import check_folder, check_output, checkpoints
from onmt_lattice.opennmt.checkpoint import check_options as check_saved
from onmt_lattice.opennmt.data.corpora import check_data, check_texts
from onmt_lattice.opennmt.data.transforms import check_tokenizer_options
from onmt_lattice.opennmt.data.vocabulary_file import read_vocabulary
from onmt_lattice.opennmt.options.configuration import (
    bottleneck_settings,
    check_plain,
    check_shapes,
    check_single_path,
)
from onmt_lattice.opennmt.options.parsers import parse_train
from onmt_lattice.opennmt.options.ranges import RANGES
from onmt_lattice.opennmt.training import plugin
from onmt_lattice.opennmt.training.history import read_history
from onmt_lattice.opennmt.training.interruption import PassedOn
from onmt_lattice.opennmt.training.resumption import only_training, resolve_checkpoint


def train(argv: list[str]) -> None:
    """Run ``onmt_lattice train`` with the words behind the subcommand."""
    opt = parse_train(argv)
    plugin.install()
    check_options(opt)
    init_logger(opt.log_file)
    check_texts(yaml.safe_load(opt.data))
    with only_training(opt.save_model):
        plugin.go_on_from(resolve_checkpoint(opt))
        if opt.world_size == 1:
            onmt.bin.train.train(opt)
        else:
            check_port(opt)
            _train_in_several(opt)


def _train_in_several(opt: Namespace) -> None:
    """Train in processes of their own, and tell in one line what has ended them early.

    Raises:
        Interrupted: if a signal has stopped them.
        UserError: as one of them did.
    """
    with PassedOn() as stop:
        try:
            onmt.bin.train.train(opt)
        except Exception as error:  # its message is the traceback of one of them
            if told := re.search(r"^[\w.]*\.UserError: (.*)", str(error), re.MULTILINE):
                raise UserError(told[1]) from error
            raise
    if stop.number is not None:
        said = f"stopped by {signal.Signals(stop.number).name}"
        if written := list(checkpoints(opt.save_model).values()):
            said += f"; {written[-1]} is the last checkpoint, and -resume auto resumes from it"
        raise Interrupted(stop.number, said)


def check_options(opt: Namespace) -> None:
    """Check and complete ``opt`` for training."""
    check_ranges(vars(opt), RANGES)
    check_data(opt)
    check_tokenizer_options(opt)
    check_devices(opt)
    check_optim(opt)
    check_single_path(opt)
    for name in ("src_vocab", "tgt_vocab", "train_from"):
        path = getattr(opt, name)
        if path and not os.path.isfile(path):
            cure = "; 'onmt_lattice build_vocab' makes one" if name != "train_from" else ""
            raise UserError(f"-{name} {path}: no such file{cure}")
    for side in ("src", "tgt"):
        if path := getattr(opt, f"{side}_vocab"):
            read_vocabulary(path, side)
    if opt.log_json:
        check_output(opt.log_json, "-log_json")
        if os.path.exists(opt.log_json):
            read_history(opt.log_json)  # so that nothing else is overwritten
    if opt.log_file:
        check_output(opt.log_file, "-log_file")
    if opt.tensorboard:
        check_folder(opt.tensorboard_log_dir, "-tensorboard_log_dir")
    if opt.single_pass:
        raise UserError("-single_pass: never ends in OpenNMT-py 2.3; set -train_steps instead")
    if len(opt.attention_dropout) != len(opt.dropout_steps):
        opt.attention_dropout = opt.dropout  # one list less to keep in step
    try:
        ArgumentParser.validate_train_opts(opt)
        ArgumentParser.update_model_opts(opt)
        ArgumentParser.validate_model_opts(opt)
        saved = copy.deepcopy(opt)
        ArgumentParser.validate_prepare_opts(saved)
    except (AssertionError, ValueError, OSError) as error:
        raise UserError(" ".join(str(error).split())) from error
    check_shapes(opt)
    for name, value in bottleneck_settings(opt).items():
        setattr(opt, name, value)  # so that a checkpoint outlives a change of defaults
        setattr(saved, name, value)
    check_plain(saved)
    check_saved(saved)  # what no command would read is not trained


def check_optim(opt: Namespace) -> None:
    """Refuse optimizers that cannot take a step here, and half precision where there is none."""
    if opt.optim == "sparseadam":
        raise UserError(
            "-optim sparseadam: gradients are looked at and clipped as a whole here, which torch "
            "does not do for sparse ones; choose adam"
        )
    if opt.decay_method in ("noam", "noamwd") and opt.rnn_size < 1:
        raise UserError(
            f"-decay_method {opt.decay_method}: goes by -rnn_size; expected that, not "
            f"-enc_rnn_size and -dec_rnn_size"
        )
    if opt.optim == "fusedadam" and importlib.util.find_spec("fused_adam_cuda") is None:
        raise UserError(
            "-optim fusedadam: needs NVIDIA's apex, built with its fused_adam_cuda; choose adam, "
            "which takes its step in one pass too"
        )
    if opt.optim == "fusedadam" and opt.model_dtype == "fp16":
        raise UserError(
            "-optim fusedadam: in half precision apex keeps a state that no checkpoint has; choose "
            "adam"
        )
    if opt.model_dtype == "fp16" and not (opt.gpu_ranks and torch.cuda.is_available()):
        raise UserError(
            "-model_dtype fp16: half precision needs a GPU; choose bf16 on a CPU that has it, or "
            "fp32"
        )


def check_port(opt: Namespace) -> None:
    """Refuse a ``-master_port`` that the first of several processes cannot listen on."""
    if 0 not in opt.gpu_ranks:
        return
    try:
        socket.create_server(("", opt.master_port)).close()
    except OSError as error:
        raise UserError(
            f"-master_port {opt.master_port}: cannot be listened on "
            f"({os.strerror(error.errno or 0)}); choose another port, that "
            f"no other training has"
        ) from error


def check_devices(opt: Namespace) -> None:
    """Refuse GPU ranks without a GPU; several processes may share the CPU over gloo."""
    if opt.world_size > 1 and not opt.gpu_ranks:
        raise UserError(
            f"-world_size {opt.world_size}: expected the ranks of the processes to start here, "
            f"-gpu_ranks {' '.join(map(str, range(opt.world_size)))}"
        )
    if not opt.gpu_ranks or torch.cuda.is_available():
        return
    if opt.world_size > 1 and opt.gpu_backend == "gloo":
        return
    raise UserError(
        f"-gpu_ranks {opt.gpu_ranks}: no CUDA device was found; leave gpu_ranks out to train on "
        f"the CPU, or set gpu_backend: gloo to train in {max(opt.world_size, 2)} CPU processes"
    )
