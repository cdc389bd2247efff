"""Classes by name: lattices, codes and bottlenecks each have a registry that others may add to."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, cast

from onmt_lattice.errors import unknown_name

Kind = TypeVar("Kind")


class Registry(Generic[Kind]):
    """The classes of one kind, by name.

    Args:
        kind: what messages call one of them.
        base: the class that they all derive from.
    """

    def __init__(self, kind: str, base: type) -> None:
        self.kind, self.base = kind, base
        self.classes: dict[str, type[Kind]] = {}

    def add(self, name: Any, cls: Any) -> None:
        """Make ``cls`` available under ``name``; adding the same again changes nothing.

        Raises:
            TypeError: if ``cls`` does not derive from the base, or its name is none.
            ValueError: if another class has the name.
        """
        if not (isinstance(cls, type) and issubclass(cls, self.base)):
            expected = f"{self.base.__module__}.{self.base.__name__}"
            raise TypeError(f"{self.kind}: {cls!r} is not a subclass of {expected}")
        if not isinstance(name, str):
            raise TypeError(f"{cls.__name__}.name must be set: what to call this {self.kind}")
        if self.classes.get(name, cls) is not cls:
            raise ValueError(
                f"a {self.kind} named {name!r} is registered already, by {self.classes[name]}"
            )
        self.classes[name] = cast("type[Kind]", cls)

    def __getitem__(self, name: str) -> type[Kind]:
        """Return the class that ``name`` stands for.

        Raises:
            UserError: if there is none, listing those that exist.
        """
        if name not in self.classes:
            raise unknown_name(self.kind, name, self.classes)
        return self.classes[name]

    def __contains__(self, name: str) -> bool:
        """Whether a class has this ``name``."""
        return name in self.classes

    def names(self) -> list[str]:
        """Return every name, sorted."""
        return sorted(self.classes)
