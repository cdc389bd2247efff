"""Classes by name, which other packages may add to, and lattices by name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from typing import Any, Generic, TypeVar, cast

from onmt_lattice.errors import UserError, unknown_name
from onmt_lattice.lattices.base import Lattice
from onmt_lattice.lattices.product import ProductLattice

Class = TypeVar("Class")
LatticeClass = TypeVar("LatticeClass", bound=type[Lattice])


class Registry(Generic[Class]):
    """The classes that implement a ``concept``, a word for messages, all derived from ``base``."""

    def __init__(self, concept: str, base: type) -> None:
        self.concept, self.base = concept, base
        self.classes: dict[str, type[Class]] = {}

    def add(self, name: Any, cls: Any) -> None:
        """Make ``cls`` available under ``name``; adding the same again changes nothing.

        Raises:
            TypeError: if ``cls`` does not derive from the base, or the name is not a text.
            ValueError: if another class has the name.
        """
        if not (isinstance(cls, type) and issubclass(cls, self.base)):
            expected = f"{self.base.__module__}.{self.base.__name__}"
            raise TypeError(f"{self.concept}: {cls!r} is not a subclass of {expected}")
        if not isinstance(name, str):
            raise TypeError(f"{cls.__name__}.name must be set: what to call this {self.concept}")
        if self.classes.get(name, cls) is not cls:
            raise ValueError(
                f"a {self.concept} named {name!r} is registered already, by {self.classes[name]}"
            )
        self.classes[name] = cast("type[Class]", cls)

    def __getitem__(self, name: str) -> type[Class]:
        """Return the class named ``name``; the error for an unknown one lists the valid names."""
        if name not in self.classes:
            raise unknown_name(self.concept, name, self.classes)
        return self.classes[name]

    def __contains__(self, name: str) -> bool:
        """Return whether a class is named ``name``."""
        return name in self.classes

    def names(self) -> list[str]:
        """Return every name, sorted."""
        return sorted(self.classes)


_CLASSES: Registry[Lattice] = Registry("lattice", Lattice)
_EXAMPLES: dict[str, tuple[str, ...]] = {}
_POWER = re.compile(r"(?P<factor>.+)\^(?P<copies>\d+)")
_SHORTHAND = re.compile(r"(?P<family>[a-z](\w*[a-z])?)(?P<number>\d+)(-(?P<n>\d+))?(?P<dual>\*?)")


class LatticeNameError(UserError, ValueError):
    """A name or a parameter that no lattice has."""


def register_lattice(name: str, *examples: str) -> Callable[[LatticeClass], LatticeClass]:
    """Register the decorated subclass of :class:`Lattice` under ``name``.

    A family, whose constructor takes the dimension ``n``, passes as ``examples`` the members that
    :func:`lattice_names` lists.

    Raises:
        ValueError: if the name is taken.
        TypeError: if the class is not a lattice.
    """

    def register(cls: LatticeClass) -> LatticeClass:
        _CLASSES.add(name.lower(), cls)
        _EXAMPLES[name.lower()] = examples or (name,)
        return cls

    return register


def lattice_names() -> list[str]:
    """Return names for :func:`make_lattice`: every lattice, and members of families."""
    return sorted(example for examples in _EXAMPLES.values() for example in examples)


def make_lattice(name: str, **params: Any) -> Lattice:
    """Return the lattice ``name``, at scale 1.

    ``make_lattice("D", n=6)`` is ``make_lattice("D6")``, ``make_lattice("A*", n=3)`` is
    ``make_lattice("A3*")``; ``make_lattice("E8^4")`` is the product of four copies of E8, and
    ``make_lattice("conv64", n=96)``, or "conv64-96", the lattice of the convolutional code of 64
    states in 96 dimensions, "z4conv64-96" that of the one over ℤ4. Names are case-insensitive.

    Raises:
        LatticeNameError: (a :class:`UserError` and a ``ValueError``) if there is no such lattice,
            or not with these ``params``.
    """
    if not isinstance(name, str):
        raise LatticeNameError(f"lattice {name!r}: expected a name, one of {lattice_names()}")
    if power := _POWER.fullmatch(name):
        factor = make_lattice(power["factor"], **params)
        try:
            return ProductLattice(factor, int(power["copies"]))
        except ValueError as error:
            raise LatticeNameError(f"lattice {name!r}: {error}") from error
    key, params = _parsed(name, params)
    try:
        inspect.signature(_CLASSES[key]).bind(**params)
        return _CLASSES[key](**params)
    except (TypeError, ValueError) as error:
        raise LatticeNameError(
            f"lattice {name!r} with {params or 'no parameters'}: {error}; "
            f"expected something like {', '.join(map(repr, _EXAMPLES[key]))}"
        ) from error


def lattice_of_dim(name: str, dim: int) -> Lattice:
    """Return the lattice ``name`` of ``dim`` dimensions, at scale 1.

    For a family without its dimension ("D", "conv64") it is the member of that dimension; for any
    other lattice a product of copies.

    Raises:
        LatticeNameError: as :func:`make_lattice`, or if no number of copies has ``dim`` dimensions.
    """
    if takes_any_dim(name):
        return make_lattice(name, n=dim)
    lattice = make_lattice(name)
    if dim < 1 or dim % lattice.dim:
        raise LatticeNameError(
            f"lattice {name!r} has {lattice.dim} dimensions and {dim} are wanted: "
            f"expected a multiple, such as {-(-max(dim, 1) // lattice.dim) * lattice.dim}"
        )
    return lattice if dim == lattice.dim else ProductLattice(lattice, dim // lattice.dim)


def takes_any_dim(name: str) -> bool:
    """Return whether ``name`` is a family whose dimension is still to be chosen.

    Raises:
        LatticeNameError: if there is no such lattice.
    """
    if _POWER.fullmatch(name):
        return False
    key, params = _parsed(name, {})
    parameters = inspect.signature(_CLASSES[key]).parameters
    return "n" in parameters.keys() - params.keys() and parameters["n"].default is inspect._empty


def _parsed(name: str, params: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    """Return the registered name, and the parameters together with those in ``name``.

    The number in a name is the first parameter of the class: the dimension, or conv's states.
    """
    key = name.strip().lower()
    if key not in _CLASSES and (match := _SHORTHAND.fullmatch(key)):
        key = match["family"] + match["dual"]
        name_params = _name_params(key, match["number"], match["n"])
        key = "" if name_params.keys() & params.keys() else key
        params = {**name_params, **params}
    if key not in _CLASSES:
        unknown = unknown_name("lattice", name, lattice_names())
        raise LatticeNameError(f"{unknown}; 'onmt_lattice lattices' lists them all")
    return key, params


def _name_params(key: str, number: str, n: str | None) -> dict[str, int]:
    """Return by name the parameters that the numbers in a name give."""
    first = next(iter(inspect.signature(_CLASSES[key]).parameters), "") if key in _CLASSES else ""
    return {first: int(number), **({} if n is None else {"n" if first != "n" else "": int(n)})}
