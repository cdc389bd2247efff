"""A registry: one class a name, all of one kind, and the good names for a bad one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from onmt_lattice.bottlenecks import Bottleneck, IdentityBottleneck, register_bottleneck
from onmt_lattice.codes import DiscreteGaussianCode, LatticeCode, code_names, register_code
from onmt_lattice.errors import UserError
from onmt_lattice.lattices import Cubic, Lattice, lattice_names, register_lattice
from onmt_lattice.registry import Registry


class Animal:
    pass


class Cat(Animal):
    pass


class Dog(Animal):
    pass


@pytest.fixture
def animals() -> Registry[Animal]:
    registry: Registry[Animal] = Registry("pet", Animal)
    registry.add("cat", Cat)
    return registry


def test_a_class_is_found_by_its_name(animals: Registry[Animal]) -> None:
    animals.add("Dog", Dog)
    assert (animals["cat"], animals["Dog"]) == (Cat, Dog)
    assert animals.names() == ["Dog", "cat"] and "cat" in animals and "dog" not in animals


def test_a_name_has_one_class(animals: Registry[Animal]) -> None:
    animals.add("cat", Cat)  # the same again
    with pytest.raises(ValueError, match=r"a pet named 'cat' is registered already, by .*Cat"):
        animals.add("cat", Dog)
    assert animals["cat"] is Cat


@pytest.mark.parametrize("stranger", [int, 3, "Cat", Cat()])
def test_a_stranger_is_refused(animals: Registry[Animal], stranger: Any) -> None:
    with pytest.raises(TypeError, match=r"is not a subclass of .*Animal"):
        animals.add("stranger", stranger)
    assert animals.names() == ["cat"]


@pytest.mark.parametrize("name", [None, 3, Cat])
def test_what_is_no_name_is_refused(animals: Registry[Animal], name: Any) -> None:
    with pytest.raises(TypeError, match=r"Dog\.name must be set"):
        animals.add(name, Dog)


def test_an_unknown_name_is_answered_with_the_good_ones(animals: Registry[Animal]) -> None:
    animals.add("dog", Dog)
    with pytest.raises(UserError, match=r"unknown pet 'cta'; did you mean 'cat'\? .*cat, dog"):
        animals["cta"]


@pytest.mark.parametrize(
    ("register", "base", "taken"),
    [
        (register_lattice("Z"), Lattice, Cubic),
        (register_code, LatticeCode, DiscreteGaussianCode),
        (register_bottleneck, Bottleneck, IdentityBottleneck),
    ],
)
def test_lattices_codes_and_bottlenecks_are_registered_alike(
    register: Callable[[Any], Any], base: type, taken: type
) -> None:
    before = (lattice_names(), code_names())
    assert register(taken) is taken  # once more
    with pytest.raises(ValueError, match="is registered already"):
        register(type("Usurper", (taken,), {}))
    with pytest.raises(TypeError, match=rf"is not a subclass of .*\.{base.__name__}"):
        register(dict)
    assert (lattice_names(), code_names()) == before
