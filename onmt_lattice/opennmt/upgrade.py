"""Checkpoints of earlier formats, brought to today's."""

from __future__ import annotations

from typing import Any

import torch

from onmt_lattice.bottlenecks.channel import LEARNED, UNIT

PREFIX = "encoder.bottleneck."


def upgrade(checkpoint: dict[str, Any]) -> None:
    """Bring a ``checkpoint`` of format 1 to format 2, in place.

    In format 1 the Gaussian's prior was N(0, 1), and a lattice had a prior scale a point or a
    coordinate and noise of unit size. Both are a channel of today's, with the same results; its
    parameters are others, so that the optimizer's state is dropped, and with it the training.
    """
    opt, state = checkpoint["opt"], checkpoint["model"]
    checkpoint["onmt_lattice"]["format"] = 2
    if opt.bottleneck == "gaussian":
        log_sigma = state.pop(PREFIX + "log_sigma")
        channel = _channel(log_sigma, torch.zeros_like(log_sigma))
        opt.prior = UNIT
    elif opt.bottleneck == "lattice":
        dim = len(state[PREFIX + "map_in.weight"])
        scales = state.pop(PREFIX + "code.log_scale")  # (blocks, n or 1)
        log_prior = scales.expand(-1, dim // len(scales)).flatten()
        channel = _channel(torch.zeros(dim), log_prior) | {"places": torch.arange(dim)}
        opt.prior, opt.bottleneck_dim = LEARNED, dim
    else:
        return
    state.update({f"{PREFIX}channel.{name}": tensor for name, tensor in channel.items()})
    checkpoint["optim"] = None


def _channel(log_sigma: torch.Tensor, log_prior: torch.Tensor) -> dict[str, torch.Tensor]:
    return {
        "log_sigma": log_sigma,
        "log_prior": log_prior,
        "center": torch.zeros_like(log_sigma),
    }
