"""Replacing the Gaussian noise of a trained model by a lattice."""

from __future__ import annotations

import copy
import dataclasses
import math
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
from onmt_lattice.opennmt.checkpoint.contents import PLUGIN_KEY
from onmt_lattice.opennmt.checkpoint.loading import (
    LoadedAutoencoder,
    build_autoencoder,
    load_checkpoint,
)
from onmt_lattice.opennmt.checkpoint.saver import write_checkpoint
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
    """Write a checkpoint whose noise is a lattice's dither, and return the costs.

    Nothing is trained: weights, step, optimizer and random state are the Gaussian model's, so
    training can resume from the new checkpoint as from the old one.
    """
    plugin.install()
    lines = read_lines(options.src, longest=None)
    checkpoint = load_checkpoint(options.model)
    loaded = build_autoencoder(options.model, checkpoint, options.gpu)
    bottleneck = loaded.model.encoder.bottleneck
    if not isinstance(bottleneck, GaussianBottleneck):
        raise UserError(
            f"-model {options.model}: its bottleneck is {loaded.opt.bottleneck}; expected a model "
            f"trained with -bottleneck gaussian, whose noise the lattice replaces"
        )
    if options.lattice != NO_LATTICE:
        lattice_for(options.lattice, bottleneck.dim)  # refuses a wrong one before any work
    sentences = _sample(lines, loaded, options)
    with torch.inference_mode():
        x = Scorer(loaded, options.seed, batch_size=64).represent(sentences, progress=True)
        device = bottleneck.channel.log_sigma.device
        means = bottleneck.map_in(x.to(device)).double().cpu()
        sigma = bottleneck.channel.log_sigma.exp().double().cpu()
    result, channel = _fit(options, means.clone(), sigma.clone(), sentences)
    _write(options, checkpoint, loaded.model, channel, result)
    return result


def _sample(
    lines: list[str], loaded: LoadedAutoencoder, options: QuantizeOptions
) -> list[Sentence]:
    """Return ``fit_sentences`` random sentences of the text, in their order."""
    numbers = [number for number, line in enumerate(lines) if is_sentence(line)]
    if len(numbers) < LEAST_SENTENCES:
        raise UserError(
            f"-src {options.src}: {len(numbers)} sentences; expected at least {LEAST_SENTENCES} of "
            f"the training text to fit a prior to"
        )
    count = min(options.fit_sentences, len(numbers))
    indices = np.random.default_rng(options.seed).choice(len(numbers), count, replace=False)
    sample = {numbers[i] for i in indices}
    text = [line if number in sample else "" for number, line in enumerate(lines)]
    sentences = read_sentences(text, trained_transforms(loaded), token_index(loaded))
    if not sentences:
        raise no_sentence(options.src)
    return sentences


def _fit(
    options: QuantizeOptions, means: Tensor, sigma: Tensor, sentences: list[Sentence]
) -> tuple[Quantized, Channel]:
    """Return the channel, fitted to ``means``, and its costs."""
    if options.lattice == NO_LATTICE:
        gaussian = fit_gaussian(means, sigma)
        fitted = Quantization(gaussian, gaussian.rate_nats(means).mean().item(), 0.0, 0.0)
        loss = 0.0
    else:
        name, code = options.lattice, options.lattice_code
        fitted = quantize_gaussian(means, sigma, name, code, options.seed)
        loss = lattice_for(name, means.shape[1]).space_filling_loss
    result = Quantized(
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
    return result, fitted.channel


def _write(
    options: QuantizeOptions,
    checkpoint: dict[str, Any],
    before: nn.Module,
    channel: Channel,
    result: Quantized,
) -> None:
    """Write the ``checkpoint`` of the model ``before`` with a new ``channel``."""
    opt = checkpoint["opt"] = copy.copy(checkpoint["opt"])
    opt.prior = LEARNED
    if options.lattice != NO_LATTICE:
        opt.bottleneck = "lattice"
        opt.lattice, opt.lattice_code = options.lattice, options.lattice_code
    state = {k: v for k, v in checkpoint["model"].items() if not k.startswith(CHANNEL)}
    new = {CHANNEL + k: v for k, v in channel.float().state_dict().items()}
    checkpoint["model"] = {**state, **new}
    after = build_autoencoder(options.output, checkpoint).model  # raises if it cannot be loaded
    optim, plugin_state = checkpoint["optim"], checkpoint[PLUGIN_KEY]
    optim["optimizer"] = _optimizer_state(optim["optimizer"], before, after)
    if raw := plugin_state.get("raw"):  # parameters beside their average
        raw |= {name: new[name].clone() for name, _ in after.named_parameters() if name in new}
    plugin_state["quantized"] = dataclasses.asdict(result)
    write_checkpoint(options.output, checkpoint)


def _optimizer_state(old: dict[str, Any], before: nn.Module, after: nn.Module) -> dict[str, Any]:
    """Return the ``old`` state of an optimizer for the parameters of ``after``.

    A parameter that is new, or of another shape, has no state.
    """
    shapes = {name: parameter.shape for name, parameter in before.named_parameters()}
    names = trainable(after)
    state = {
        name: old["state"][name]
        for name in names
        if name in old["state"] and shapes[name] == after.get_parameter(name).shape
    }
    (group,) = old["param_groups"]
    return {"state": state, "param_groups": [{**group, "params": names}]}
