"""Names, their registries and ranges of numbers: the good ones for a bad one."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from onmt_lattice.bottlenecks import Bottleneck, base, bottlenecks, make_bottleneck
from onmt_lattice.config import Range
from onmt_lattice.errors import UserError, unknown_name
from onmt_lattice.noise import StreamNoise

# ---- bottlenecks of other packages --------------------------------------------------------------

BUILT_IN = bottlenecks()


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> dict[str, type[Bottleneck]]:
    """Return a copy of the registry, to be changed by one test alone."""
    copy = dict(base._BOTTLENECKS.classes)
    monkeypatch.setattr(base._BOTTLENECKS, "classes", copy)
    return copy


EXTENSION = """
import dataclasses, math, torch
from onmt_lattice.config import COUNT
from onmt_lattice.bottlenecks import (
    Bottleneck, BottleneckConfig, BottleneckOutput, option, register_bottleneck
)

@dataclasses.dataclass(frozen=True)
class HalvingConfig(BottleneckConfig):
    divisor: int = option(2, "what X is divided by", range=COUNT)

class Halving(Bottleneck):
    name = "halving"
    summary = "a part of X at a bit a number"
    Config = HalvingConfig

    def __init__(self, input_dim, config):
        super().__init__(input_dim, config)
        self.divisor = config.divisor

    def relaxed(self, x, noise):
        rate = torch.full((len(x),), self.dim * math.log(2), dtype=torch.double)
        return BottleneckOutput(self.map_out(self.map_in(x) / self.divisor), rate, None)

    quantized = relaxed

class Usurper(Halving):
    name = "gaussian"

@register_bottleneck
class Both(Halving):
    name = "both"

number = 3
"""


def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *entries: str) -> None:
    """Put a package on the path whose entry points are ``entries``."""
    module = f"extension_{tmp_path.name.replace('-', '_')}"
    (tmp_path / f"{module}.py").write_text(EXTENSION)
    info = tmp_path / "extension-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: extension\nVersion: 1.0\n")
    lines = "\n".join(entry.format(module=module) for entry in entries)
    (info / "entry_points.txt").write_text(f"[{base.ENTRY_POINT_GROUP}]\n{lines}\n")
    monkeypatch.syspath_prepend(tmp_path)


def test_an_installed_package_adds_its_bottleneck(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: dict[str, type[Bottleneck]]
) -> None:
    install(tmp_path, monkeypatch, "halving = {module}:Halving", "both = {module}:Both")
    for _ in range(2):
        assert bottlenecks().keys() - {"both", "halving"} == BUILT_IN.keys()
        assert {"both", "halving"} < bottlenecks().keys()
    third, x = make_bottleneck("halving", 4, divisor=4), torch.ones(2, 4)
    torch.testing.assert_close(third(x, StreamNoise()).output, x / 4)
    with pytest.raises(UserError, match="-divisor 0: expected at least 1"):
        make_bottleneck("halving", 4, divisor=0)
    with pytest.raises(UserError, match="did you mean 'halving'"):
        make_bottleneck("halfing", 4)


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        ("gaussian = {module}:Usurper", "'gaussian' is registered already"),
        ("mine = {module}:Usurper", "'gaussian' is registered already"),
        ("mine = {module}:Missing", "has no attribute 'Missing'"),
        ("mine = no_such_module:Mine", "No module named 'no_such_module'"),
        ("mine = {module}:number", "3 is not a subclass of"),
    ],
)
def test_an_installed_package_that_cannot_be_used_is_named(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    registry: dict[str, type[Bottleneck]],
    entry: str,
    why: str,
) -> None:
    install(tmp_path, monkeypatch, entry)
    with pytest.raises(UserError) as error:
        make_bottleneck("gaussian", 4)
    name = entry.split(" ")[0]
    assert f"the installed bottleneck {name!r} (" in str(error.value)
    assert why in str(error.value) and "mend or uninstall the package" in str(error.value)


LATTICES = ("Z", "Leech", "E8", "A2")


@settings(derandomize=True, deadline=None)
@given(name=st.text(max_size=20), valid=st.sets(st.text(max_size=8), max_size=6))
def test_any_suggestion_is_a_valid_name(name: str, valid: set[str]) -> None:
    for near in ("leech", "LEECH", "Leach", "Lech"):
        assert "did you mean 'Leech'?" in str(unknown_name("lattice", near, LATTICES))
    message = str(unknown_name("name", name, valid))
    assert message.startswith(f"unknown name {name!r}")
    assert message.endswith(f"(valid: {', '.join(sorted(valid))})")
    hint = message[len(f"unknown name {name!r}") : -len(f" (valid: {', '.join(sorted(valid))})")]
    assert hint in {"", *(f"; did you mean {v!r}?" for v in valid)}


@pytest.mark.parametrize(
    ("allowed", "inside", "outside", "said"),
    [
        (Range(1, 3), [1, 3], [0, 4, float("nan")], "at least 1 and at most 3"),
        (Range(0, above=True), [1e-9], [0, -1, float("inf")], "above 0 and finite"),
        (Range(0, 1, below=True), [0, 0.5], [1, -0.1], "at least 0 and below 1"),
        (Range(), [-1e300, 0], [float("nan"), float("-inf")], "a finite number"),
        (
            Range(1, also=(-1,), meaning="none"),
            [-1, 1],
            [0, -2],
            "at least 1 and finite, or -1 for none",
        ),
    ],
)
def test_a_range(allowed: Range, inside: list[float], outside: list[float], said: str) -> None:
    assert all(value in allowed for value in inside)
    assert not any(value in allowed for value in outside)
    assert str(allowed) == said
