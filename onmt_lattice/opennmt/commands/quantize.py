"""Putting a lattice into a checkpoint that was trained with Gaussian noise."""

from __future__ import annotations

import copy
import dataclasses
import math
from argparse import Namespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from onmt_lattice.bottlenecks import Channel, GaussianBottleneck
from onmt_lattice.bottlenecks.channel import LEARNED
from onmt_lattice.bottlenecks.gaussian_to_lattice import (
    Quantization,
    fit_gaussian,
    quantize_gaussian,
)
from onmt_lattice.bottlenecks.lattice import lattice_for
from onmt_lattice.errors import UserError
from onmt_lattice.evaluation.result import NO_LATTICE, Quantized
from onmt_lattice.opennmt.checkpoint import (
    OUR_KEY,
    LoadedAutoencoder,
    build_autoencoder,
    load_checkpoint,
    write_checkpoint,
)
from onmt_lattice.opennmt.data.sentences import (
    Sentence,
    read_sentences,
    token_index,
    trained_transforms,
)
from onmt_lattice.opennmt.inference.scoring import Scorer
from onmt_lattice.opennmt.model.autoencoder import trainable
from onmt_lattice.opennmt.options.commands import LEAST_SENTENCES, QuantizeOptions
from onmt_lattice.opennmt.training import plugin
from onmt_lattice.text import is_sentence, no_sentence, read_lines

CHANNEL = "encoder.bottleneck.channel."


def quantize(options: QuantizeOptions) -> Quantized:
    """Write a checkpoint whose noise is a lattice's dither, and return what that costs.

    Nothing is trained: weights, step, optimizer and random state are the Gaussian model's, so that
    training can go on from the new checkpoint as it would have from the old one.
    """
    plugin.install()
    lines = read_lines(options.src, longest=None)
    checkpoint = load_checkpoint(options.model)
    loaded = build_autoencoder(options.model, checkpoint, options.gpu)
    bottleneck = loaded.model.encoder.bottleneck
    if not isinstance(bottleneck, GaussianBottleneck):
        raise UserError(
            f"-model {options.model}: its bottleneck is {loaded.opt.bottleneck}; expected a model "
            f"trained with -bottleneck gaussian, in whose noise's place the lattice is put"
        )
    if options.lattice != NO_LATTICE:
        lattice_for(options.lattice, bottleneck.dim)  # a mistake is told before any work
    sentences = _sample(lines, loaded, options)
    with torch.inference_mode():
        x = Scorer(loaded, options.seed, batch_size=64).represent(sentences, progress=True)
        device = bottleneck.channel.log_sigma.device
        means = bottleneck.map_in(x.to(device)).double().cpu()
        sigma = bottleneck.channel.log_sigma.exp().double().cpu()
    made, channel = _fitted(options, means.clone(), sigma.clone(), sentences)
    _write(options, checkpoint, loaded.model, channel, made)
    return made


def _sample(
    lines: list[str], loaded: LoadedAutoencoder, options: QuantizeOptions
) -> list[Sentence]:
    """Return ``fit_sentences`` sentences of the text, drawn by the seed, in their order."""
    held = [number for number, line in enumerate(lines) if is_sentence(line)]
    if len(held) < LEAST_SENTENCES:
        raise UserError(
            f"-src {options.src}: {len(held)} sentences; expected at least {LEAST_SENTENCES} of "
            f"the training text to fit a prior to"
        )
    count = min(options.fit_sentences, len(held))
    chosen = np.random.default_rng(options.seed).choice(len(held), count, replace=False)
    kept = {held[i] for i in chosen}
    text = [line if number in kept else "" for number, line in enumerate(lines)]
    sentences = read_sentences(text, trained_transforms(loaded), token_index(loaded))
    if not sentences:
        raise no_sentence(options.src)
    return sentences


def _fitted(
    options: QuantizeOptions, means: Tensor, sigma: Tensor, sentences: list[Sentence]
) -> tuple[Quantized, Channel]:
    """Return the channel asked for, fitted to ``means``, and what it costs."""
    if options.lattice == NO_LATTICE:
        gaussian = fit_gaussian(means, sigma)
        fitted = Quantization(gaussian, gaussian.rate_nats(means).mean().item(), 0.0, 0.0)
        loss = 0.0
    else:
        name, code = options.lattice, options.lattice_code
        fitted = quantize_gaussian(means, sigma, name, code, options.seed)
        loss = lattice_for(name, means.shape[1]).space_filling_loss
    made = Quantized(
        model=options.model,
        lattice=options.lattice,
        sentences=len(sentences),
        words=sum(sentence.words for sentence in sentences),
        dim=means.shape[1],
        gaussian_bits=fitted.gaussian_nats / math.log(2),
        excess_bits=fitted.excess_nats / math.log(2),
        theory_bits=fitted.theory_nats / math.log(2),
        space_filling_loss=loss,
    )
    return made, fitted.channel


def _write(
    options: QuantizeOptions,
    checkpoint: dict[str, Any],
    before: nn.Module,
    channel: Channel,
    made: Quantized,
) -> None:
    """Write the ``checkpoint`` of the model ``before`` with ``channel`` in its place."""
    checkpoint["opt"] = _options(checkpoint["opt"], options)
    state = {k: v for k, v in checkpoint["model"].items() if not k.startswith(CHANNEL)}
    ours = {CHANNEL + k: v for k, v in channel.float().state_dict().items()}
    checkpoint["model"] = {**state, **ours}
    after = build_autoencoder(options.output, checkpoint).model  # it loads, or is not written
    checkpoint["optim"]["optimizer"] = _moved(checkpoint["optim"]["optimizer"], before, after)
    checkpoint[OUR_KEY]["quantized"] = dataclasses.asdict(made)
    write_checkpoint(options.output, checkpoint)


def _options(opt: Namespace, options: QuantizeOptions) -> Namespace:
    opt = copy.copy(opt)
    opt.prior = LEARNED
    if options.lattice != NO_LATTICE:
        opt.bottleneck = "lattice"
        opt.lattice, opt.lattice_code = options.lattice, options.lattice_code
    return opt


def _moved(held: dict[str, Any], before: nn.Module, after: nn.Module) -> dict[str, Any]:
    """Return the optimizer's state ``held`` for the parameters of ``after``.

    A parameter that is new, or of another shape, starts without a history.
    """
    shapes = {name: parameter.shape for name, parameter in before.named_parameters()}
    names = trainable(after)
    state = {
        name: held["state"][name]
        for name in names
        if name in held["state"] and shapes[name] == after.get_parameter(name).shape
    }
    (group,) = held["param_groups"]
    return {"state": state, "param_groups": [{**group, "params": names}]}
