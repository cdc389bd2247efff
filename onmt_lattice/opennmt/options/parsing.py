"""Reading YAML and command line strictly: nothing unknown, misspelled or abbreviated passes."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml
from onmt.utils.parse import ArgumentParser

from onmt_lattice.config import Strict
from onmt_lattice.errors import UserError, unknown_name


class StrictParser(Strict, ArgumentParser):
    """OpenNMT-py's parser, made strict."""


MOST_VALUES = 10**5  # of a YAML file, each counted wherever an alias repeats it
YAML_ERRORS = (yaml.YAMLError, ValueError, RecursionError)  # of PyYAML, for what is no valid YAML


class _Loader(yaml.SafeLoader):
    """YAML's safe loader, strict about keys and with one rule for ``<<`` whatever its version.

    Of two equal keys in one place it would let the last win, and here refuses them. A key written
    beside ``<<`` goes before a merged one, and an earlier mapping of a list before a later one, as
    YAML's merge key has it; releases of PyYAML differ in that, so it is settled before they see it.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._sizes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: Any, index: Any) -> yaml.Node:
        """Return the node, refusing one that aliases make larger than anyone has written."""
        node = super().compose_node(parent, index)
        assert node is not None
        if node not in self._sizes and isinstance(node, yaml.CollectionNode):
            pairs = isinstance(node, yaml.MappingNode)
            inner = [each for pair in node.value for each in pair] if pairs else node.value
            self._sizes[node] = size = 1 + sum(self._sizes.get(each, 1) for each in inner)
            if size > MOST_VALUES:
                raise UserError(
                    f"-config {self.name}: line {node.start_mark.line + 1} holds more than "
                    f"{MOST_VALUES:,} values, as aliases repeat one another"
                )
        return node

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        """Return the value, which no path could hold with a NUL in it, and no text should."""
        node = super().compose_scalar_node(anchor)
        if "\0" in node.value:
            raise UserError(
                f"-config {self.name}: line {node.start_mark.line + 1} has a NUL character in a "
                f"value; remove it"
            )
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Return the mapping, after a look at its keys, with what it merges written out."""
        node = super().compose_mapping_node(anchor)
        self._refuse_repetition(node)
        merged: list[tuple[yaml.Node, yaml.Node]] = []
        own = []
        for key, value in node.value:
            sources = _sources(value) if key.tag == _MERGE else None
            if sources is None:
                own.append((key, value))
            elif any(source is node or source.end_mark is None for source in sources):
                raise UserError(
                    f"-config {self.name}: line {key.start_mark.line + 1} merges a mapping into "
                    f"itself; merge one that is complete before it"
                )
            else:  # of equal keys the last is read
                merged += [pair for source in reversed(sources) for pair in source.value]
        last = {
            (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else key: (key, value)
            for key, value in merged
        }
        node.value = [*last.values(), *own]
        return node

    def _refuse_repetition(self, node: yaml.MappingNode) -> None:
        """Raise :class:`UserError` for a key that is written twice."""
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise UserError(
                    f"-config {self.name}: {key.value} is given twice in one place, again in line "
                    f"{key.start_mark.line + 1}; keep one of them"
                )
            seen.add(key.value)


_MERGE = "tag:yaml.org,2002:merge"


def _sources(value: yaml.Node) -> list[yaml.MappingNode] | None:
    """Return the mappings that a ``<<`` names, or None for what PyYAML will refuse."""
    nodes = value.value if isinstance(value, yaml.SequenceNode) else [value]
    return nodes if all(isinstance(node, yaml.MappingNode) for node in nodes) else None


def read_config(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return the settings of a YAML file, those of the file its ``base`` names beneath.

    ``base`` is relative to the file that names it; ``above`` are the files that led here.
    """
    if path.resolve() in above:
        raise UserError(f"-config {path}: is its own 'base'")
    try:
        with open(path, encoding="utf-8") as file:
            settings = yaml.load(file, _Loader)
    except OSError as error:
        raise UserError(f"-config {path}: cannot be read ({error.strerror})") from error
    except YAML_ERRORS as error:
        raise UserError(f"-config {path}: not valid YAML: {error}") from error
    if settings is None:
        settings = {}
    if not isinstance(settings, dict):
        raise UserError(
            f"-config {path}: expected 'option: value' lines, got a {type(settings).__name__}"
        )
    base = settings.pop("base", None)
    if base is None:
        return settings
    if not isinstance(base, str):
        raise UserError(f"-config {path}: base {base!r}: expected the path of one YAML file")
    return {**read_config(path.parent / base, (*above, path.resolve())), **settings}


def check_keys(path: Path, settings: dict[str, Any], valid: set[str]) -> None:
    """Raise :class:`UserError` for the first key that is no option or has no value."""
    for key, value in settings.items():
        if key not in valid:
            raise _unknown(f"option in {path}", str(key), valid)
        if value is None:
            raise UserError(f"{path}: {key}: expected a value; leave the line out for the default")


def _unknown(kind: str, name: str, valid: Iterable[str]) -> UserError:
    """Return the error for an unknown option; the hundreds of valid ones are in ``--help``."""
    message = str(unknown_name(kind, name, valid)).split(" (valid:")[0]
    return UserError(f"{message} (--help lists the options)")


def parse(
    make_parser: Callable[[], StrictParser],
    argv: list[str],
    also_in_config: Iterable[Callable[[], StrictParser]] = (),
    not_of_config: frozenset[str] = frozenset(),
) -> Namespace:
    """Parse ``argv`` and the YAML file that its ``-config`` names.

    Args:
        make_parser: builds the parser.
        argv: the words behind the subcommand.
        also_in_config: parsers whose options may stand in the YAML file too, and are ignored.
        not_of_config: options of ``make_parser`` that mean those of another parser in a YAML file.
    """
    parser = make_parser()
    path, rest = _take_config(argv)
    settings: dict[str, Any] = {}
    if path is not None and not {"-h", "--help"} & set(rest):
        settings = read_config(path)
        valid = parser.names().union(*(make().names() for make in also_in_config))
        check_keys(path, settings, valid)
        names = parser.names() - not_of_config
        # YAML is read as if it stood on the command line, which has no way to say an empty list.
        settings = {
            k: v
            for k, v in settings.items()
            if k in names and not (v == [] == parser.get_default(k))
        }
        # A flag that is false in YAML is not set; one that is true by default has to be told.
        parser.set_defaults(**{k: False for k, v in settings.items() if v is False})
    try:
        opt, unknown = parser.parse_known_args(
            rest, config_file_contents=yaml.safe_dump(settings, sort_keys=False), env_vars={}
        )
    except AssertionError as error:  # such as for an optional package of OpenNMT-py's
        raise UserError(str(error)) from error
    for word in unknown:
        if word.startswith("-"):
            raise _unknown("option", word.split("=")[0].lstrip("-"), parser.names())
        raise UserError(f"unexpected word {word!r} on the command line; options start with '-'")
    opt.config = None if path is None else str(path)
    return opt


def _take_config(argv: list[str]) -> tuple[Path | None, list[str]]:
    """Split ``-config FILE`` off ``argv``."""
    path, rest, words = None, [], iter(argv)
    for word in words:
        name, equals, value = word.partition("=")
        if name not in ("-config", "--config"):
            rest.append(word)
            continue
        if path is not None:
            raise UserError("-config is given twice; let one file name the other as its 'base'")
        path = Path(value if equals else next(words, ""))
        if path == Path(""):
            raise UserError("-config: expected a path behind it")
    return path, rest
