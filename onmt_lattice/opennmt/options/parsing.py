"""Strict reading of YAML and command line: unknown and abbreviated options are errors."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml
from onmt.utils.parse import ArgumentParser

from onmt_lattice.config import Strict
from onmt_lattice.errors import UserError, error_prefix, read_errors, unknown_name

LISTED = "--help lists the options"  # there are hundreds


class StrictParser(Strict, ArgumentParser):
    """OpenNMT-py's parser, made strict."""

    listed = LISTED


MAX_VALUES = 10**5  # of a YAML file, counted again wherever an alias repeats them
YAML_ERRORS = (yaml.YAMLError, ValueError, RecursionError)  # of PyYAML, for invalid YAML


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, strict about keys, with the same ``<<`` in all its releases.

    A key that is given twice is refused. A key beside ``<<`` overrides a merged one, and an earlier
    mapping of a list a later one, as YAML defines it.
    """

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)
        self._sizes: dict[yaml.Node, int] = {}

    def compose_node(self, parent: Any, index: Any) -> yaml.Node:
        """Return the node; refuse one that aliases make too large."""
        node = super().compose_node(parent, index)
        assert node is not None
        if node not in self._sizes and isinstance(node, yaml.CollectionNode):
            is_mapping = isinstance(node, yaml.MappingNode)
            parts = [part for pair in node.value for part in pair] if is_mapping else node.value
            self._sizes[node] = size = 1 + sum(self._sizes.get(part, 1) for part in parts)
            if size > MAX_VALUES:
                raise UserError(
                    f"-config {self.name}: line {node.start_mark.line + 1} holds more than "
                    f"{MAX_VALUES:,} values, as aliases repeat one another"
                )
        return node

    def compose_scalar_node(self, anchor: Any) -> yaml.ScalarNode:
        """Return the value; refuse a NUL in it, which no path can have."""
        node = super().compose_scalar_node(anchor)
        if "\0" in node.value:
            raise UserError(
                f"-config {self.name}: line {node.start_mark.line + 1} has a NUL character in a "
                f"value; remove it"
            )
        return node

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Return the mapping with its merged keys written out; refuse a repeated key."""
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise UserError(
                    f"-config {self.name}: {key.value} is given twice in one place, again in line "
                    f"{key.start_mark.line + 1}; keep one of them"
                )
            seen.add(key.value)
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
            else:  # the last of equal keys counts
                merged += [pair for source in reversed(sources) for pair in source.value]
        last = {
            (key.tag, key.value) if isinstance(key, yaml.ScalarNode) else key: (key, value)
            for key, value in merged
        }
        node.value = [*last.values(), *own]
        return node


_MERGE = "tag:yaml.org,2002:merge"


def _sources(value: yaml.Node) -> list[yaml.MappingNode] | None:
    """Return the mappings that a ``<<`` names, or None, which PyYAML will refuse."""
    nodes = value.value if isinstance(value, yaml.SequenceNode) else [value]
    return nodes if all(isinstance(node, yaml.MappingNode) for node in nodes) else None


def read_config(path: Path, above: tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return the settings of a YAML file over those of its ``base``, relative to the file.

    ``above`` are the files of which this is a base.
    """
    if path.resolve() in above:
        raise UserError(f"-config {path}: is its own 'base'")
    with (
        read_errors(f"-config {path}"),
        error_prefix(f"-config {path}: not valid YAML", YAML_ERRORS),
        open(path, encoding="utf-8") as file,
    ):
        settings = yaml.load(file, _Loader)
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
            raise unknown_name(f"option in {path}", str(key), valid, LISTED)
        if value is None:
            raise UserError(f"{path}: {key}: expected a value; leave the line out for the default")


def parse(
    make_parser: Callable[[], StrictParser],
    argv: list[str],
    also_in_config: Iterable[Callable[[], StrictParser]] = (),
    ignored_in_config: frozenset[str] = frozenset(),
) -> Namespace:
    """Parse ``argv`` and the YAML file of its ``-config``.

    Args:
        make_parser: builds the parser.
        argv: the words behind the subcommand.
        also_in_config: parsers whose options the YAML file may have; they are ignored.
        ignored_in_config: options of ``make_parser`` that are ignored in the YAML file.
    """
    parser = make_parser()
    path, rest = _take_config(argv)
    settings: dict[str, Any] = {}
    if path is not None and not {"-h", "--help"} & set(rest):
        settings = read_config(path)
        valid = parser.names().union(*(make().names() for make in also_in_config))
        check_keys(path, settings, valid)
        names = parser.names() - ignored_in_config
        # YAML is parsed as a command line, which cannot have an empty list.
        settings = {
            k: v
            for k, v in settings.items()
            if k in names and not (v == [] == parser.get_default(k))
        }
        # A flag that is false in YAML is left out; one that is true by default must become false.
        parser.set_defaults(**{k: False for k, v in settings.items() if v is False})
    try:
        opt = parser.parse_args(
            rest, config_file_contents=yaml.safe_dump(settings, sort_keys=False), env_vars={}
        )
    except (AssertionError, ValueError) as error:  # no package for an option, or no -save_config
        raise UserError(str(error)) from error
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
        value = value if equals else next(words, "")
        if not value:
            raise UserError("-config: expected a path behind it")
        path = Path(value)
    return path, rest
