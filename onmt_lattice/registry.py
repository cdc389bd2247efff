"""Classes by name: lattices, codes and bottlenecks; other packages may add theirs."""

from __future__ import annotations

from typing import Any, Generic, TypeVar, cast

from onmt_lattice.errors import unknown_name

Class = TypeVar("Class")


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
