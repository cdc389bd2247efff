"""The outcome of an evaluation: JSON and back, table, the entropy law's verdict."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from onmt_lattice.errors import UserError
from onmt_lattice.evaluation.codebook import Codebooks, codebook_usage
from onmt_lattice.evaluation.result import (
    FORMAT,
    Bits,
    Entropy,
    Evaluation,
    Mean,
    Reconstruction,
    perplexity,
)

PLAIN = Evaluation(
    model="runs/gaussian_step_300.safetensors",
    run="runs/gaussian",
    step=300,
    rate_weight=0.25,
    bottleneck="lattice",
    settings={"lattice": "E8", "bottleneck_dim": 0},
    label="lattice E8",
    is_code=True,
    text="valid.en",
    sentences=10,
    empty_lines=2,
    words=80,
    tokens=100,
    unknown_tokens=3,
    seed=7,
    nll=Bits(1.5, 1.875, 15.0),
    rate=Bits(2.0, 2.5, 20.0),
    total=Bits(3.5, 4.375, 35.0),
    relaxed_rate=Bits(2.125, 2.65625, 21.25),
    rate_difference_bits_sentence=Mean(-1.25, 0.75),
    perplexity=2**1.5,
    token_accuracy=0.625,
    dim=8,
)
FULL = dataclasses.replace(
    PLAIN,
    codebooks=Codebooks(4, 3.5, 1.25, 0.0625),
    entropy=Entropy(30.0, 3.75, Mean(5.0, 0.5), 9),
    reconstruction=Reconstruction(1, 41.5, 63.25, 0.3, "nrefs:1|tok:none"),
)


def written(values: Any, tmp_path: Path) -> Path:
    path = tmp_path / "evaluation.json"
    path.write_text(json.dumps(values), encoding="utf-8")
    return path


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as error:
        Evaluation.read(path)
    assert str(error.value).startswith(f"{path}: ")
    return str(error.value)


@pytest.mark.parametrize("evaluation", [PLAIN, FULL])
def test_what_is_written_is_read_again(evaluation: Evaluation, tmp_path: Path) -> None:
    path = tmp_path / "results" / "evaluation.json"
    evaluation.write(path)
    assert Evaluation.read(path) == evaluation


def test_the_file_is_json_to_any_reader_that_keeps_to_the_standard(tmp_path: Path) -> None:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    one = dataclasses.replace(PLAIN, rate_difference_bits_sentence=Mean.of([2.5]))
    one.write(tmp_path / "e.json")
    values = json.loads((tmp_path / "e.json").read_text(), parse_constant=refuse)
    assert values["format"] == FORMAT and values["nll"]["token"] == 1.5
    assert values["rate_difference_bits_sentence"] == {"mean": 2.5, "standard_error": None}


def test_a_foreign_or_an_older_format_is_refused(tmp_path: Path) -> None:
    for values in ([], 3, None, "text", {}, {"format": FORMAT - 1}, {"format": FORMAT + 1}):
        message = refusal(written(values, tmp_path))
        assert f"not an evaluation of format {FORMAT}; run evaluate again" in message


def damage(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Return FULL as JSON with ``value`` at ``path``, or without it where that is ``...``."""
    values: dict[str, Any] = {"format": FORMAT, **dataclasses.asdict(FULL)}
    inner = values
    for key in path[:-1]:
        inner = inner[key]
    if value is ...:
        del inner[path[-1]]
    else:
        inner[path[-1]] = value
    return values


def test_a_damaged_evaluation_is_refused(tmp_path: Path) -> None:
    required = [f.name for f in dataclasses.fields(Evaluation) if f.default is dataclasses.MISSING]
    places: list[tuple[tuple[str, ...], Any]] = [((key,), ...) for key in required]
    places += [(("extra",), 1), (("nll",), 3.5), (("nll", "token"), ...), (("nll", "token"), "1")]
    places += [(("settings",), []), (("entropy", "excess_bits_sentence"), ...)]
    places += [(("rate_difference_bits_sentence",), [0.0, 1.0])]
    for path, value in places:
        message = refusal(written(damage(path, value), tmp_path))
        assert f"not an evaluation of format {FORMAT}" in message
        assert len(path) > 1 or value is not ... or repr(path[0]) in message


def test_a_mean_and_its_standard_error() -> None:
    got = Mean.of([1.0, 2.0, 3.0, 6.0])
    assert got.mean == 3.0
    assert got.standard_error == pytest.approx(math.sqrt((4 + 1 + 0 + 9) / 3 / 4))
    assert Mean.of([4.0]) == Mean(4.0, None)
    spread = [1e9 + v for v in (0.0, 1.0, 2.0)]  # which does not cancel
    assert Mean.of(spread).standard_error == pytest.approx(math.sqrt(1 / 3))


@pytest.mark.parametrize(
    ("mean", "error", "holds"),
    [
        (0.0, 0.0, True),
        (5.0, 0.1, True),
        (-0.3999, 0.1, True),
        (-0.4001, 0.1, False),
        (-1e-9, 0.0, False),
        (-50.0, None, True),  # a single sentence may be luckier than the mean
        (math.nan, 0.1, False),
    ],
)
def test_the_law_holds_down_to_four_standard_errors(
    mean: float, error: float | None, holds: bool
) -> None:
    assert Entropy(30.0, 3.75, Mean(mean, error), 9).holds is holds


def test_the_table_of_everything() -> None:
    for part in (
        "codebooks: perplexity 3.50 of 4 (lowest 1.25), 6.2 % of the entries unused",
        "NLL exceeds it by 5.0000 ± 0.5000 bits per sentence: the law holds",
        "reconstruction (greedy): BLEU 41.50, chrF 63.25, 30.00 % exact",
    ):
        assert part in FULL.table() and part not in PLAIN.table()
    for change, said in (
        ({"rate_difference_bits_sentence": Mean(2.5, None)}, "2.5000 ± ? bits per sentence"),
        ({"entropy": Entropy(30.0, 3.75, Mean(-5.0, 0.5), 9)}, "law BROKEN: the accounting is"),
        ({"reconstruction": Reconstruction(5, 41.5, 63.25, 0.3, "")}, "struction (beam of 5): "),
    ):
        assert said in dataclasses.replace(PLAIN, **change).table()


def test_the_perplexity_of_a_diverged_model_is_infinite_and_is_read_back(tmp_path: Path) -> None:
    assert perplexity(10.5) == 2**10.5 and perplexity(1024) == perplexity(1e9) == math.inf
    diverged = dataclasses.replace(PLAIN, perplexity=perplexity(5000))
    diverged.write(tmp_path / "e.json")
    assert Evaluation.read(tmp_path / "e.json").perplexity == math.inf
    assert "perplexity inf" in diverged.table()


def summary(symbols: list[list[int]], entries: int) -> Codebooks:
    return codebook_usage(torch.tensor(symbols), entries)


def test_perplexity_is_exp_of_the_entropy_meaned_over_the_codebooks() -> None:
    got = summary([[0, 1], [0, 1], [1, 1], [0, 1]], 2)
    skewed = math.exp(-(0.75 * math.log(0.75) + 0.25 * math.log(0.25)))
    assert got.perplexity == pytest.approx((skewed + 1) / 2)
    assert got.lowest_perplexity == pytest.approx(1)
    assert got.unused == 1 / 4


@settings(derandomize=True, deadline=None, max_examples=50)
@given(
    entries=st.integers(2, 6), rows=st.integers(1, 8), codebooks=st.integers(1, 4), data=st.data()
)
def test_the_laws_of_usage(entries: int, rows: int, codebooks: int, data: st.DataObject) -> None:
    row = st.lists(st.integers(0, entries - 1), min_size=codebooks, max_size=codebooks)
    symbols = data.draw(st.lists(row, min_size=rows, max_size=rows))
    got = summary(symbols, entries)
    assert 1 - 1e-12 <= got.lowest_perplexity <= got.perplexity + 1e-12
    assert got.perplexity <= min(entries, rows) + 1e-12
    used = sum(len({r[j] for r in symbols}) for j in range(codebooks))
    assert got.unused == pytest.approx(1 - used / (entries * codebooks))
    again = summary([*symbols[1:][::-1], *symbols[:1]], entries)  # in another order
    assert again.perplexity == pytest.approx(got.perplexity)
    assert again.unused == got.unused
