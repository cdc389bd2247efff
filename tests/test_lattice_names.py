import time

import pytest
import torch

from onmt_lattice.bottlenecks.lattice import lattice_for
from onmt_lattice.cli.lattices import LatticesOptions, table
from onmt_lattice.errors import UserError
from onmt_lattice.lattices import lattice_names, lattice_of_dim, make_lattice, takes_any_dim
from onmt_lattice.lattices.generators import GENERATORS


@pytest.mark.parametrize(
    ("name", "params", "expected"),
    [
        ("z", {"n": 3}, "Z3"),
        ("d6", {}, "D6"),
        ("A", {"n": 3}, "A3"),
        ("a*", {"n": 3}, "A3*"),
        ("A3*", {}, "A3*"),
        (" e8 ", {}, "E8"),
        ("e8^4", {}, "E8^4"),
        ("A2*^3", {}, "A2*^3"),
        ("conv", {"states": 4, "n": 8}, "conv4-8"),
        ("Conv4", {"n": 8}, "conv4-8"),
        ("CONV4-8", {}, "conv4-8"),
        ("conv4-8^2", {}, "conv4-8^2"),
        ("Z4conv64", {"n": 12}, "z4conv64-12"),
    ],
)
def test_names_and_shorthands(name: str, params: dict[str, int], expected: str) -> None:
    lattice = make_lattice(name, **params)
    assert lattice.name == expected
    assert torch.equal(make_lattice(expected).basis, lattice.basis)


def test_every_listed_name_builds() -> None:
    names = lattice_names()
    assert {"Z", "A2", "A3", "A3*", "D4", "D4*", "E8"} <= set(names)
    assert all(make_lattice(name).name == name for name in names)


@pytest.mark.parametrize("name", ["Q", "E7", "D4**", "", "leach", "E8^", "E8^x"])
def test_a_wrong_name_is_answered_with_the_list(name: str) -> None:
    with pytest.raises(UserError, match=r"D4.*E8") as caught:
        make_lattice(name)
    assert isinstance(caught.value, ValueError) and repr(name) in str(caught.value)


WRONG: list[tuple[str | None, dict[str, object]]] = [
    *(("D", {}), ("D", {"n": 4.0}), ("D", {"n": 1}), ("Z", {"n": -1}), ("E8", {"n": 8})),
    *(("D4", {"m": 2}), ("conv4", {"states": 4}), ("conv4-8", {"n": 8}), ("D4-3", {})),
    *(("E8-8", {}), ("A0", {}), ("D1", {}), ("D0*", {}), ("E8^0", {}), (None, {})),
    # Too large to use, which is told at once.
    *(("A2000", {}), ("A2000*", {}), ("D99999", {}), ("Z99999999", {}), ("Z^99999999999", {})),
    *(("Leech^9999", {}), ("conv4-9000", {})),
]


@pytest.mark.parametrize(("name", "params"), WRONG)
def test_members_that_do_not_exist_and_wrong_parameters_are_refused(
    name: str, params: dict[str, int]
) -> None:
    began = time.monotonic()
    with pytest.raises(UserError, match=r"expected|unknown lattice"):
        make_lattice(name, **params)
    assert time.monotonic() - began < 1


def test_what_convolutional_lattices_there_are_is_said() -> None:
    for name, cure in (
        ("conv64-97", "even number from 24 to 4096"),
        ("conv60-96", "conv60: expected one of conv4, conv8, "),
        ("z4conv27-96", "z4conv27: expected one of z4conv64"),
        ("conv64", "'n'; expected something like 'conv64-96'"),
    ):
        with pytest.raises(UserError, match=cure):
            make_lattice(name)


@pytest.mark.parametrize(
    ("name", "dim", "expected"),
    [
        ("conv4", 20, "conv4-20"),
        ("conv4-8", 16, "conv4-8^2"),
        ("D", 6, "D6"),
        ("Z", 3, "Z^3"),
        ("E8", 24, "E8^3"),
        ("A2^2", 8, "A2^2^2"),
    ],
)
def test_a_lattice_of_a_given_dimension(name: str, dim: int, expected: str) -> None:
    lattice = lattice_of_dim(name, dim)
    assert (lattice.name, lattice.dim) == (expected, dim)


@pytest.mark.parametrize(("name", "dim"), [("E8", 12), ("E8", 0), ("conv4", 9), ("nil", 2)])
def test_dimensions_that_do_not_fit(name: str, dim: int) -> None:
    with pytest.raises(UserError, match=r"expected|valid"):
        lattice_of_dim(name, dim)


def test_which_names_leave_the_dimension_open() -> None:
    assert [name for name in ("D", "conv4", "A*") if takes_any_dim(name)] == ["D", "conv4", "A*"]
    assert not any(takes_any_dim(name) for name in ("Z", "D4", "E8", "conv4-8", "conv4-8^2"))


@pytest.mark.parametrize(("dim", "possible"), [(96, 89.0), (480, 96.9)])
def test_the_list_of_lattices(dim: int, possible: float) -> None:
    listed = table(dim)
    rows = {row.lattice: row for row in listed.rows}
    assert {make_lattice(name).name for name in lattice_names() if "conv" not in name} < rows.keys()
    assert GENERATORS.keys() < rows.keys()
    losses = [row.loss for row in listed.rows]
    assert losses == sorted(losses, reverse=True)
    for name, row in rows.items():
        assert row.loss == lattice_for(name, row.dim).space_filling_loss
        assert row.saved < possible
    assert f"{dim} dimensions {possible} % is possible" in listed.text()
    assert rows["conv81"].edges == 81 * 3 // 2 and rows["Z"].edges is None


def test_an_odd_number_of_dimensions_is_refused() -> None:
    with pytest.raises(UserError, match="-dim 95: expected an even number"):
        LatticesOptions(dim=95)


def test_lattices_without_so_many_dimensions_are_not_listed() -> None:
    names = {row.lattice for row in table(12).rows}
    assert "conv8" in names and "conv2187" not in names and "Leech" in names
