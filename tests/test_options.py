"""Options: their values, and that none opens a second path."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from conftest import BOTTLENECKS, Corpus, Mistake

from onmt_lattice.errors import UserError


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
        ("rate_weight", -1.0, "expected at least 0"),
        ("rate_weight_midpoint", 0, "expected at least 1"),
        ("bottleneck_dim", -1, "expected at least 1"),
        ("train_from", "nothing.safetensors", "no such file"),
        ("src_vocab", "nothing.txt", "no such file; 'onmt_lattice build"),
        ("world_size", 2, "expected the ranks"),
        # What OpenNMT-py takes for its default, or finds out after hours, or never.
        ("rnn_size", 0, "expected "),
        ("save_checkpoint_steps", -1, "expected "),
        ("learning_rate", float("nan"), "expected "),
        ("accum_count", [0], "expected "),
        ("dropout", [1.5], "expected "),
        ("seed", 2**32, "expected "),
        ("optim", "sparseadam", ""),
        ("optim", "fusedadam", ""),
        ("model_dtype", "fp16", ""),
    ],
)
def test_values_out_of_range_are_named(
    refused: Mistake, option: str, value: object, said: str
) -> None:
    assert f"-{option} {value}: {said}" in refused(**{option: value})


def test_what_does_not_go_together_is_named(
    refused: Mistake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    layers = {"layers": None, "enc_layers": 2, "dec_layers": 1, "bottleneck_site": "all"}
    vectors = {"bottleneck": "ste_vector", "bottleneck_dim": 15, "vector_dim": 2, "levels": 4}
    for options, said in (
        ({"rnn_size": 33}, "-enc_rnn_size 33: expected an even number"),
        ({"share_decoder_embeddings": True}, "as large as the decoder's state, got 16 and 32"),
        ({"single_pass": True}, "-single_pass: never ends"),
        ({"early_stopping_criteria": ["foo"]}, "unknown -early_stopping_criteria 'foo'"),
        ({"rnn_type": "SRU"}, "invalid choice: 'SRU'"),
        ({"gpu_ranks": [0]}, "no CUDA device"),
        ({"gpu_ranks": [0, 1], "world_size": 2}, "gpu_backend: gloo"),
        ({"gpu_ranks": [0, 0], "world_size": 2}, "different numbers below -world_size 2"),
        ({"gpu_ranks": [0, 2], "world_size": 2}, "-gpu_ranks [0, 2]: expected different numbers"),
        ({"dropout": [0.1, 0.2]}, "-dropout [0.1, 0.2]: expected a value for each of -dropout_st"),
        ({"accum_steps": [0, 9]}, "-accum_count [1]: expected a value for each of -accum_steps"),
        ({"accum_steps": [9]}, "-accum_steps [9]: expected 0 first"),
        ({"levels": 4}, "-levels 4: -bottleneck gaussian has no such option"),
        ({"levels": 4}, "ste_scalar, ste_vector"),
        ({**BOTTLENECKS["ste_scalar"], "lattice": "E8"}, "belongs to lattice"),
        (vectors, "does not divide"),
        (layers, "expected as many decoder layers as encoder layers, got 1 and 2"),
    ):
        assert said in refused(**options)
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    assert "for each, and 1 were found" in refused(gpu_ranks=[0, 1], world_size=2)


def test_a_log_does_not_go_to_another_file_of_the_run(
    corpus: Corpus, refused: Mistake, tmp_path: Path
) -> None:
    history = str(tmp_path / "history.jsonl")
    for name, path in (
        ("src_vocab", corpus.vocabulary),
        ("data.grammar.path_src", corpus.train),
        ("log_json", history),
    ):
        said = refused(log_file=str(path), log_json=history)
        assert f"-log_file {path}: is {name} as well; expected another file" in said


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


def test_an_own_configuration_stops_stock_opennmt() -> None:
    from onmt.opts import train_opts
    from onmt.utils.parse import ArgumentParser

    from onmt_lattice.opennmt.options.parsers import BRNN

    parser = ArgumentParser()
    train_opts(parser)
    words = ["-data", "{}", "-src_vocab", "v", "-encoder_type", BRNN]
    with pytest.raises(SystemExit):
        parser.parse_known_args(words)
