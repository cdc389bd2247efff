"""Options: their values, and that none opens a second path."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable
from typing import Any

import pytest
from conftest import BOTTLENECKS, Corpus

from onmt_lattice.errors import UserError

Mistake = Callable[..., str]


def test_defaults_are_those_of_an_autoencoder(corpus: Corpus) -> None:
    from onmt_lattice.opennmt.options.parsers import train_parser
    from onmt_lattice.opennmt.options.parsing import parse

    opt = parse(train_parser, ["-data", "{}", "-src_vocab", "v"])
    assert (opt.encoder_type, opt.rnn_type, opt.input_feed) == ("bottleneck_brnn", "GRU", 0)
    assert (opt.bottleneck, opt.bottleneck_site, opt.share_vocab) == ("gaussian", "top", True)
    assert (opt.rate_weight, opt.rate_weight_schedule) == (1.0, "logistic")
    assert opt.rate_weight_midpoint == 100_000
    # The paper's schedule: times 0.75 each 50,000 steps from the 100,000th.
    assert (opt.learning_rate_decay, opt.start_decay_steps, opt.decay_steps) == (
        0.75,
        100_000,
        50_000,
    )


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("rate_weight", -1.0, "-rate_weight -1.0: expected at least 0"),
        ("rate_weight_midpoint", 0, "-rate_weight_midpoint 0: expected at least 1"),
        ("bottleneck_dim", -1, "-bottleneck_dim -1: expected at least 1"),
        ("rnn_size", 33, "-enc_rnn_size 33: expected an even number"),
        ("train_from", "nothing.safetensors", "-train_from nothing.safetensors: no such file"),
        ("src_vocab", "nothing.txt", "-src_vocab nothing.txt: no such file; 'onmt_lattice build"),
        ("world_size", 2, "-world_size 2: expected the ranks"),
        ("share_decoder_embeddings", True, "as large as the decoder's state, got 16 and 32"),
        ("single_pass", True, "-single_pass: never ends"),
        ("rnn_type", "SRU", "invalid choice: 'SRU'"),
    ],
)
def test_values_out_of_range_are_named(
    refused: Mistake, option: str, value: object, said: str
) -> None:
    assert said in refused(**{option: value})


@pytest.mark.parametrize(
    ("option", "value"),
    [
        # What OpenNMT-py takes for its default, or finds out after hours, or never.
        ("rnn_size", 0),
        ("average_decay", 2.0),
        ("save_checkpoint_steps", -1),
        ("learning_rate", float("nan")),
        ("learning_rate", 0.0),
        ("train_steps", 0),
        ("accum_count", [0]),
        ("dropout", [1.5]),
        ("seed", 0),
        ("seed", 2**32),
    ],
)
def test_numbers_that_mean_nothing(refused: Mistake, option: str, value: object) -> None:
    assert f"-{option} {value}: expected " in refused(**{option: value})


def test_every_numeric_option_has_a_range_that_holds_its_default() -> None:
    from onmt_lattice.config import check_ranges
    from onmt_lattice.opennmt.options import parsers as options
    from onmt_lattice.opennmt.options.ranges import RANGES, TRANSLATION

    for make, ranges in (
        (options.train_parser, RANGES),
        (options.build_vocab_parser, RANGES),
        (options.translate_parser, TRANSLATION),
    ):
        numeric = [a for a in make()._actions if a.type in (int, float)]
        names = {a.dest for a in numeric} - set(options.bottleneck_options())
        assert names <= set(ranges), f"{names - set(ranges)} of {make.__name__}"
        check_ranges({a.dest: a.default for a in numeric}, ranges)
        for name in names:
            for value in map(float, ("nan", "inf", "-inf")):
                with pytest.raises(UserError, match=f"-{name} .*: expected"):
                    check_ranges({name: value}, {name: ranges[name]})


@pytest.mark.parametrize(
    ("option", "value"), [("optim", "sparseadam"), ("optim", "fusedadam"), ("model_dtype", "fp16")]
)
def test_what_cannot_take_a_step_here(refused: Mistake, option: str, value: str) -> None:
    assert f"-{option} {value}: " in refused(**{option: value})


def test_gpu_ranks_without_a_gpu(refused: Mistake, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "no CUDA device" in refused("-gpu_ranks", 0)
    assert "gpu_backend: gloo" in refused(gpu_ranks=[0, 1], world_size=2)


def test_an_option_of_another_bottleneck(refused: Mistake) -> None:
    said = refused("-levels", 4)
    assert "-levels 4: -bottleneck gaussian has no such option" in said
    assert "ste_scalar, ste_vector" in said
    assert "belongs to lattice" in refused(**{**BOTTLENECKS["ste_scalar"], "lattice": "E8"})
    assert "does not divide" in refused(
        bottleneck="ste_vector", bottleneck_dim=15, vector_dim=2, levels=4
    )


SECOND_PATHS: list[tuple[str, Any]] = [
    ("copy_attn", True),
    ("coverage_attn", True),
    ("context_gate", "both"),
    ("input_feed", 1),
    ("decoder_type", "cnn"),
    ("encoder_type", "brnn"),
    ("encoder_type", "transformer"),
    ("model_task", "lm"),
    ("src_feats_vocab", "{f: vocab.txt}"),
    ("lambda_align", 0.1),
    ("lambda_coverage", 0.1),
    ("truncated_decoder", 5),
    ("label_smoothing", 0.1),
    ("generator_function", "sparsemax"),
]


@pytest.mark.parametrize(("option", "value"), SECOND_PATHS)
def test_a_second_path_is_refused(refused: Mistake, option: str, value: Any) -> None:
    words = [f"-{option}"] if value is True else [f"-{option}", value]
    for said in (refused(**{option: value}), refused(*words)):
        assert f"-{option} {value}: must be " in said


@pytest.mark.parametrize(
    ("site", "rnn_type", "m"),
    # 500 numbers in the paper's model at the top, 1,000 in all; an LSTM has cell states too.
    [("top", "GRU", 500), ("all", "GRU", 1000), ("top", "LSTM", 1000), ("all", "LSTM", 2000)],
)
def test_how_many_numbers_x_holds(site: str, rnn_type: str, m: int) -> None:

    from onmt_lattice.opennmt.options.configuration import representation_dim
    from onmt_lattice.opennmt.options.parsers import BRNN

    sizes = {"enc_layers": 2, "enc_rnn_size": 500, "rnn_type": rnn_type}
    opt = Namespace(encoder_type=BRNN, bottleneck_slots=1, bottleneck_site=site, **sizes)
    assert representation_dim(opt) == m
