"""One training process: OpenNMT-py's own flow, with our model, trainer and saver in it."""

from __future__ import annotations

import copy
import os
import shutil
from argparse import Namespace
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import Any

import onmt.opts
import torch
from onmt.inputters.dynamic_iterator import build_dynamic_dataset_iter
from onmt.model_builder import build_model
from onmt.train_single import _get_model_opts, configure_process
from onmt.trainer import build_trainer
from onmt.utils.logging import init_logger, logger
from onmt.utils.parse import ArgumentParser
from torch import nn

from onmt_lattice.bottlenecks import LatticeBottleneck
from onmt_lattice.errors import UserError
from onmt_lattice.files import checkpoints
from onmt_lattice.opennmt.checkpoint.contents import PLUGIN_KEY, embedded_files, set_random_state
from onmt_lattice.opennmt.checkpoint.loading import check_loaded, checkpoint_errors, process_state
from onmt_lattice.opennmt.checkpoint.saver import CheckpointSaver
from onmt_lattice.opennmt.data.batch_worker import prefetch
from onmt_lattice.opennmt.data.stream import (
    OnDevice,
    Position,
    PositionTracker,
    skip_batches,
    training_batches,
)
from onmt_lattice.opennmt.model.autoencoder import Autoencoder
from onmt_lattice.opennmt.options.configuration import bottleneck_label, bottleneck_settings
from onmt_lattice.opennmt.options.parsers import BF16, TF32
from onmt_lattice.opennmt.training.history import History
from onmt_lattice.opennmt.training.interruption import PatientRequest
from onmt_lattice.opennmt.training.reports import HistoryReports, NormOptimizer
from onmt_lattice.opennmt.training.resumption import first_step


def run_process(
    opt: Namespace,
    fields: dict[str, Any],
    transforms_cls: dict[str, type],
    checkpoint: dict[str, Any] | None,
    device_id: int,
    batch_queue: Any = None,
    semaphore: Any = None,
) -> None:
    """Train in this process; replaces OpenNMT-py's ``train_single.main``."""
    rank = opt.gpu_ranks[device_id] if device_id >= 0 else 0
    if device_id >= 0 and not torch.cuda.is_available():  # one of several processes on the CPU
        opt, device_id = copy.copy(opt), -1
        opt.gpu_ranks, opt.tensorboard = [], opt.tensorboard and rank == 0
    configure_process(opt, device_id)
    init_logger(opt.log_file)
    step = first_step(opt, checkpoint)
    if step >= opt.train_steps:
        logger.info("Step %d of %d: nothing left to train", step, opt.train_steps)
        return

    trainer = build(opt, fields, checkpoint, device_id, rank)
    if trainer.earlystopper is not None and trainer.earlystopper.has_stopped():
        logger.info("Step %d: stopped by -early_stopping, nothing left to train", step)
        return
    device = next(trainer.model.parameters()).device
    if batch_queue is None:
        position = position_of(checkpoint, rank)
        stream: Iterable[Any] = training_batches(opt, fields, transforms_cls, position=position)
        if uses_batch_worker(device):
            stream = prefetch(stream, opt.log_file)
    else:
        stream = _queued_batches(batch_queue, semaphore)
        trainer.stop = PatientRequest()
    if rank > 0 and opt.seed > 0:  # each process has noise of its own, and all else in common
        torch.manual_seed(opt.seed + 1_000_003 * rank + step)
    valid = build_dynamic_dataset_iter(
        *(fields, transforms_cls, opt), is_train=False, stride=opt.world_size, offset=rank
    )
    batches = resumed(stream, checkpoint, rank)
    trainer.data = PositionTracker(batches)
    padding = trainer.train_loss.padding_idx
    with closing(batches), trainer.stop:
        trainer.train(
            OnDevice(trainer.data, device, padding),
            opt.train_steps,
            save_checkpoint_steps=opt.save_checkpoint_steps,
            valid_iter=None if valid is None else OnDevice(valid, device, padding),
            valid_steps=opt.valid_steps,
        )
    if trainer.optim.skipped_in_row and rank == 0:
        raise UserError(
            f"step {opt.train_steps}: the gradient of the last steps was not finite, and no "
            f"checkpoint of them is written; {trainer.model_saver.last}"
        )
    if trainer.report_manager.tensorboard_writer is not None:
        trainer.report_manager.tensorboard_writer.close()


def uses_batch_worker(device: torch.device) -> bool:
    """Return whether another process makes the batches: not where it would take the same cores."""
    return device.type == "cuda"


def build(
    opt: Namespace,
    fields: dict[str, Any],
    checkpoint: dict[str, Any] | None,
    device_id: int,
    rank: int,
) -> Any:
    """Return the trainer of this process, its model and optimizer as in ``checkpoint``.

    Options of what the checkpoint determines are set in ``opt``, which is saved with the model.
    """
    if checkpoint is None:
        model = build_model(opt, opt, fields, None)
        model.encoder.reset_parameters()
    else:
        before = _get_model_opts(opt, checkpoint=checkpoint)
        _check_resumable(opt, before)
        _keep_options(opt, before)
        with checkpoint_errors(opt.train_from):
            model = build_model(opt, opt, fields, checkpoint)
            if not opt.update_vocab:
                check_loaded(model, checkpoint)
    model.bf16 = opt.model_dtype == BF16
    _log_bottleneck(opt, model)
    _share_parameters(model, opt.world_size)
    model.count_parameters(log=logger.info)
    optim = NormOptimizer.from_opt(model, opt, checkpoint=checkpoint)
    os.makedirs(os.path.dirname(os.path.abspath(opt.save_model)), exist_ok=True)
    saver = CheckpointSaver(opt.save_model, model, opt, fields, optim, opt.keep_checkpoint)
    saver.files = embedded_files(opt)
    saver.last_path = opt.train_from
    optim.last_checkpoint = lambda: saver.last
    step = first_step(opt, checkpoint)
    if rank == 0:
        _check_disk_space(opt, model, step)
    if opt.keep_checkpoint > 0:
        saver.checkpoint_queue.extend(map(str, checkpoints(opt.save_model).values()))
    trainer = build_trainer(opt, device_id, model, fields, optim)
    trainer.model_saver = saver
    # On the CPU OpenNMT-py counts no device, and then skips validation and every metric.
    trainer.n_gpu = opt.world_size
    trainer.noise_seed = max(opt.seed, 0)
    trainer.precision = "high" if opt.model_dtype == TF32 else "highest"
    if checkpoint is not None:
        trainer.resume(checkpoint, rank)
    if opt.log_json and rank == 0:
        history = History(opt.log_json, step)
        trainer.report_manager = HistoryReports(trainer.report_manager, history, optim)
    saver.run_state, saver.process_state = trainer.run_state, trainer.process_state
    return trainer


def _log_bottleneck(opt: Namespace, model: Autoencoder) -> None:
    """Log the dimensions of X, inside the bottleneck, and of the lattice's blocks."""
    bottleneck = model.encoder.bottleneck
    padded = ""
    if isinstance(bottleneck, LatticeBottleneck):
        channel = bottleneck.channel
        padded = f", padded to {len(channel.permutation)} for blocks of {channel.lattice.name}"
    logger.info(
        "Bottleneck %s: X has %d numbers, mapped to %d inside%s",
        *(bottleneck_label(opt), bottleneck.input_dim, bottleneck.dim, padded),
    )


def _share_parameters(model: nn.Module, world_size: int) -> None:
    """Give every process the parameters of the first; OpenNMT-py gives each its own."""
    device = next(model.parameters()).device
    for tensor in [*model.parameters(), *model.buffers()] if world_size > 1 else ():
        if tensor.device == device:  # tensors that stay on the CPU are the same in all
            torch.distributed.broadcast(tensor.data, 0)


def _check_resumable(opt: Namespace, before: Namespace) -> None:
    """Refuse what cannot change in a run that resumes from a checkpoint of options ``before``."""
    names = ("bottleneck", "bottleneck_slots")
    now, then = (
        {name: getattr(o, name) for name in names} | bottleneck_settings(o) for o in (opt, before)
    )
    if now != then:
        raise UserError(
            f"-train_from {opt.train_from}: its bottleneck is {_difference(then, now)}, not "
            f"{_difference(now, then)}; a run resumes with the bottleneck that it began with"
        )
    if opt.share_vocab != before.share_vocab:
        had = "one vocabulary" if before.share_vocab else "a vocabulary each"
        cure = "leave -tgt_vocab out" if before.share_vocab else "expected -tgt_vocab"
        raise UserError(f"-train_from {opt.train_from}: source and target had {had}; {cure}")
    if opt.reset_optim == "keep_states" and opt.optim != before.optim:
        raise UserError(
            f"-reset_optim keep_states: the states of {opt.train_from} are those of -optim "
            f"{before.optim}, not of {opt.optim}; -reset_optim all begins with new ones"
        )


def _difference(settings: dict[str, Any], reference: dict[str, Any]) -> str:
    changed = (k for k in settings if k not in reference or reference[k] != settings[k])
    return ", ".join(f"{name} {settings[name]}" for name in changed)


# Options of OpenNMT-py's models that a resumed run takes from its command line.
RUN_OPTIONS = {"model_dtype", "update_vocab", "freeze_encoder", "freeze_decoder"}
OPTIMIZER_OPTIONS = (
    "optim learning_rate learning_rate_decay decay_method start_decay_steps decay_steps "
    "warmup_steps adam_beta1 adam_beta2 adagrad_accumulator_init max_grad_norm"
).split()
# Options that change what a resumed run computes.
OBJECTIVE_OPTIONS = (
    "rate_weight rate_weight_schedule rate_weight_midpoint model_dtype dropout attention_dropout "
    "dropout_steps"
).split()


def _keep_options(opt: Namespace, before: Namespace) -> None:
    """Set the options that a resumed run takes from its checkpoint; log what differs from it."""
    model = vars(ArgumentParser.defaults(onmt.opts.model_opts)).keys() - RUN_OPTIONS
    optimizer = OPTIMIZER_OPTIONS if opt.reset_optim in ("none", "states") else []
    for name in [*sorted(model), *optimizer]:
        now, then = getattr(opt, name), getattr(before, name)
        if now != then:
            cure = ", unless -reset_optim says otherwise" if name in optimizer else ""
            logger.warning("-%s %s: the checkpoint's %s stays%s", name, now, then, cure)
            setattr(opt, name, then)
    for name in OBJECTIVE_OPTIONS:
        now, then = getattr(opt, name), getattr(before, name)
        if now != then:
            logger.warning("-%s: the checkpoint had %s; continuing with %s", name, then, now)


def _queued_batches(batch_queue: Any, semaphore: Any) -> Iterator[Any]:
    """Yield the batches, and raise the error, of a producer process."""
    while True:
        batch = batch_queue.get()
        semaphore.release()
        if isinstance(batch, UserError):
            raise batch
        yield batch


def position_of(checkpoint: dict[str, Any] | None, rank: int) -> Position | None:
    """Return the position in its data that a process resumes from; None if there is none.

    A process that the checkpoint does not know resumes where the first one does.
    """
    if checkpoint is None:
        return None
    state = process_state(checkpoint, rank) or process_state(checkpoint, 0) or {}
    return state.get("position")


def resumed(
    stream: Iterable[Any], checkpoint: dict[str, Any] | None, rank: int
) -> Generator[Any, None, None]:
    """Yield the batches that the run of ``checkpoint`` had not taken yet.

    A stream at a position begins with them; from any other, the batches before are taken again.
    Then random numbers continue as the checkpoint's, so that the run is the same, bit for bit.
    """
    batches = iter(stream)
    if checkpoint is not None:
        if position_of(checkpoint, rank) is None:
            batches = skip_batches(batches, checkpoint[PLUGIN_KEY]["batches_taken"])
        if (state := process_state(checkpoint, rank)) is not None:
            set_random_state(state["random_state"])
    yield from batches


# Number of tensors that an optimizer keeps for each parameter; 0 for the others.
STATES = {"adam": 2, "fusedadam": 2, "sparseadam": 2, "adadelta": 2, "adagrad": 1}


def checkpoints_to_come(opt: Namespace, step: int) -> int:
    """Return how many checkpoints a run adds and keeps after ``step``."""
    interval = opt.save_checkpoint_steps
    count = opt.train_steps // interval - step // interval
    return max(count if opt.keep_checkpoint < 0 else min(count, opt.keep_checkpoint), 1)


def _check_disk_space(opt: Namespace, model: nn.Module, step: int) -> None:
    """Warn if the disk is too small for the checkpoints that a run will keep after ``step``."""
    folder = os.path.dirname(os.path.abspath(opt.save_model))
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    size = weights * (1 + STATES.get(opt.optim, 0) + (opt.average_decay > 0))  # at least
    count, free = checkpoints_to_come(opt, step), shutil.disk_usage(folder).free
    if count * size > free:
        logger.warning(
            "-save_model %s: %d checkpoints of %.1f MB are to come, and %s has %.1f MB free; make "
            "room, or keep fewer by -keep_checkpoint or a larger -save_checkpoint_steps",
            *(opt.save_model, count, size / 1e6, folder, free / 1e6),
        )
