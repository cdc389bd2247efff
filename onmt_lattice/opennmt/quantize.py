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

from onmt_lattice.bottlenecks import GaussianBottleneck
from onmt_lattice.bottlenecks.channel import LEARNED
from onmt_lattice.bottlenecks.quantization import Quantization, fit_gaussian, quantize_gaussian
from onmt_lattice.errors import UserError
from onmt_lattice.files import read_lines, whole_file
from onmt_lattice.lattices import lattice_of_dim
from onmt_lattice.opennmt import plugin
from onmt_lattice.opennmt.checkpoint import (
    OUR_KEY,
    LoadedAutoencoder,
    build_autoencoder,
    forget_unknown,
    load_checkpoint,
)
from onmt_lattice.opennmt.scoring import Scorer
from onmt_lattice.opennmt.sentences import Sentence, read_sentences

CHANNEL = "encoder.bottleneck.channel."
NONE = "none"
LEAST_SENTENCES = 100


@dataclasses.dataclass(frozen=True)
class QuantizeOptions:
    """What ``onmt_lattice quantize`` was asked for; see its ``--help``."""

    model: str
    lattice: str
    src: str
    output: str
    lattice_code: str = "auto"
    fit_sentences: int = 1500
    seed: int = 0
    gpu: int = -1


@dataclasses.dataclass(frozen=True)
class QuantizedModel:
    """What a lattice costs in a model, on the sentences that its prior was fitted to.

    Attributes:
        lattice: its name, or ``none`` where only the Gaussian's prior was fitted.
        sentences, words: how many sentences that is, and how many words are in them.
        dim: d.
        gaussian_bits: the rate of the Gaussian, its prior fitted to them, in bits a sentence.
        excess_bits: what the lattice costs more.
        theory_bits: what it costs more on a Gaussian source of the same variances.
        space_filling_loss: ½ log2(2πe G), bits a dimension.
    """

    lattice: str
    sentences: int
    words: int
    dim: int
    gaussian_bits: float
    excess_bits: float
    theory_bits: float
    space_filling_loss: float

    def table(self) -> str:
        """Return the numbers as a table for a terminal."""
        words = self.words / self.sentences
        rows = [f"{'bits a':<34}{'sentence':>10}{'word':>9}{'dimension':>11}"]
        rows += [
            f"{name:<34}{bits:>10.3f}{bits / words:>9.4f}{bits / self.dim:>11.4f}"
            for name, bits in (
                ("Gaussian, its prior fitted", self.gaussian_bits),
                (f"{self.lattice} over it", self.excess_bits),
                (f"{self.lattice} over a Gaussian source", self.theory_bits),
            )
        ]
        rows.append(f"{'space-filling loss':<34}{'':>19}{self.space_filling_loss:>11.4f}")
        return "\n".join(rows[:2] if self.lattice == NONE else rows)


def quantize(options: QuantizeOptions) -> QuantizedModel:
    """Write a checkpoint whose noise is a lattice's dither, and return what that costs.

    Nothing is trained: weights, step, optimizer and random state are the Gaussian model's, so that
    training can go on from the new checkpoint as it would have from the old one.

    Raises:
        UserError: if the checkpoint has no Gaussian noise, or the text cannot be used.
    """
    plugin.install()
    lines = read_lines(options.src)
    checkpoint = load_checkpoint(options.model)
    loaded = build_autoencoder(options.model, checkpoint, options.gpu)
    bottleneck = loaded.model.encoder.bottleneck
    if not isinstance(bottleneck, GaussianBottleneck):
        raise UserError(
            f"-model {options.model}: its bottleneck is {loaded.opt.bottleneck}; expected a model "
            f"trained with -bottleneck gaussian, in whose noise's place the lattice is put"
        )
    sentences = _sample(lines, loaded, options)
    with torch.inference_mode():
        x = Scorer(loaded, options.seed, batch_size=64).represent(sentences, progress=True)
        device = bottleneck.channel.log_sigma.device
        means = bottleneck.map_in(x.to(device)).double().cpu()
        sigma = bottleneck.channel.log_sigma.exp().double().cpu()
    return _written(options, checkpoint, means.clone(), sigma.clone(), sentences)


def check_lattice(name: str, dim: int = 8) -> None:
    """Raise :class:`UserError` unless ``name`` is a lattice's, or none."""
    if name != NONE:
        lattice_of_dim(name, dim)


def _sample(
    lines: list[str], loaded: LoadedAutoencoder, options: QuantizeOptions
) -> list[Sentence]:
    """Return ``fit_sentences`` sentences of the text, drawn by the seed, in their order."""
    held = [number for number, line in enumerate(lines) if line.split()]
    if len(held) < LEAST_SENTENCES:
        raise UserError(
            f"-src {options.src}: {len(held)} sentences; expected at least {LEAST_SENTENCES} of the "
            f"training text to fit a prior to"
        )
    count = min(options.fit_sentences, len(held))
    chosen = np.random.default_rng(options.seed).choice(len(held), count, replace=False)
    kept = {held[i] for i in chosen}
    return read_sentences([line if n in kept else "" for n, line in enumerate(lines)], loaded)


def _written(
    options: QuantizeOptions,
    checkpoint: dict[str, Any],
    means: Tensor,
    sigma: Tensor,
    sentences: list[Sentence],
) -> QuantizedModel:
    """Fit the channel to ``means``, write the checkpoint with it, and return what it costs."""
    fitted, loss = _fitted(options, means, sigma)
    made = QuantizedModel(
        lattice=options.lattice,
        sentences=len(sentences),
        words=sum(sentence.words for sentence in sentences),
        dim=means.shape[1],
        gaussian_bits=fitted.gaussian_nats / math.log(2),
        excess_bits=fitted.excess_nats / math.log(2),
        theory_bits=fitted.theory_nats / math.log(2),
        space_filling_loss=loss,
    )
    before = build_autoencoder(options.model, checkpoint).model
    checkpoint["opt"] = _options(checkpoint["opt"], options)
    state = {k: v for k, v in checkpoint["model"].items() if not k.startswith(CHANNEL)}
    ours = {CHANNEL + k: v for k, v in fitted.channel.float().state_dict().items()}
    checkpoint["model"] = {**state, **ours}
    after = build_autoencoder(options.output, checkpoint).model  # it loads, or is not written
    checkpoint["optim"]["optimizer"] = _moved(checkpoint["optim"]["optimizer"], before, after)
    checkpoint[OUR_KEY]["quantized"] = {"model": options.model, **dataclasses.asdict(made)}
    forget_unknown(checkpoint["vocab"])
    with whole_file(options.output) as part:
        torch.save(checkpoint, part)
    return made


def _fitted(
    options: QuantizeOptions, means: Tensor, sigma: Tensor
) -> tuple[Quantization, float]:
    """Return the channel asked for, and its lattice's space-filling loss."""
    if options.lattice == NONE:
        gaussian = fit_gaussian(means, sigma)
        rate = gaussian.rate_nats(means).mean().item()
        return Quantization(gaussian, rate, 0.0, 0.0), 0.0
    fitted = quantize_gaussian(means, sigma, options.lattice, options.lattice_code, options.seed)
    return fitted, lattice_of_dim(options.lattice, means.shape[1]).space_filling_loss


def _options(opt: Namespace, options: QuantizeOptions) -> Namespace:
    opt = copy.copy(opt)
    opt.prior = LEARNED
    if options.lattice != NONE:
        opt.bottleneck = "lattice"
        opt.lattice, opt.lattice_code = options.lattice, options.lattice_code
    return opt


def _moved(held: dict[str, Any], before: nn.Module, after: nn.Module) -> dict[str, Any]:
    """Return the optimizer's state ``held`` for the parameters of ``after``, by their names.

    A parameter that is new, or of another shape, starts without a history.
    """
    old, new = (dict(model.named_parameters()) for model in (before, after))
    places = {name: place for place, name in enumerate(old)}
    state = {
        place: held["state"][places[name]]
        for place, (name, parameter) in enumerate(new.items())
        if name in old and old[name].shape == parameter.shape and places[name] in held["state"]
    }
    (group,) = held["param_groups"]
    return {"state": state, "param_groups": [{**group, "params": list(range(len(new)))}]}
