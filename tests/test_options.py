"""Options: YAML and command line are read strictly, and nothing opens a second path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import BOTTLENECKS, Corpus

from onmt_lattice.cli import main
from onmt_lattice.errors import UserError

Mistake = Callable[..., str]


@pytest.fixture
def refused(corpus: Corpus, tmp_path: Path, mistake: Mistake) -> Mistake:
    """Return how ``train`` refuses words behind a good YAML file, and changes to that file."""

    def run(*words: object, **changes: Any) -> str:
        changes.setdefault("save_model", str(tmp_path / "model"))
        said = mistake("train", "-config", corpus.yaml(tmp_path / "a.yaml", **changes), *words)
        assert list(tmp_path.glob("model*")) == []
        return said

    return run


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


# ---- names ---------------------------------------------------------------------------------------


def test_a_misspelled_option_names_the_nearest(refused: Mistake) -> None:
    assert "unknown option 'rnn_sise'; did you mean 'rnn_size'?" in refused("-rnn_sise", 3)
    assert "unknown option 'rnn_sise'; did you mean 'rnn_size'?" in refused("--rnn_sise=3")
    assert "unknown option 'xyzzy' (" in refused("-xyzzy")


def test_a_misspelled_key_names_the_nearest_and_the_file(refused: Mistake) -> None:
    said = refused(rate_wieght=1.0)
    assert "a.yaml 'rate_wieght'; did you mean 'rate_weight'?" in said


def test_a_misspelled_key_of_a_corpus_names_the_nearest(corpus: Corpus, refused: Mistake) -> None:
    said = refused(data={"c": {"path_src": str(corpus.train), "transfroms": []}})
    assert "unknown key of data.c 'transfroms'; did you mean 'transforms'?" in said
    said = refused("-data", "{c: {path_sorc: x}}")
    assert "unknown key of data.c 'path_sorc'; did you mean 'path_src'?" in said


@pytest.mark.parametrize("dashes", ["-", "--"])
@pytest.mark.parametrize("abbreviation", ["rnn_siz", "train_s", "bottleneck_s"])
def test_abbreviations_are_refused(refused: Mistake, dashes: str, abbreviation: str) -> None:
    assert f"unknown option '{abbreviation}'" in refused(dashes + abbreviation, "3")


def test_a_stray_word_is_refused(refused: Mistake) -> None:
    assert "unexpected word 'fast'" in refused("fast")


def test_the_command_line_goes_before_yaml_and_dashes_are_alike(
    corpus: Corpus, tmp_path: Path
) -> None:
    from onmt_lattice.opennmt.options import train_parser
    from onmt_lattice.opennmt.parsing import parse

    config = str(corpus.yaml(tmp_path / "a.yaml", rnn_size=32, layers=2))
    for words in (["-rnn_size", "64"], ["--rnn_size", "64"], ["-rnn_size=64"]):
        for argv in (["-config", config, *words], [*words, f"--config={config}"]):
            opt = parse(train_parser, argv)
            assert (opt.rnn_size, opt.layers) == (64, 2)


def test_defaults_are_those_of_an_autoencoder(corpus: Corpus) -> None:
    from onmt_lattice.opennmt.options import train_parser
    from onmt_lattice.opennmt.parsing import parse

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


# ---- values --------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", ["many", 3.5, [1, 2], {"a": 1}])
def test_values_of_a_wrong_type(refused: Mistake, value: object) -> None:
    assert "rnn_size" in refused(rnn_size=value)


def test_a_key_without_a_value(tmp_path: Path, corpus: Corpus, mistake: Mistake) -> None:
    config = corpus.yaml(tmp_path / "a.yaml", rnn_size=None)
    config.write_text(config.read_text() + "rnn_size:\n")
    assert "rnn_size: expected a value" in mistake("train", "-config", config)


def test_choices_are_listed(refused: Mistake) -> None:
    assert "'gaussian', 'lattice', 'none'" in refused(bottleneck="gausian")
    assert "'top', 'all'" in refused("-bottleneck_site", "bottom")
    assert "logistic" in refused("-rate_weight_schedule", "linear")
    assert "A2" in refused(bottleneck="lattice", lattice="A_2")


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("train_steps", 0, "-train_steps 0: expected a positive number"),
        ("valid_steps", 0, "-valid_steps 0: expected a positive number"),
        ("report_every", 0, "-report_every 0: expected a positive number"),
        ("batch_size", -1, "-batch_size -1: expected a positive number"),
        ("valid_batch_size", 0, "-valid_batch_size 0: expected a positive number"),
        ("bucket_size", 0, "-bucket_size 0: expected a positive number"),
        ("learning_rate", 0.0, "-learning_rate 0.0: expected a positive number"),
        ("accum_count", 0, "-accum_count [0]: expected positive numbers"),
        ("dropout", 1.5, "-dropout [1.5]: expected probabilities"),
        ("seed", 0, "-seed 0: expected 1 to 2^32 - 1"),
        ("seed", 2**32, "-seed 4294967296: expected 1 to 2^32 - 1"),
        ("rate_weight", -1.0, "-rate_weight -1.0: expected a number of at least 0"),
        ("rate_weight_midpoint", 0, "-rate_weight_midpoint 0: expected a positive step"),
        ("bottleneck_dim", -1, "-bottleneck_dim -1: expected 0"),
        ("rnn_size", 33, "-enc_rnn_size 33: expected an even number"),
        ("train_from", "nothing.pt", "-train_from nothing.pt: no such file"),
        ("src_vocab", "nothing.txt", "-src_vocab nothing.txt: no such file; 'onmt_lattice build"),
        ("world_size", 2, "-world_size 2: expected the ranks"),
        ("share_decoder_embeddings", True, "as large as the decoder's state, got 16 and 32"),
        ("single_pass", True, "-single_pass: never ends"),
        ("rnn_type", "SRU", "SRU"),
    ],
)
def test_values_out_of_range_are_named(
    refused: Mistake, option: str, value: object, said: str
) -> None:
    assert said in refused(**{option: value})


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


# ---- one path ------------------------------------------------------------------------------------

SECOND_PATHS: list[tuple[str, Any]] = [
    ("global_attention", "general"),
    ("global_attention", "mlp"),
    ("copy_attn", True),
    ("coverage_attn", True),
    ("context_gate", "both"),
    ("input_feed", 1),
    ("decoder_type", "transformer"),
    ("decoder_type", "cnn"),
    ("encoder_type", "brnn"),
    ("encoder_type", "transformer"),
    ("model_task", "lm"),
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


def test_another_target_is_refused(corpus: Corpus, refused: Mistake) -> None:
    data = {"c": {"path_src": str(corpus.train), "path_tgt": str(corpus.valid)}}
    assert "data.c.path_tgt" in refused(data=data)
    for words in ((), ("-share_vocab",)):
        assert "has one vocabulary" in refused(*words, tgt_vocab="other.txt")
    assert "has one vocabulary" in refused(share_vocab=False)
    assert "segmented as its source" in refused(tgt_subword_model="x.model")


def test_the_same_target_is_taken(corpus: Corpus) -> None:
    from onmt_lattice.opennmt.corpora import target_is_source
    from onmt_lattice.opennmt.options import train_parser
    from onmt_lattice.opennmt.parsing import parse

    path, vocabulary = str(corpus.train), str(corpus.vocabulary)
    data = yaml.safe_dump({"c": {"path_src": path, "path_tgt": path}, "d": {"path_src": path}})
    opt = parse(train_parser, ["-data", data, "-src_vocab", vocabulary, "-tgt_vocab", vocabulary])
    target_is_source(opt)
    assert {c["path_tgt"] for c in yaml.safe_load(opt.data).values()} == {path}


# ---- corpora -------------------------------------------------------------------------------------


def test_corpora_that_cannot_be_trained_on(
    corpus: Corpus, tmp_path: Path, refused: Mistake
) -> None:
    source = str(corpus.train)
    blank = str(written(tmp_path / "blank.en", "\n  \n\t\n"))
    for data, said in (
        ({"valid": {"path_src": source}}, "expected a training corpus"),
        ({"c": {"path_src": "nowhere.en"}}, "data.c.path_src nowhere.en: no such file"),
        ({"c": {"path_src": blank}}, f"{blank}: no sentence in it"),
        ({"c": {"path_src": source}, "valid": {"path_src": blank}}, "no sentence in it"),
        ({"c": {}}, "data.c.path_src None"),
        ({"c": {"path_src": [source]}}, "expected the path of a text"),
        ({"c": source}, "data.c: expected 'path_src: FILE'"),
        ({"c": {"path_src": source, "weight": 0}}, "data.c.weight 0"),
        ({"c": {"path_src": source, "transforms": "bpe"}}, "expected a list of names"),
        ({"c": {"path_src": source, "transforms": ["bep"]}}, "did you mean 'bpe'?"),
        ({"c": {"path_src": source, "transforms": ["bpe"]}}, "-src_subword_model"),
        (source, "expected corpora"),
        (None, "-data"),
    ):
        assert said in refused(data=data)
    assert "-data '{c: [': not valid YAML" in refused("-data", "{c: [")
    assert "-src_subword_model x.model: no such file" in refused(src_subword_model="x.model")


# ---- files ---------------------------------------------------------------------------------------


def test_a_config_that_cannot_be_read(tmp_path: Path, mistake: Mistake) -> None:
    for path, said in (
        (tmp_path / "missing.yaml", "cannot be read"),
        (written(tmp_path / "a.yaml", "a: [1\nb: 2: 3\n"), "not valid YAML"),
        (written(tmp_path / "b.yaml", "- 1\n"), "expected 'option: value' lines, got a list"),
        (written(tmp_path / "c.yaml", "word"), "got a str"),
        (written(tmp_path / "d.yaml", "base: missing.yaml\n"), "missing.yaml: cannot be read"),
        (written(tmp_path / "e.yaml", "base: e.yaml\n"), "is its own 'base'"),
        (written(tmp_path / "f.yaml", "base: [a, b]\n"), "expected the path of one YAML file"),
    ):
        assert said in mistake("train", "-config", path)
    (tmp_path / "g.yaml").write_bytes(b"\xff\xfe\x00")
    assert "not valid YAML" in mistake("train", "-config", tmp_path / "g.yaml")
    assert "-config: expected a path" in mistake("train", "-config")
    assert "-config is given twice" in mistake("train", "-config", "a.yaml", "--config=b.yaml")


def test_a_base_lies_beneath_the_file_that_names_it(tmp_path: Path) -> None:
    from onmt_lattice.opennmt.parsing import read_config

    (tmp_path / "bases").mkdir()
    written(tmp_path / "bases/deep.yaml", "layers: 3\nrnn_size: 8\nseed: 4\n")
    written(tmp_path / "bases/mid.yaml", "base: deep.yaml\nrnn_size: 16\n")
    top = written(tmp_path / "top.yaml", "base: bases/mid.yaml\nseed: 5\n")
    assert read_config(top) == {"layers": 3, "rnn_size": 16, "seed": 5}
    assert read_config(written(tmp_path / "empty.yaml", "")) == {}


def test_keys_of_a_base_are_checked(tmp_path: Path, mistake: Mistake) -> None:
    written(tmp_path / "base.yaml", "rnn_sise: 8\n")
    said = mistake("train", "-config", written(tmp_path / "a.yaml", "base: base.yaml\n"))
    assert "'rnn_sise'; did you mean 'rnn_size'?" in said


def test_one_file_serves_build_vocab_and_train(
    corpus: Corpus, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config = corpus.yaml(
        tmp_path / "both.yaml",
        src_vocab=str(tmp_path / "vocab.txt"),
        save_data=str(tmp_path / "samples"),
        n_sample=-1,
        overwrite=True,
        save_model=str(tmp_path / "model"),
        train_steps=1,
        beam_size=2,  # of translate
    )
    assert main(["build_vocab", "-config", str(config)]) == 0
    assert main(["train", "-config", str(config)]) == 0
    assert (tmp_path / "model_step_1.pt").is_file()


def test_a_saved_configuration_can_be_read(corpus: Corpus, tmp_path: Path) -> None:
    from onmt_lattice.opennmt.options import train_parser
    from onmt_lattice.opennmt.parsing import parse

    config = str(corpus.yaml(tmp_path / "a.yaml", transforms=[]))
    saved = str(tmp_path / "saved.yaml")
    with pytest.raises(SystemExit) as end:
        main(["train", "-config", config, "-rnn_size", "64", "-save_config", saved])
    assert end.value.code == 0
    given = vars(parse(train_parser, ["-config", config, "-rnn_size", "64"]))
    read = vars(parse(train_parser, ["-config", saved]))
    assert {k: v for k, v in read.items() if given[k] != v} == {"config": saved}


# ---- from options to objects ---------------------------------------------------------------------


def test_shapes_that_do_not_fit(refused: Mistake) -> None:
    said = refused(layers=None, enc_layers=2, dec_layers=1, bottleneck_site="all")
    assert "expected as many decoder layers as encoder layers, got 1 and 2" in said


@pytest.mark.parametrize(
    ("site", "rnn_type", "m"),
    # 500 numbers in the paper's model at the top, 1,000 in all; an LSTM has cell states too.
    [("top", "GRU", 500), ("all", "GRU", 1000), ("top", "LSTM", 1000), ("all", "LSTM", 2000)],
)
def test_how_many_numbers_x_holds(site: str, rnn_type: str, m: int) -> None:
    from argparse import Namespace

    from onmt_lattice.opennmt.options import representation_dim

    opt = Namespace(rnn_type=rnn_type, bottleneck_site=site, enc_layers=2, enc_rnn_size=500)
    assert representation_dim(opt) == m


def test_settings_and_label_of_a_bottleneck() -> None:
    from argparse import Namespace

    from onmt_lattice.opennmt.options import bottleneck_label, bottleneck_settings

    opt = Namespace(bottleneck="lattice", bottleneck_site="top", lattice="A2", levels=None)
    assert bottleneck_settings(opt)["lattice"] == "A2"
    assert bottleneck_settings(opt)["lattice_code"] == "auto"
    assert "levels" not in bottleneck_settings(opt)
    assert bottleneck_label(opt) == "lattice A2"


def test_every_declared_option_is_offered_by_its_name() -> None:
    import dataclasses

    from onmt_lattice.bottlenecks import bottlenecks
    from onmt_lattice.opennmt.options import train_parser

    names = train_parser().names()
    for cls in bottlenecks().values():
        assert {field.name for field in dataclasses.fields(cls.Config)} <= names


def test_parse_raises_a_user_error() -> None:
    from onmt_lattice.opennmt.options import train_parser
    from onmt_lattice.opennmt.parsing import parse

    with pytest.raises(UserError, match="required"):
        parse(train_parser, [])
