import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from onmt_lattice.bitstream import DitherKey
from onmt_lattice.bitstream.representation import LatticePoints, representation_codec
from onmt_lattice.bottlenecks import Bottleneck, LatticeBottleneck, has_code, make_bottleneck
from onmt_lattice.codes import code_names
from onmt_lattice.errors import UserError
from onmt_lattice.noise import StreamNoise

FRAME = 24  # bytes of a file of 1,000 sentences around their points; see test_bitstream_file
DIM = 90  # which the dimensions of most lattices do not divide
KEY = DitherKey(3, tuple(range(10, 410)))
LATTICES = ("A2", "A3*", "E8", "Leech", "E8^2", "conv16", "z4conv64-96")
CODED: dict[str, tuple[str, dict[str, object]]] = {
    **{name: ("lattice", {"lattice": name}) for name in ("Z", *LATTICES)},
    "Z discrete": ("lattice", {"lattice": "Z", "lattice_code": "discrete_gaussian"}),
    "scalar 8": ("ste_scalar", {"levels": 8}),
    "vector": ("ste_vector", {"levels": 5, "vector_dim": 3}),
    "fsq": ("fsq", {"levels": 5, "vector_dim": 3}),
    "lfq": ("lfq", {"vector_dim": 6}),
    "residual": ("residual_vq", {"levels": 32, "quantizers": 20}),
}
coded = pytest.mark.parametrize("name", CODED)


def trained(name: str, least: float = -0.3) -> tuple[Bottleneck, Tensor, Any]:
    """Return a bottleneck as training leaves it, X of 400 sentences, and the codec for them.

    Scales s, of signal and noise, are from exp(``least``) to 4.5 times the noise, in no order.
    """
    torch.manual_seed(0)
    kind, options = CODED[name]
    bottleneck = make_bottleneck(kind, DIM, **options).eval()
    x = torch.randn(len(KEY.indices), DIM)
    if isinstance(bottleneck, LatticeBottleneck):
        channel = bottleneck.channel
        torch.nn.init.normal_(channel.log_sigma, -1.0)
        torch.nn.init.normal_(channel.center)
        log_s = torch.empty(len(channel.permutation)).uniform_(least, 1.5)
        log_s[channel.dim :] = least
        channel.log_prior.data = log_s + torch.nn.functional.pad(
            channel.log_sigma.detach(), (0, len(log_s) - channel.dim)
        )
        channel.sort_coordinates()
        torch.nn.init.orthogonal_(bottleneck.map_in.weight)
        signal = (2 * log_s[: channel.dim]).expm1().clamp_min(0).sqrt()
        mean = channel.center + channel.log_sigma.exp() * signal * x
        x = mean.detach() @ bottleneck.map_in.weight.detach()
    else:
        torch.nn.init.normal_(bottleneck.logits)
        bottleneck.train()(x, StreamNoise())  # which fits the entries
        bottleneck.eval()
    return bottleneck, x, representation_codec(bottleneck)


@coded
def test_what_is_sent_comes_back_at_the_price_of_the_rate(name: str) -> None:
    _, x, codec = trained(name)
    sent = codec.quantize(x, KEY)
    payload = codec.write(sent, KEY)
    torch.testing.assert_close(codec.read(payload, KEY), sent, rtol=1e-12, atol=1e-12)
    assert torch.equal(codec.output(codec.read(payload, KEY), KEY), codec.output(sent, KEY))
    ideal = float(codec.rate_nats(sent, KEY).sum()) / math.log(2)
    assert ideal * 0.999 - 8 < 8 * len(payload) < ideal * 1.005 + 16
    assert 8 * (len(payload) + FRAME) < ideal * 1.005 + 64


@pytest.mark.parametrize("name", ["Z", "Z discrete", "E8", "conv16"])
def test_a_prior_that_does_not_fit_costs_no_more_than_its_rate(name: str) -> None:
    """At a tenth of the noise, points that the rate puts at hundreds of nats still take few bits.

    Whatever the prior says, a symbol keeps a chance of 2⁻²⁴.
    """
    _, x, codec = trained(name, least=-2.3)
    sent = codec.quantize(x, KEY)
    ideal = float(codec.rate_nats(sent, KEY).sum()) / math.log(2)
    assert 8 * len(codec.write(sent, KEY)) < ideal * 1.005 + 64


@coded
def test_it_sends_what_the_bottleneck_sends_at_the_same_dither(name: str) -> None:
    bottleneck, x, codec = trained(name)
    exact = copy.deepcopy(bottleneck).double()
    if isinstance(codec, LatticePoints):
        u = codec.codec.dither(KEY)
        exact.channel.dither = lambda like, noise: u  # type: ignore[union-attr,assignment]
    with torch.no_grad():
        output, rate, symbols, _ = exact.quantized(x.double(), StreamNoise())
    sent = codec.quantize(x, KEY)
    chosen = sent
    if isinstance(codec, LatticePoints):
        chosen = codec.codec.code.lattice.coordinates(sent).flatten(1)
    same = (chosen == symbols).all(1)
    assert same.float().mean() > 0.98  # a map in float32 rounds now and then to another point
    got, price = codec.output(sent, KEY), codec.rate_nats(sent, KEY)
    torch.testing.assert_close(got[same], output[same].float(), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(price[same], rate[same], rtol=1e-6, atol=1e-6)


@coded
def test_a_sentence_is_the_same_in_any_company(name: str) -> None:
    _, x, codec = trained(name)
    some = DitherKey(KEY.seed, KEY.indices[100:120])
    together = codec.quantize(x, KEY)[100:120]
    assert torch.equal(codec.quantize(x[100:120], some), together)


@pytest.mark.parametrize(
    "name, options, reason",
    [
        ("gaussian", {}, "a density .* put a lattice in place of its noise with .*quantize"),
        ("none", {}, "real numbers at no price"),
        ("lattice", {"lattice": "E8", "lattice_code": "convolved_gaussian"}, "discrete_gaussian"),
    ],
)
def test_what_has_no_code_is_refused_with_reason_and_cure(
    name: str, options: dict[str, str], reason: str
) -> None:
    assert not has_code(name, options)
    with pytest.raises(UserError, match=reason):
        representation_codec(make_bottleneck(name, 16, **options))


@pytest.mark.parametrize("lattice", ["E8", "conv16", "Z", "Z^4"])
@pytest.mark.parametrize("code", ["auto", *code_names()])
def test_a_lattice_is_said_to_have_a_code_where_there_is_a_codec(lattice: str, code: str) -> None:
    options = {"lattice": lattice, "lattice_code": code}
    bottleneck = make_bottleneck("lattice", DIM, **options)
    if has_code("lattice", options):
        representation_codec(bottleneck)
    else:
        with pytest.raises(UserError, match="discrete_gaussian"):
            representation_codec(bottleneck)


def test_the_fingerprint_is_that_of_the_scales_on_their_grid() -> None:
    def fingerprint(change: Callable[[Tensor], object]) -> int:
        bottleneck, _, _ = trained("E8")
        change(bottleneck.channel.log_prior.data)  # type: ignore[union-attr,operator]
        return representation_codec(bottleneck).fingerprint

    same = fingerprint(lambda log_s: None)
    assert fingerprint(lambda log_s: log_s.add_(0.0)) == same
    assert fingerprint(lambda log_s: log_s[0].add_(0.1)) != same


@pytest.mark.parametrize("name", ["Z", "E8", "scalar 8", "fsq"])
def test_sentences_that_are_not_finite_are_counted(name: str) -> None:
    _, x, codec = trained(name)
    x[5] = math.nan
    with pytest.raises(UserError, match="X of 1 sentences of 400 is not finite"):
        codec.quantize(x, KEY)
