"""Options as they are declared: what holds for those of every command, bottleneck and sweep."""

from __future__ import annotations

import importlib
import math
import pkgutil
from typing import Any

import pytest

import onmt_lattice
from onmt_lattice.cli.compress import CompressOptions
from onmt_lattice.config import Config, declared, parse
from onmt_lattice.errors import UserError
from onmt_lattice.opennmt.options.commands import EncodeOptions


def subclasses(cls: type[Config]) -> list[type[Config]]:
    return [found for sub in cls.__subclasses__() for found in (sub, *subclasses(sub))]


for found in pkgutil.walk_packages(onmt_lattice.__path__, "onmt_lattice."):
    if ".kernels" not in found.name and "__main__" not in found.name:
        importlib.import_module(found.name)
CONFIGS = {f"{c.__module__}.{c.__name__}": c for c in subclasses(Config)}


@pytest.mark.parametrize("name", CONFIGS)
def test_every_number_has_a_range_which_holds_its_default_and_nothing_outside(name: str) -> None:
    for each in declared(CONFIGS[name]).values():
        if each.value_type not in (int, float):
            continue
        assert each.range is not None, each.name
        if each.default is not None:
            each.check(each.default)
        edges = [edge for edge in (each.range.low - 1, each.range.high + 1) if math.isfinite(edge)]
        wrong: list[Any] = [each.value_type(edge) for edge in edges if edge not in each.range]
        wrong += ["1", math.nan, math.inf, True]
        for value in wrong:
            with pytest.raises(UserError, match=rf"^-{each.name} .*: expected "):
                each.check([value] if each.is_list else value)


GOOD = ["-model", "m", "-src", "s", "-output", "o"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-seed", "-1"], "-seed -1: expected at least 0 and at most 4294967295"),
        (["-seed", "nan"], "argument -seed/--seed: invalid int value: 'nan'"),
        (["-alnoe"], "unknown option 'alnoe'; did you mean 'alone'?"),
        (["--batch_siz=1"], "unknown option 'batch_siz'; did you mean 'batch_size'?"),
        (["-batch_siz", "1"], "unknown option 'batch_siz'; did you mean 'batch_size'?"),
        (["word"], "unexpected word 'word' on the command line"),
        (["--", "-gpu", "0"], "unexpected word '--'"),
        (["-gpu", "-2"], "-gpu -2: expected at least 0 and at most 2147483647, or -1 for the CPU"),
    ],
)
def test_a_command_line_is_read_strictly(words: list[str], said: str) -> None:
    with pytest.raises(UserError) as error:
        parse("compress", CompressOptions, [*GOOD, *words])
    assert said in str(error.value)
    with pytest.raises(UserError, match="-continuous: not allowed with argument -points"):
        parse("encode", EncodeOptions, [*GOOD, "-points", "-continuous"])
    with pytest.raises(UserError, match="required: -model/--model, -src/--src, -output/--output"):
        parse("compress", CompressOptions, [])
