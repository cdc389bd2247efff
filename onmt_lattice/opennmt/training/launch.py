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
from onmt.utils.earlystopping import SCORER_BUILDER
from onmt.utils.logging import init_logger
from onmt.utils.parse import ArgumentParser

from onmt_lattice.config import check_ranges, from_options
from onmt_lattice.errors import Interrupted, UserError, unknown_name
from onmt_lattice.files import check_folder, check_output, checkpoints
from onmt_lattice.opennmt.data.corpora import check_data, check_texts
from onmt_lattice.opennmt.data.transforms import SIDES, check_tokenizer_options
from onmt_lattice.opennmt.data.vocabulary import read_vocabulary
from onmt_lattice.opennmt.options.configuration import (
    bottleneck_settings,
    check_model_options,
    check_plain,
    make_bottleneck_from_opt,
)
from onmt_lattice.opennmt.options.parsers import RateWeight, parse_train
from onmt_lattice.opennmt.options.ranges import RANGES
from onmt_lattice.opennmt.training import plugin
from onmt_lattice.opennmt.training.history import read_history
from onmt_lattice.opennmt.training.interruption import ForwardedRequest
from onmt_lattice.opennmt.training.resumption import only_training, resolve_checkpoint


def train(argv: list[str]) -> None:
    """Run ``onmt_lattice train`` with the options in ``argv``."""
    opt = parse_train(argv)
    plugin.install()
    check_options(opt)
    init_logger(opt.log_file)
    check_texts(yaml.safe_load(opt.data))
    with only_training(opt.save_model):
        plugin.resume_from(resolve_checkpoint(opt))
        if opt.world_size == 1:
            onmt.bin.train.train(opt)
        else:
            check_port(opt)
            _train_in_processes(opt)


def _train_in_processes(opt: Namespace) -> None:
    """Train in several processes; raise the error that ended one of them early."""
    with ForwardedRequest() as stop:
        try:
            onmt.bin.train.train(opt)
        except Exception as error:  # its message is the traceback of one of them
            if match := re.search(r"^[\w.]*\.UserError: (.*)", str(error), re.MULTILINE):
                raise UserError(match[1]) from error
            raise
    if stop.number is not None:
        message = f"stopped by {signal.Signals(stop.number).name}"
        if paths := list(checkpoints(opt.save_model).values()):
            message += f"; {paths[-1]} is the last checkpoint, and -resume auto resumes from it"
        raise Interrupted(stop.number, message)


def check_options(opt: Namespace) -> None:
    """Check and complete ``opt`` for training."""
    check_ranges(vars(opt), RANGES)
    check_data(opt)
    check_tokenizer_options(opt)
    check_devices(opt)
    check_optimizer(opt)
    check_steps(opt)
    for name in ("src_vocab", "tgt_vocab", "train_from"):
        path = getattr(opt, name)
        if path and not os.path.isfile(path):
            cure = "; 'onmt_lattice build_vocab' makes one" if name != "train_from" else ""
            found = "is a folder; expected a file" if os.path.isdir(path) else "no such file"
            raise UserError(f"-{name} {path}: {found}{cure}")
    for criterion in opt.early_stopping_criteria or ():
        if criterion not in SCORER_BUILDER:
            raise unknown_name("-early_stopping_criteria", criterion, SCORER_BUILDER)
    for side in SIDES:
        if path := getattr(opt, f"{side}_vocab"):
            read_vocabulary(path, side)
    if opt.log_json:
        check_output(opt.log_json, "-log_json")
        if os.path.exists(opt.log_json):
            read_history(opt.log_json)  # refuses, rather than overwrites, any other file
    if opt.log_file:
        check_log_file(opt)
    if opt.tensorboard:
        check_folder(opt.tensorboard_log_dir, "-tensorboard_log_dir")
    if opt.single_pass:
        raise UserError("-single_pass: never ends in OpenNMT-py 2.3; set -train_steps instead")
    if len(opt.attention_dropout) != len(opt.dropout_steps):
        opt.attention_dropout = opt.dropout  # a list of the right length
    check_model_options(opt)
    try:
        ArgumentParser.validate_train_opts(opt)
        ArgumentParser.validate_prepare_opts(copy.copy(opt))  # it changes some
    except (AssertionError, ValueError, OSError) as error:
        raise UserError(" ".join(str(error).split())) from error
    make_bottleneck_from_opt(opt)
    from_options(RateWeight, opt)
    vars(opt).update(bottleneck_settings(opt))  # a checkpoint does not depend on today's defaults
    check_plain(opt)


def check_log_file(opt: Namespace) -> None:
    """Refuse a ``-log_file`` that cannot be written, or is another file of the run."""
    check_output(opt.log_file, "-log_file")
    files = {name: getattr(opt, name) for name in ("log_json", "src_vocab", "tgt_vocab")}
    for name, corpus in yaml.safe_load(opt.data).items():
        files |= {f"data.{name}.path_{side}": corpus[f"path_{side}"] for side in SIDES}
    for name, path in files.items():
        if path and os.path.realpath(path) == os.path.realpath(opt.log_file):
            raise UserError(f"-log_file {opt.log_file}: is {name} as well; expected another file")
    os.makedirs(os.path.dirname(os.path.abspath(opt.log_file)), exist_ok=True)


def check_steps(opt: Namespace) -> None:
    """Refuse values that change with the steps, and do not fit the steps at which they do."""
    for name, steps in (("dropout", "dropout_steps"), ("accum_count", "accum_steps")):
        values, begins = getattr(opt, name), getattr(opt, steps)
        if len(values) != len(begins):
            raise UserError(f"-{name} {values}: expected a value for each of -{steps} {begins}")
    if opt.accum_steps[0] != 0:
        raise UserError(f"-accum_steps {opt.accum_steps}: expected 0 first, the begin of training")


def check_optimizer(opt: Namespace) -> None:
    """Refuse optimizers that cannot be used, and half precision without a GPU."""
    if opt.optim == "sparseadam":
        raise UserError("-optim sparseadam: torch has no norm of sparse gradients; choose adam")
    if opt.decay_method in ("noam", "noamwd") and opt.rnn_size < 1:
        raise UserError(f"-decay_method {opt.decay_method}: depends on -rnn_size; set that option")
    if opt.optim == "fusedadam" and importlib.util.find_spec("fused_adam_cuda") is None:
        raise UserError(
            "-optim fusedadam: needs NVIDIA's apex, built with its fused_adam_cuda; choose adam, "
            "which is fused as well"
        )
    if opt.optim == "fusedadam" and opt.model_dtype == "fp16":
        raise UserError("-optim fusedadam: cannot be resumed in half precision; choose adam")
    if opt.model_dtype == "fp16" and not (opt.gpu_ranks and torch.cuda.is_available()):
        raise UserError("-model_dtype fp16: half precision needs a GPU; choose bf16 or fp32")


def check_port(opt: Namespace) -> None:
    """Refuse a ``-master_port`` that the first of several processes cannot listen on."""
    if 0 not in opt.gpu_ranks:
        return
    try:
        socket.create_server(("", opt.master_port)).close()
    except OSError as error:
        raise UserError(
            f"-master_port {opt.master_port}: cannot be listened on "
            f"({os.strerror(error.errno or 0)}); choose a port that no other training has"
        ) from error


def check_devices(opt: Namespace) -> None:
    """Refuse ranks without a GPU each; several processes may share the CPU over gloo."""
    ranks = opt.gpu_ranks
    if opt.world_size > 1 and not ranks:
        raise UserError(
            f"-world_size {opt.world_size}: expected the ranks of the processes to start here, "
            f"-gpu_ranks {' '.join(map(str, range(opt.world_size)))}"
        )
    if len(set(ranks)) < len(ranks) or max(ranks, default=0) >= opt.world_size:
        raise UserError(
            f"-gpu_ranks {ranks}: expected different numbers below -world_size {opt.world_size}"
        )
    devices = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if 0 < devices < len(ranks):
        raise UserError(
            f"-gpu_ranks {ranks}: expected a CUDA device for each, and {devices} were found"
        )
    if ranks and not devices and (opt.world_size == 1 or opt.gpu_backend != "gloo"):
        raise UserError(
            f"-gpu_ranks {ranks}: no CUDA device was found; leave gpu_ranks out to train on the "
            f"CPU, or set gpu_backend: gloo to train in {max(opt.world_size, 2)} CPU processes"
        )
