import math

import pytest
import torch

from onmt_lattice.bitstream import CategoricalCodec, DamagedBitstream, WrongCode
from onmt_lattice.errors import UserError


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize("entries", [2, 4, 300])
def test_symbols_come_back_at_their_price(entries: int) -> None:
    logits = 2 * torch.randn(50, entries, generator=generator())
    codec = CategoricalCodec(logits)
    law = torch.distributions.Categorical(logits=logits.double())
    torch.manual_seed(0)
    symbols = law.sample((1000,))
    data = codec.encode(symbols)
    assert torch.equal(codec.decode(data, 1000), symbols)
    ideal = -law.log_prob(symbols).sum().item() / math.log(2)
    assert codec.bits(symbols) == pytest.approx(ideal, rel=1e-4)
    assert ideal - 8 < 8 * len(codec.write(symbols)) <= ideal * 1.005 + 16


def test_entries_that_never_occur_can_be_sent() -> None:
    codec = CategoricalCodec(torch.tensor([[0.0, -1e30], [1e30, 0.0]]))
    symbols = torch.tensor([[1, 1], [0, 0]])
    assert torch.equal(codec.decode(codec.encode(symbols), 2), symbols)
    assert torch.equal(codec.decode(codec.encode(symbols[:0]), 0), symbols[:0])


def test_what_is_wrong_is_refused() -> None:
    codec = CategoricalCodec(torch.randn(3, 4, generator=generator()))
    symbols = torch.randint(4, (9, 3), generator=generator())
    data = codec.encode(symbols)
    with pytest.raises(WrongCode):
        CategoricalCodec(torch.zeros(3, 4)).decode(data, 9)
    with pytest.raises(WrongCode):
        codec.decode(data, 8)
    with pytest.raises(DamagedBitstream):
        codec.decode(data[:-1] + bytes([data[-1] ^ 1]), 9)
    with pytest.raises(UserError, match="0 … 3"):
        codec.encode(symbols + 1)
    with pytest.raises(UserError, match=r"expected \(sentences, 3\)"):
        codec.encode(symbols[:, :2])
    for logits in (torch.zeros(3, 1), torch.zeros(3), torch.tensor([[0.0, math.nan]])):
        with pytest.raises(UserError, match="expected finite numbers"):
            CategoricalCodec(logits)
