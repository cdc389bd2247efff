"""One training process: OpenNMT-py's own flow, with our model, trainer and saver in it."""

from __future__ import annotations

import copy
import os
import shutil
from argparse import Namespace
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing
from typing import Any

import torch
from onmt.inputters.dynamic_iterator import build_dynamic_dataset_iter
from onmt.model_builder import build_model
from onmt.train_single import _get_model_opts, configure_process
from onmt.trainer import build_trainer
from onmt.utils.logging import init_logger, logger
from torch import nn

from onmt_lattice.bottlenecks import LatticeBottleneck
from onmt_lattice.errors import UserError
from onmt_lattice.files import checkpoints
from onmt_lattice.opennmt.checkpoint import (
    OUR_KEY,
    CheckpointSaver,
    check_loaded,
    checkpoint_errors,
    embedded_files,
    process_state,
    set_random_state,
)
from onmt_lattice.opennmt.checkpoint.patience import set_patience
from onmt_lattice.opennmt.data.batch_worker import prefetch
from onmt_lattice.opennmt.data.stream import (
    OnDevice,
    Position,
    PositionTracker,
    behind,
    training_batches,
)
from onmt_lattice.opennmt.model.autoencoder import Autoencoder
from onmt_lattice.opennmt.options.configuration import bottleneck_label, bottleneck_settings
from onmt_lattice.opennmt.options.parsers import BF16, TF32
from onmt_lattice.opennmt.training.history import History
from onmt_lattice.opennmt.training.interruption import PatientRequest
from onmt_lattice.opennmt.training.reports import HistoryReports, NormOptimizer


def run_process(
    opt: Namespace,
    fields: dict[str, Any],
    transforms_cls: dict[str, type],
    checkpoint: dict[str, Any] | None,
    device_id: int,
    batch_queue: Any = None,
    semaphore: Any = None,
) -> None:
    """Train in this process; stands where OpenNMT-py has ``train_single.main``.

    Args:
        opt: the options, validated.
        fields: vocabulary and numbering of the tokens.
        transforms_cls: transforms of the text, by name.
        checkpoint: what to go on from, or None.
        device_id: index into ``opt.gpu_ranks``, or -1 for a single process on the CPU.
        batch_queue: where batches come from if there are several processes.
        semaphore: released for each batch taken from the queue.
    """
    rank = opt.gpu_ranks[device_id] if device_id >= 0 else 0
    if device_id >= 0 and not torch.cuda.is_available():
        opt, device_id = on_cpu(opt, rank), -1
    configure_process(opt, device_id)
    init_logger(opt.log_file)
    done = 0 if checkpoint is None else checkpoint[OUR_KEY]["step"]
    if done >= opt.train_steps:
        logger.info("Step %d of %d: nothing left to train", done, opt.train_steps)
        return

    trainer = build(opt, fields, checkpoint, device_id, rank)
    if trainer.earlystopper is not None and trainer.earlystopper.has_stopped():
        logger.info("Step %d: stopped by -early_stopping, nothing left to train", done)
        return
    device = next(trainer.model.parameters()).device
    if batch_queue is None:
        position = position_of(checkpoint, rank)
        stream: Iterable[Any] = training_batches(opt, fields, transforms_cls, position=position)
        if makes_ahead(device):
            stream = prefetch(stream, opt.log_file)
    else:
        stream = queued_batches(batch_queue, semaphore)
        trainer.stop = PatientRequest()
    split_noise(opt, checkpoint, rank)
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


def makes_ahead(device: torch.device) -> bool:
    """Return whether another process makes the batches: not where it would take the same cores."""
    return device.type == "cuda"


def build(
    opt: Namespace,
    fields: dict[str, Any],
    checkpoint: dict[str, Any] | None,
    device_id: int,
    rank: int,
) -> Any:
    """Return the trainer of this process, its model and optimizer as in ``checkpoint``."""
    model_opt = _get_model_opts(opt, checkpoint=checkpoint)
    if checkpoint is not None:
        check_same_bottleneck(opt, model_opt)
        check_same_vocabularies(opt, model_opt)
        check_same_states(opt, checkpoint["opt"])
        model_opt.data = opt.data  # which says whether the target is the source
    if checkpoint is None:
        model = build_model(model_opt, opt, fields, None)
        model.encoder.reset_parameters()
    else:
        with checkpoint_errors(opt.train_from):
            model = build_model(model_opt, opt, fields, checkpoint)
            if not opt.update_vocab:
                check_loaded(model, checkpoint)
        log_kept(opt, checkpoint["opt"])
        log_resumed_objective(opt, checkpoint["opt"])
    model.bf16 = opt.model_dtype == BF16
    log_bottleneck(model_opt, model)
    share_parameters(model, opt.world_size)
    model.count_parameters(log=logger.info)
    optim = NormOptimizer.from_opt(model, opt, checkpoint=checkpoint)
    os.makedirs(os.path.dirname(os.path.abspath(opt.save_model)), exist_ok=True)
    saver = CheckpointSaver(opt.save_model, model, model_opt, fields, optim, opt.keep_checkpoint)
    saver.files = embedded_files(opt)
    saver.last_path = opt.train_from
    optim.last_good = lambda: saver.last
    if rank == 0:
        warn_of_room(opt, model, 0 if checkpoint is None else checkpoint[OUR_KEY]["step"])
    saver.count([*map(str, checkpoints(opt.save_model).values())])
    trainer = build_trainer(opt, device_id, model, fields, optim)
    trainer.model_saver = saver
    # On the CPU OpenNMT-py counts no device, and then skips validation and every metric.
    trainer.n_gpu = opt.world_size
    trainer.noise_seed = max(opt.seed, 0)
    trainer.precision = "high" if opt.model_dtype == TF32 else "highest"
    done = 0
    if checkpoint is not None:
        trainer.begun = done = checkpoint[OUR_KEY]["step"]
        trainer.batches_taken = checkpoint[OUR_KEY]["batches_taken"]
        trainer.carried = (process_state(checkpoint, rank) or {}).get("unreported")
        trainer.best = checkpoint[OUR_KEY]["best"]
        patience = checkpoint[OUR_KEY]["patience"]
        if trainer.earlystopper is not None and patience is not None:
            set_patience(trainer.earlystopper, patience)
        trainer.resume_average(checkpoint[OUR_KEY].get("raw"))
    if opt.log_json and rank == 0:
        trainer.report_manager = HistoryReports(
            trainer.report_manager, History(opt.log_json, done), optim
        )
    saver.progress, saver.share = trainer.progress, trainer.share
    return trainer


def log_bottleneck(model_opt: Namespace, model: Autoencoder) -> None:
    """Say how many numbers X has, and how many the bottleneck works on, in how many places."""
    bottleneck = model.encoder.bottleneck
    padded = ""
    if isinstance(bottleneck, LatticeBottleneck):
        channel = bottleneck.channel
        padded = f", padded to {len(channel.permutation)} for blocks of {channel.lattice.name}"
    logger.info(
        "Bottleneck %s: X has %d numbers, mapped to %d inside%s",
        bottleneck_label(model_opt),
        bottleneck.input_dim,
        bottleneck.dim,
        padded,
    )


def on_cpu(opt: Namespace, rank: int) -> Namespace:
    """Return ``opt`` for one of several processes on the CPU: no GPU, one TensorBoard writer."""
    opt = copy.copy(opt)
    opt.gpu_ranks = []
    opt.tensorboard = opt.tensorboard and rank == 0
    return opt


def share_parameters(model: nn.Module, world_size: int) -> None:
    """Give every process the first one's parameters, as OpenNMT-py gives each its own."""
    device = next(model.parameters()).device
    for tensor in [*model.parameters(), *model.buffers()] if world_size > 1 else ():
        if tensor.device == device:  # what stays with the host is the same in all
            torch.distributed.broadcast(tensor.data, 0)


def check_same_bottleneck(opt: Namespace, before: Namespace) -> None:
    """Refuse a bottleneck that is not the checkpoint's, which a resumed run keeps."""
    names = "bottleneck", "bottleneck_slots"
    now, then = (
        {**{name: getattr(o, name) for name in names}, **bottleneck_settings(o)}
        for o in (opt, before)
    )
    if now != then:
        raise UserError(
            f"-train_from {opt.train_from}: its bottleneck is {_difference(then, now)}, not "
            f"{_difference(now, then)}; a run resumes with the bottleneck that it began with"
        )


def check_same_vocabularies(opt: Namespace, before: Namespace) -> None:
    """Refuse to share a vocabulary that was not shared, or the other way round."""
    if opt.share_vocab != before.share_vocab:
        had = "one vocabulary" if before.share_vocab else "a vocabulary each"
        cure = "leave -tgt_vocab out" if before.share_vocab else "expected -tgt_vocab"
        raise UserError(f"-train_from {opt.train_from}: source and target had {had}; {cure}")


def check_same_states(opt: Namespace, before: Namespace) -> None:
    """Refuse to keep the states of another optimizer."""
    if opt.reset_optim == "keep_states" and opt.optim != before.optim:
        raise UserError(
            f"-reset_optim keep_states: the states of {opt.train_from} are those of -optim "
            f"{before.optim}, not of {opt.optim}; -reset_optim all begins with new ones"
        )


def _difference(of: dict[str, Any], other: dict[str, Any]) -> str:
    return ", ".join(f"{k} {v}" for k, v in of.items() if k not in other or other[k] != v)


# What a run that goes on has from its checkpoint, whatever the command line says.
OF_THE_MODEL = (
    "encoder_type decoder_type global_attention heads transformer_ff position_encoding "
    "rnn_type enc_layers dec_layers enc_rnn_size dec_rnn_size src_word_vec_size "
    "tgt_word_vec_size share_embeddings share_decoder_embeddings src_seq_length_trunc "
    "tgt_seq_length_trunc"
).split()
OF_THE_OPTIMIZER = (
    "optim learning_rate learning_rate_decay decay_method start_decay_steps decay_steps "
    "warmup_steps adam_beta1 adam_beta2 max_grad_norm"
).split()


def log_kept(opt: Namespace, before: Namespace) -> None:
    """Say which options of model and optimizer have no effect, as the checkpoint's others stay."""
    optimizer = OF_THE_OPTIMIZER if opt.reset_optim in ("none", "states") else []
    for name in [*OF_THE_MODEL, *optimizer]:
        now, then = getattr(opt, name), getattr(before, name, None)
        if then is not None and now != then:
            cure = ", unless -reset_optim says otherwise" if name in optimizer else ""
            logger.warning("-%s %s: the checkpoint's %s stays%s", name, now, then, cure)


def log_resumed_objective(opt: Namespace, before: Namespace) -> None:
    """Say when a resumed run weighs the rate, or computes, otherwise than the run before.

    Model, optimizer and learning rate follow the checkpoint; λ, like the number of steps and
    every option of the loss and the trainer, follows the command line.
    """
    for name in ("rate_weight", "rate_weight_schedule", "rate_weight_midpoint", "model_dtype"):
        now, then = getattr(opt, name), getattr(before, name)
        if now != then:
            logger.warning("-%s: the checkpoint had %s; continuing with %s", name, then, now)


def queued_batches(batch_queue: Any, semaphore: Any) -> Iterator[Any]:
    """Yield the batches that a producer process makes."""
    while True:
        batch = batch_queue.get()
        semaphore.release()
        if isinstance(batch, UserError):
            raise batch
        yield batch


def split_noise(opt: Namespace, checkpoint: dict[str, Any] | None, rank: int) -> None:
    """Give every process but the first a noise stream of its own; all else keeps its seed."""
    if rank > 0 and opt.seed > 0:
        step = 0 if checkpoint is None else checkpoint[OUR_KEY]["step"]
        torch.manual_seed(opt.seed + 1_000_003 * rank + step)


def position_of(checkpoint: dict[str, Any] | None, rank: int) -> Position | None:
    """Return where in its data a process goes on from; None for the beginning, or if unknown.

    A process that the checkpoint knows nothing of goes on where the first one does.
    """
    if checkpoint is None:
        return None
    state = process_state(checkpoint, rank) or process_state(checkpoint, 0) or {}
    return state.get("position")


def resumed(
    stream: Iterable[Any], checkpoint: dict[str, Any] | None, rank: int
) -> Generator[Any, None, None]:
    """Yield the batches behind those that the run of ``checkpoint`` had taken.

    A stream that goes on from a position has left them out; of any other they are taken again.
    Then random numbers go on as the checkpoint's, so that the run is the same, bit for bit.
    """
    batches = iter(stream)
    if checkpoint is not None:
        if position_of(checkpoint, rank) is None:
            batches = behind(batches, checkpoint[OUR_KEY]["batches_taken"])
        if (state := process_state(checkpoint, rank)) is not None:
            set_random_state(state["random_state"])
    yield from batches


# Tensors as large as the parameters that an optimizer keeps; of others at least none.
STATES = {"adam": 2, "fusedadam": 2, "sparseadam": 2, "adadelta": 2, "adagrad": 1}


def checkpoint_bytes(model: nn.Module, opt: Namespace) -> int:
    """Return about how many bytes a checkpoint of ``model`` has, rather too few than too many."""
    weights = sum(p.numel() * p.element_size() for p in model.parameters())
    return weights * (1 + STATES.get(opt.optim, 0) + (opt.average_decay > 0))


def checkpoints_to_come(opt: Namespace, done: int) -> int:
    """Return how many checkpoints a run that goes on after step ``done`` adds and keeps."""
    made = opt.train_steps // opt.save_checkpoint_steps - done // opt.save_checkpoint_steps
    kept = made if opt.keep_checkpoint < 0 else min(made, opt.keep_checkpoint)
    return max(kept, 1)


def warn_of_room(opt: Namespace, model: nn.Module, done: int) -> None:
    """Warn if the disk cannot hold what the run is going to keep.

    Args:
        opt: of the training.
        model: what is trained.
        done: the step that the run goes on from, 0 for a new one.
    """
    folder = os.path.dirname(os.path.abspath(opt.save_model))
    count, size = checkpoints_to_come(opt, done), checkpoint_bytes(model, opt)
    free = shutil.disk_usage(folder).free
    if count * size > free:
        logger.warning(
            "-save_model %s: %d checkpoints of %.1f MB are to come, and %s has %.1f MB free; make "
            "room, or keep fewer by -keep_checkpoint or a larger -save_checkpoint_steps",
            *(opt.save_model, count, size / 1e6, folder, free / 1e6),
        )
