"""Options, each declared once: a field of a frozen dataclass with its help, range and choices.

A field is an option of the command line and a key of a YAML file, with one check for both; building
the dataclass in Python makes the same check.
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import math
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, TypeVar, get_args, get_origin, get_type_hints

from onmt_lattice.errors import UserError, unknown_name
from onmt_lattice.files import EXPORTED, STANDARD


@dataclass(frozen=True)
class Range:
    """The numbers that an option takes: finite ones of an interval, and perhaps some others.

    Attributes:
        low, high: the interval; infinite where there is no bound.
        above, below: exclude ``low``, exclude ``high``.
        also: numbers outside the interval that have a meaning of their own.
        meaning: that meaning.
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False
    also: tuple[float, ...] = ()
    meaning: str = ""

    def __contains__(self, value: float) -> bool:
        if value in self.also:
            return True
        fits_low = value > self.low if self.above else value >= self.low
        fits_high = value < self.high if self.below else value <= self.high
        return math.isfinite(value) and fits_low and fits_high

    def __str__(self) -> str:
        bounds = []
        if self.low > -math.inf:
            bounds.append(f"{'above' if self.above else 'at least'} {_plain(self.low)}")
        if self.high < math.inf:
            bounds.append(f"{'below' if self.below else 'at most'} {_plain(self.high)}")
        elif bounds:
            bounds.append("finite")
        text = " and ".join(["a finite number"] if not bounds else bounds)
        beside = " or ".join(map(_plain, self.also))
        return f"{text}, or {beside} for {self.meaning}" if beside else text


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


SEED = Range(0, 2**32 - 1)
COUNT = Range(1, 2**31 - 1)
COUNT_OR_ZERO = Range(0, 2**31 - 1)
POSITIVE = Range(0, above=True)
SIZE = Range(1, 2**16)  # numbers a vector; beyond, no machine has the memory
THREADS = Range(1, 1024)  # torch crashes when it is asked for a hundred thousand
BEAM = Range(1, 1024)
DEVICE = Range(0, 2**31 - 1, also=(-1,), meaning="the CPU")
WRITTEN = ("output", "reconstruct", "scores")  # options that name files to write


def check_ranges(values: Mapping[str, Any], ranges: Mapping[str, Range]) -> None:
    """Raise :class:`UserError` for the first option of ``ranges`` outside its own.

    An option that is None was not given; of a list each number is checked.
    """
    for name, allowed in ranges.items():
        value = values.get(name)
        if value is None:
            continue
        numbers: Iterable[float] = value if isinstance(value, list) else [value]
        if not all(number in allowed for number in numbers):
            raise UserError(f"-{name} {value}: expected {allowed}")


Choices = Sequence[str] | Callable[[], Sequence[str]]  # made when they are needed


def option(
    default: Any,
    help: str,
    choices: Choices | None = None,
    *,
    range: Range | None = None,
    **more: Any,
) -> Any:
    """Declare a field that the command line offers as ``-<field>``.

    Args:
        default: its value where it is not given; ``...`` if it is required.
        help: its help text, to which the default is added.
        choices: the values it takes.
        range: the numbers it takes.
        more: ``metavar`` as in argparse; ``name``, where it is not the field's; ``short``, another
            name of one dash; ``positional``; ``exclusive``, the name of a group of options of which
            at most one may be given.
    """
    metadata = {"help": help, "choices": choices, "range": range, **more}
    if default is ...:
        return dataclasses.field(metadata=metadata)
    if isinstance(default, list | dict):
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


class Option(NamedTuple):
    """An option as :func:`option` declares it, with what its field's annotation says.

    Attributes:
        kind: the type of its value, or of each one where there are ``several``.
        required: whether it has no default.
    """

    field: str
    name: str
    kind: type
    several: bool
    required: bool
    default: Any
    help: str = ""
    choices: Choices | None = None
    range: Range | None = None
    metavar: str | None = None
    short: str | None = None
    positional: bool = False
    exclusive: str | None = None

    def valid(self) -> Sequence[str]:
        """Return the values it takes, where these are a choice."""
        assert self.choices is not None
        return self.choices() if callable(self.choices) else self.choices

    def check(self, value: Any, where: str = "") -> None:
        """Raise :class:`UserError` unless it takes ``value``, of the YAML file ``where``."""
        label = f"{where}: {self.name}" if where else f"-{self.name}"
        if value is None and self.default is None and not self.required:
            return
        words = "a list, each " * self.several + EXPECTED.get(self.kind, "")
        if self.several and not (isinstance(value, list | tuple) and value):
            raise UserError(f"{label} {value!r}: expected {words}; {self.help}")
        for each in value if self.several else [value]:
            if self.kind in EXPECTED and not _fits(each, self.kind):
                raise UserError(f"{label} {value!r}: expected {words}; {self.help}")
            if self.range is not None and each not in self.range:
                raise UserError(f"{label} {value}: expected {self.range}")
            if self.choices is not None and each not in (valid := self.valid()):
                kind = self.name.replace("_", " ") + (f" in {where}:" if where else "")
                raise unknown_name(kind, each, valid)

    def add_to(self, parser: argparse._ActionsContainer) -> None:
        """Add it to a ``parser``, or a group of one, with one dash or two as OpenNMT-py's."""
        more: dict[str, Any] = {"help": self.help.replace("%", "%%")}
        if self.kind is bool:
            more |= {"action": "store_true", "default": self.default}
        else:
            more |= {"type": self.kind, "metavar": self.metavar, "default": self.default}
            if self.several:
                more["nargs"] = "+"
            if self.choices is not None and self.metavar is None:
                more["choices"] = self.valid()
        if self.positional:
            parser.add_argument(self.name, **more)
        else:
            names = [f"-{self.name}", f"--{self.name}", *([f"-{self.short}"] if self.short else [])]
            parser.add_argument(*names, required=self.required, **more)


EXPECTED: dict[type, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Path: "a path",
    dict: "'option: value' lines",
}


def _fits(value: Any, kind: type) -> bool:
    wide: dict[type, Any] = {int: Integral, float: int | float, Path: str | Path}
    return isinstance(value, wide.get(kind, kind)) and (kind is bool or not isinstance(value, bool))


@dataclass(frozen=True)
class Config:
    """Options that check themselves; subclasses declare theirs with :func:`option`.

    The docstring of a subclass is the description of its command, its last paragraph an example.
    """

    def __post_init__(self) -> None:
        for each in declared(type(self)).values():
            each.check(getattr(self, each.field))


C = TypeVar("C", bound=Config)


def declared(config: type[Config]) -> dict[str, Option]:
    """Return the options of ``config`` by name: required ones, its own, those it inherits."""
    hints = get_type_hints(config)
    own = vars(config).get("__annotations__", {})
    options = []
    for field in dataclasses.fields(config):
        hint = hints[field.name]
        if type(None) in get_args(hint):
            hint = next(each for each in get_args(hint) if each is not type(None))
        several = get_origin(hint) is list
        kind = get_args(hint)[0] if several else get_origin(hint) or hint
        made = field.default_factory
        default = field.default if made is dataclasses.MISSING else made()
        required = default is dataclasses.MISSING
        default = None if required else default
        more = {"name": field.name, **field.metadata}
        options.append(
            Option(field.name, more.pop("name"), kind, several, required, default, **more)
        )
    return {o.name: o for o in sorted(options, key=lambda o: (not o.required, o.field not in own))}


def from_options(config: type[C], options: Any) -> C:
    """Return a ``config`` of the values in the namespace ``options``; None is the default."""
    given = {each.field: getattr(options, name, None) for name, each in declared(config).items()}
    return config(**{field: value for field, value in given.items() if value is not None})


def from_mapping(config: type[C], values: Mapping[str, Any], where: str) -> C:
    """Return a ``config`` of the ``values`` in a YAML file.

    Raises:
        UserError: for an unknown key, a missing or a wrong value; it names the file ``where``.
    """
    options = declared(config)
    for key, value in values.items():
        if key not in options:
            raise unknown_name(f"key in {where}", str(key), options)
        options[key].check(value, where)
    for key, each in options.items():
        if each.required and key not in values:
            raise UserError(f"{where}: {key} is missing: {each.help}")
    return config(**values)


class Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Adds defaults to the help, where there are any and it does not name them."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        none = any(action.default is value for value in (None, False, ""))
        shown = none or "(default" in f"{action.help}"
        return action.help if shown else super()._get_help_string(action)


class Strict:
    """A mix-in for parsers: errors are :class:`UserError`, and no option is abbreviated."""

    _actions: list[argparse.Action]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=Formatter, **kwargs)  # type: ignore[call-arg]

    def error(self, message: str) -> NoReturn:
        """Raise :class:`UserError` with ``message``."""
        raise UserError(message)

    def _get_option_tuples(self, option_string: str) -> list[Any]:
        """Return no option for an abbreviation; ``allow_abbrev`` stops those of two dashes only."""
        return []

    def names(self) -> set[str]:
        """Return every option name, without dashes."""
        return {s.lstrip("-") for a in self._actions for s in a.option_strings}


class Parser(Strict, argparse.ArgumentParser):
    """The parser of a command with no option of OpenNMT-py, from a :class:`Config`."""

    def __init__(self, config: type[Config], more: str = "", **kwargs: Any) -> None:
        text = " ".join(f"{inspect.getdoc(config)}".split())
        description, _, example = text.partition(" example: ")
        epilog = f"example: {example}"
        super().__init__(description=f"{description} {more}".strip(), epilog=epilog, **kwargs)
        groups: dict[str | None, argparse._ActionsContainer] = {None: self}
        for each in declared(config).values():
            if each.exclusive not in groups:
                groups[each.exclusive] = self.add_mutually_exclusive_group()
            each.add_to(groups[each.exclusive])

    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        """Parse ``args``; an unknown option is an error that names the nearest one."""
        parsed, unknown = super().parse_known_args(args, namespace)
        for word in unknown:
            if word.strip("-") and word.startswith("-"):
                raise unknown_name("option", word.split("=")[0].lstrip("-"), self.names())
            raise UserError(f"unexpected word {word!r} on the command line")
        return parsed, unknown


def parse(command: str, config: type[C], argv: list[str], more: str = "") -> C:
    """Return the options of ``onmt_lattice command`` in ``argv``; ``more`` describes it further."""
    parser = Parser(config, more, prog=f"onmt_lattice {command}")
    options = from_options(config, parser.parse_args(argv))
    _check_apart(options)
    return options


def _check_apart(options: Config) -> None:
    """Refuse an ``-output`` that would replace a file which another option reads or writes.

    A PATH that several checkpoints are evaluated to is a folder, which may not exist yet.
    """
    others: dict[str, str] = {}
    models = getattr(options, "model", None)
    into_folders = isinstance(models, list) and len(models) > 1
    for each in sorted(declared(type(options)).values(), key=lambda o: o.name in WRITTEN):
        value = getattr(options, each.field)
        for path in value if isinstance(value, list) else [value]:
            if path in (None, STANDARD) or each.metavar not in ("FILE", "PATH"):
                continue
            place = real_file(path, each.name)
            other = others.setdefault(place, each.name)
            folder = os.path.isdir(place) or (each.metavar == "PATH" and into_folders)
            file = os.path.isfile(place) or not folder
            if each.name in WRITTEN and other != each.name and file:
                raise same_file(each.name, path, other)


def real_file(path: str, name: str) -> str:
    """Return the file at ``path``, of the option ``name``: a model may be an exported folder."""
    place = os.path.realpath(path)
    return os.path.join(place, EXPORTED) if name == "model" and os.path.isdir(place) else place


def same_file(name: str, path: str, other: str) -> UserError:
    """Return the error for a ``path`` to write that an ``other`` option names too."""
    return UserError(f"-{name} {path}: is -{other} as well; expected another file")
