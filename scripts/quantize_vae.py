"""A lattice in a variational autoencoder that has nothing to do with text.

Trains a small Gaussian VAE on pictures of one bright bar, puts E8 in the place of its noise, and
prints bits per picture: NLL and rate with either noise. `python scripts/quantize_vae.py`
"""

import argparse
import math

import torch
from torch import nn

from onmt_lattice.bottlenecks.gaussian_to_lattice import fit_gaussian, quantize_gaussian
from onmt_lattice.noise import SentenceNoise

SIDE, DIM, STEPS = 8, 8, 1500


def pictures(count: int) -> torch.Tensor:
    """Return ``(count, 64)`` zeros and ones: a row or a column that is mostly lit, on dark."""
    lit = torch.full((count, SIDE, SIDE), 0.02)
    lit[torch.arange(count), torch.randint(SIDE, (count,))] = 0.9
    flipped = torch.rand(count, 1, 1) < 0.5
    return torch.bernoulli(torch.where(flipped, lit.transpose(1, 2), lit)).flatten(1)


def nll_bits(decoder: nn.Module, value: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Return ``(batch,)``, bits of each picture given ``value``."""
    loss = nn.functional.binary_cross_entropy_with_logits(decoder(value), x, reduction="none")
    return loss.sum(1) / math.log(2)


def main() -> None:
    """Train, quantize, compare."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Linear(SIDE**2, 128), nn.ReLU(), nn.Linear(128, DIM))
    decoder = nn.Sequential(nn.Linear(DIM, 128), nn.ReLU(), nn.Linear(128, SIDE**2))
    log_sigma = nn.Parameter(torch.zeros(DIM))
    parameters = [*encoder.parameters(), *decoder.parameters(), log_sigma]
    optimizer = torch.optim.Adam(parameters, 2e-3)
    for _ in range(STEPS):
        x = pictures(128)
        mean, sigma = encoder(x), log_sigma.exp()
        kl = 0.5 * (mean.square() + sigma.square() - 1) - log_sigma
        value = mean + sigma * torch.randn_like(mean)
        loss = nll_bits(decoder, value, x).mean() + kl.sum(1).mean() / math.log(2)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        train, test = encoder(pictures(2000)), pictures(1000)
        sigma, mean = log_sigma.exp(), encoder(test)
        channels = {"Gaussian": fit_gaussian(train, sigma)}
    for lattice in ("Z", "E8"):
        channels[lattice] = quantize_gaussian(train, sigma, lattice).channel
    with torch.no_grad():
        for name, channel in channels.items():
            value, rate, _ = channel.quantized(mean, SentenceNoise(0, list(range(len(test)))))
            nll, bits = nll_bits(decoder, value, test).mean(), rate.mean() / math.log(2)
            print(f"{name:<10} NLL {nll:7.3f}  rate {bits:7.3f}  total {nll + bits:7.3f}")


if __name__ == "__main__":
    main()
