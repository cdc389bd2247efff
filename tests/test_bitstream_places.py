import pytest

from onmt_lattice.bitstream import AlteredBitstream, TruncatedBitstream
from onmt_lattice.bitstream.places import pack_places, read_places


@pytest.mark.parametrize("places", [[], [0], [5], [0, 1, 2], [3, 200, 201, 4000]])
def test_places_come_back(places: list[int]) -> None:
    assert read_places(pack_places(places), 4096) == places


def test_a_place_beyond_the_block_is_refused() -> None:
    data = pack_places([3, 7])
    assert read_places(data, 8) == [3, 7]
    with pytest.raises(AlteredBitstream, match="an empty line 8 of 7"):
        read_places(data, 7)
    with pytest.raises(TruncatedBitstream):
        read_places(data + b"\xff", 8)
