"""Options, each declared once: a field of a frozen dataclass with its help, range and choices.

A field is an option of the command line and a key of a YAML file. Both are checked when the
dataclass is built.
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
    """The numbers that an option takes: the finite ones of an interval, and special values.

    Attributes:
        above, below: exclude ``low``, exclude ``high``.
        also: special values outside the interval, such as -1 for no limit.
        meaning: of the special values.
    """

    low: float = -math.inf
    high: float = math.inf
    above: bool = False
    below: bool = False
    also: tuple[float, ...] = ()
    meaning: str = ""

    def __contains__(self, value: float) -> bool:
        at_least = value > self.low if self.above else value >= self.low
        at_most = value < self.high if self.below else value <= self.high
        return value in self.also or (math.isfinite(value) and at_least and at_most)

    def __str__(self) -> str:
        bounds = []
        if self.low > -math.inf:
            bounds.append(f"{'above' if self.above else 'at least'} {_plain(self.low)}")
        if self.high < math.inf:
            bounds.append(f"{'below' if self.below else 'at most'} {_plain(self.high)}")
        elif bounds:
            bounds.append("finite")
        interval = " and ".join(bounds or ["a finite number"])
        special = " or ".join(map(_plain, self.also))
        return f"{interval}, or {special} for {self.meaning}" if special else interval


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


SEED = Range(0, 2**32 - 1)
COUNT = Range(1, 2**31 - 1)
COUNT_OR_ZERO = Range(0, 2**31 - 1)
POSITIVE = Range(0, above=True)
SIZE = Range(1, 2**16)  # numbers per vector; no machine has the memory for more
THREADS = Range(1, 1024)  # torch crashes with a hundred thousand
BEAM = Range(1, 1024)
DEVICE = Range(0, 2**31 - 1, also=(-1,), meaning="the CPU")
OUTPUTS = ("output", "reconstruct", "scores")  # options that name files to write


def check_ranges(values: Mapping[str, Any], ranges: Mapping[str, Range]) -> None:
    """Raise :class:`UserError` for the first of ``values``, numbers or lists, out of its range."""
    for name, allowed in ranges.items():
        if (value := values.get(name)) is not None:
            numbers: Iterable[float] = value if isinstance(value, list) else [value]
            if not all(number in allowed for number in numbers):
                raise UserError(f"-{name} {value}: expected {allowed}")


Choices = Sequence[str] | Callable[[], Sequence[str]]  # a function where imports are slow


def option(
    default: Any,
    help: str,
    choices: Choices | None = None,
    *,
    range: Range | None = None,
    **details: Any,
) -> Any:
    """Declare a field that the command line offers as ``-<field>``.

    Args:
        default: ``...`` if the option is required.
        help: without the default, which is added.
        choices: the valid values.
        range: the valid numbers.
        details: other attributes of :class:`Option`.
    """
    metadata = {"help": help, "choices": choices, "range": range, **details}
    if default is ...:
        return dataclasses.field(metadata=metadata)
    if isinstance(default, list | dict):
        return dataclasses.field(default_factory=default.copy, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


class Option(NamedTuple):
    """An option as :func:`option` and the annotation of its field declare it.

    Attributes:
        field: name of the dataclass' field.
        name: on the command line.
        value_type: of the value, or of each item of a list.
        is_list: whether it takes a list.
        metavar: see argparse; FILE and PATH mark options that name files.
        short: a second name, with one dash.
        exclusive: a group of options of which at most one may be given.
    """

    field: str
    name: str
    value_type: type
    is_list: bool
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
        """Return the valid values of an option with choices."""
        assert self.choices is not None
        return self.choices() if callable(self.choices) else self.choices

    def check(self, value: Any, file: str = "") -> None:
        """Raise :class:`UserError` if ``value``, read from a YAML ``file`` if named, is wrong."""
        label = f"{file}: {self.name}" if file else f"-{self.name}"
        if value is None and self.default is None and not self.required:
            return
        expected = "a list, each " * self.is_list + EXPECTED.get(self.value_type, "")
        items = value if self.is_list else [value]
        if not (isinstance(items, list | tuple) and items) or not all(map(self._has_type, items)):
            raise UserError(f"{label} {value!r}: expected {expected}; {self.help}")
        for item in items:
            if self.range is not None and item not in self.range:
                raise UserError(f"{label} {value}: expected {self.range}")
            if self.choices is not None and item not in (valid := self.valid()):
                concept = self.name.replace("_", " ") + (f" in {file}:" if file else "")
                raise unknown_name(concept, item, valid)

    def _has_type(self, value: Any) -> bool:
        wider: dict[type, Any] = {int: Integral, float: int | float, Path: str | Path}
        if self.value_type not in EXPECTED:
            return True
        is_bool, expected = isinstance(value, bool), wider.get(self.value_type, self.value_type)
        return isinstance(value, expected) and is_bool == (self.value_type is bool)

    def add_to(self, parser: argparse._ActionsContainer) -> None:
        """Add the option to a ``parser`` or a group, with one dash and two, as OpenNMT-py does."""
        keywords = {"help": self.help.replace("%", "%%"), "default": self.default}
        if self.value_type is bool:
            keywords["action"] = "store_true"
        else:
            keywords |= {"type": self.value_type, "metavar": self.metavar}
            if self.is_list:
                keywords["nargs"] = "+"
            if self.choices is not None and self.metavar is None:
                keywords["choices"] = self.valid()
        if self.positional:
            parser.add_argument(self.name, **keywords)
        else:
            names = [f"-{self.name}", f"--{self.name}", *([f"-{self.short}"] if self.short else [])]
            parser.add_argument(*names, required=self.required, **keywords)


EXPECTED: dict[type, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Path: "a path",
    dict: "'option: value' lines",
}


@dataclass(frozen=True)
class Config:
    """Base class of options, which checks them; subclasses declare theirs with :func:`option`.

    The docstring of a subclass is the description of its command; its last paragraph is an example.
    """

    def __post_init__(self) -> None:
        for declaration in declared(type(self)).values():
            declaration.check(getattr(self, declaration.field))


C = TypeVar("C", bound=Config)


def declared(config: type[Config]) -> dict[str, Option]:
    """Return the options of ``config`` by name: first the required, then its own, then others."""
    hints = get_type_hints(config)
    own = vars(config).get("__annotations__", {})
    options = []
    for field in dataclasses.fields(config):
        hint = hints[field.name]
        if type(None) in get_args(hint):
            hint = next(part for part in get_args(hint) if part is not type(None))
        is_list = get_origin(hint) is list
        value_type = get_args(hint)[0] if is_list else get_origin(hint) or hint
        factory = field.default_factory
        default = field.default if factory is dataclasses.MISSING else factory()
        required = default is dataclasses.MISSING
        details = {"name": field.name, "default": None if required else default, **field.metadata}
        options.append(
            Option(field.name, value_type=value_type, is_list=is_list, required=required, **details)
        )
    return {o.name: o for o in sorted(options, key=lambda o: (not o.required, o.field not in own))}


def from_options(config: type[C], options: Any) -> C:
    """Return a ``config`` of the values in the namespace ``options``; None means the default."""
    values = {o.field: getattr(options, name, None) for name, o in declared(config).items()}
    return config(**{field: value for field, value in values.items() if value is not None})


def from_mapping(config: type[C], values: Mapping[str, Any], file: str) -> C:
    """Return a ``config`` of the ``values`` in a YAML ``file``, which errors name."""
    options = declared(config)
    for key, value in values.items():
        if key not in options:
            raise unknown_name(f"key in {file}", str(key), options)
        options[key].check(value, file)
    for key, declaration in options.items():
        if declaration.required and key not in values:
            raise UserError(f"{file}: {key} is missing: {declaration.help}")
    return config(**values)


class Formatter(argparse.ArgumentDefaultsHelpFormatter):
    """Adds the default to the help of an option that has one and does not name it."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        without = any(action.default is value for value in (None, False, ""))
        complete = without or "(default" in f"{action.help}"
        return action.help if complete else super()._get_help_string(action)


class Strict:
    """A mix-in for parsers: errors are :class:`UserError`, and no option is abbreviated.

    Attributes:
        listed: where errors say that the options are listed; None for in the error itself.
    """

    _actions: list[argparse.Action]
    listed: str | None = None

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=Formatter, **kwargs)  # type: ignore[call-arg]

    def error(self, message: str) -> NoReturn:
        """Raise :class:`UserError` with ``message``."""
        raise UserError(message)

    def parse_known_args(self, *args: Any, **kwargs: Any) -> Any:
        """Parse words; an unknown option is an error that names the nearest one."""
        parsed, unknown = super().parse_known_args(*args, **kwargs)  # type: ignore[misc]
        for word in unknown:
            if word.strip("-") and word.startswith("-"):
                option = word.split("=")[0].lstrip("-")
                raise unknown_name("option", option, self.names(), self.listed)
            raise UserError(f"unexpected word {word!r} on the command line")
        return parsed, unknown

    def _get_option_tuples(self, option_string: str) -> list[Any]:
        """Refuse abbreviations; ``allow_abbrev`` refuses only those with two dashes."""
        return []

    def names(self) -> set[str]:
        """Return every option name, without dashes."""
        return {s.lstrip("-") for a in self._actions for s in a.option_strings}


class Parser(Strict, argparse.ArgumentParser):
    """The parser of a command without options of OpenNMT-py, made from a :class:`Config`."""

    def __init__(self, config: type[Config], details: str = "", **kwargs: Any) -> None:
        text = " ".join(f"{inspect.getdoc(config)}".split())
        description, _, example = text.partition(" example: ")
        epilog = f"example: {example}"
        super().__init__(description=f"{description} {details}".strip(), epilog=epilog, **kwargs)
        groups: dict[str | None, argparse._ActionsContainer] = {None: self}
        for declaration in declared(config).values():
            if declaration.exclusive not in groups:
                groups[declaration.exclusive] = self.add_mutually_exclusive_group()
            declaration.add_to(groups[declaration.exclusive])


def parse(command: str, config: type[C], argv: list[str], details: str = "") -> C:
    """Return the options of ``onmt_lattice command``; ``details`` are added to its description."""
    parser = Parser(config, details, prog=f"onmt_lattice {command}")
    options = from_options(config, parser.parse_args(argv))
    _check_distinct_files(options)
    return options


def _check_distinct_files(options: Config) -> None:
    """Refuse an output that would replace a file which another option reads or writes.

    The PATH of an output is a folder, which may not exist yet, where there are several models.
    """
    users: dict[str, str] = {}
    models = getattr(options, "model", None)
    several = isinstance(models, list) and len(models) > 1
    for declaration in sorted(declared(type(options)).values(), key=lambda o: o.name in OUTPUTS):
        name, metavar = declaration.name, declaration.metavar
        value = getattr(options, declaration.field)
        for path in value if isinstance(value, list) else [value]:
            if path in (None, STANDARD) or metavar not in ("FILE", "PATH"):
                continue
            file = real_file(path, name)
            user = users.setdefault(file, name)
            is_folder = os.path.isdir(file) or (metavar == "PATH" and several)
            if name in OUTPUTS and user != name and (os.path.isfile(file) or not is_folder):
                raise same_file(name, path, user)


def real_file(path: str, name: str) -> str:
    """Return the file at ``path``, of the option ``name``: a model may be an exported folder."""
    file = os.path.realpath(path)
    return os.path.join(file, EXPORTED) if name == "model" and os.path.isdir(file) else file


def same_file(name: str, path: str, user: str) -> UserError:
    """Return the error for an output ``path`` that the option ``user`` names as well."""
    return UserError(f"-{name} {path}: is -{user} as well; expected another file")
