#!/usr/bin/env python3
"""Write docs/api.md: the public names of the library, from their docstrings."""

from __future__ import annotations

import argparse
import importlib
import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

PAGE = Path(__file__).parent.parent / "docs" / "api.md"
PACKAGES = ("lattices", "codes", "bottlenecks", "bitstream")
HEAD = """\
# The library

The public names of `onmt_lattice.lattices`, `onmt_lattice.codes`, `onmt_lattice.bottlenecks` and
`onmt_lattice.bitstream`, each of which imports only from those before it. Written from the
docstrings by `scripts/make_api_page.py`; [library.md](library.md) has an example.
"""


def page() -> str:
    """Return the page."""
    parts = (_package(importlib.import_module(f"onmt_lattice.{name}")) for name in PACKAGES)
    return "\n".join([HEAD, *parts])


def _package(module: ModuleType) -> str:
    names = (_entry(f"### `{name}", getattr(module, name)) for name in module.__all__)
    return "\n".join([f"## {module.__name__}\n", f"{_text(module)}\n", *names])


def _entry(title: str, value: object) -> str:
    """Return a class with its own public methods, or a function."""
    parts = [f"{title}{_signature(value)}`\n", f"{_text(value)}\n"]
    if inspect.isclass(value):
        parts += [_entry(f"#### `{value.__name__}.{n}", member) for n, member in _members(value)]
    return "\n".join(parts)


def _members(cls: type) -> Iterator[tuple[str, object]]:
    """Yield the public methods and properties that ``cls`` defines and describes."""
    for name, member in vars(cls).items():
        function = getattr(member, "__func__", member)
        described = inspect.isfunction(function) or isinstance(function, property)
        if described and not name.startswith("_") and function.__doc__:
            yield name, function


def _signature(value: object) -> str:
    if not callable(value):
        return ""
    if inspect.isclass(value) and issubclass(value, Exception):
        return "(message)"
    # Python 3.14 writes names in quotes where older ones write ForwardRef('name').
    text = re.sub(r"ForwardRef\(('[^']*')\)", r"\1", str(inspect.signature(value)))
    text = re.sub(r"(: |-> )'([^']*)'", r"\1\2", text)
    return re.sub(r"\((self|cls)(, )?", "(", text).removesuffix(" -> None")


def _text(value: object) -> str:
    """Return a docstring as Markdown: roles as code, sections in bold, their items as a list."""
    text = re.sub(r":\w+:`(~[\w.]+\.)?([^`]+)`", r"`\2`", inspect.getdoc(value) or "")
    text = text.replace("``", "`")
    text = re.sub(r"^    (?=\S)", "- ", text, flags=re.M)  # an item
    text = re.sub(r"^        +(?=\S)", "  ", text, flags=re.M)  # how it goes on
    return re.sub(r"^(Args|Attributes|Raises|Returns|Yields):$", r"**\1**\n", text, flags=re.M)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    PAGE.write_text(page(), encoding="utf-8")
