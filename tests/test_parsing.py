"""YAML and command line are read strictly."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from conftest import Corpus, Mistake

from onmt_lattice.cli import main


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("words", "keys", "said"),
    [
        (["-rnn_sise", 3], {}, "unknown option 'rnn_sise'; did you mean 'rnn_size'?"),
        (["--rnn_sise=3"], {}, "unknown option 'rnn_sise'; did you mean 'rnn_size'?"),
        (["-xyzzy"], {}, "unknown option 'xyzzy' ("),
        ([], {"rate_wieght": 1.0}, "a.yaml 'rate_wieght'; did you mean 'rate_weight'?"),
        (["-rnn_siz", 3], {}, "unknown option 'rnn_siz'"),
        (["--train_s", 3], {}, "unknown option 'train_s'"),
        (["-bottleneck_s", 3], {}, "unknown option 'bottleneck_s'"),
        (["fast"], {}, "unexpected word 'fast'"),
        *(([], {"rnn_size": value}, "rnn_size") for value in ("many", 3.5, [1, 2], {"a": 1})),
        ([], {"bottleneck": "gausian"}, "'gaussian', 'lattice', 'lfq', 'none'"),
        (["-bottleneck_site", "bottom"], {}, "'top', 'all'"),
        (["-rate_weight_schedule", "linear"], {}, "logistic"),
        ([], {"bottleneck": "lattice", "lattice": "A_2"}, "A2"),
    ],
)
def test_what_is_misspelled_or_of_a_wrong_kind_is_named(
    refused: Mistake, words: list[object], keys: dict[str, object], said: str
) -> None:
    """No abbreviation is taken, and choices are listed."""
    assert said in refused(*words, **keys)


def test_the_command_line_goes_before_yaml_and_dashes_are_alike(
    corpus: Corpus, tmp_path: Path
) -> None:
    from onmt_lattice.opennmt.options.parsers import train_parser
    from onmt_lattice.opennmt.options.parsing import parse

    config = str(corpus.yaml(tmp_path / "a.yaml", rnn_size=32, layers=2))
    for words in (["-rnn_size", "64"], ["--rnn_size", "64"], ["-rnn_size=64"]):
        for argv in (["-config", config, *words], [*words, f"--config={config}"]):
            opt = parse(train_parser, argv)
            assert (opt.rnn_size, opt.layers) == (64, 2)


def test_a_config_that_cannot_be_read(tmp_path: Path, mistake: Mistake) -> None:
    written(tmp_path / "j.yaml", "rnn_sise: 8\n")
    for path, said in (
        (tmp_path / "missing.yaml", "cannot be read"),
        (written(tmp_path / "a.yaml", "a: [1\nb: 2: 3\n"), "not valid YAML"),
        (written(tmp_path / "b.yaml", "- 1\n"), "expected 'option: value' lines, got a list"),
        (written(tmp_path / "c.yaml", "word"), "got a str"),
        (written(tmp_path / "d.yaml", "base: missing.yaml\n"), "missing.yaml: cannot be read"),
        (written(tmp_path / "e.yaml", "base: e.yaml\n"), "is its own 'base'"),
        (written(tmp_path / "f.yaml", "base: [a, b]\n"), "expected the path of one YAML file"),
        (written(tmp_path / "h.yaml", "rnn_size:\n"), "rnn_size: expected a value"),
        (written(tmp_path / "i.yaml", "base: j.yaml\n"), "'rnn_sise'; did you mean 'rnn_size'?"),
    ):
        assert said in mistake("train", "-config", path)
    (tmp_path / "g.yaml").write_bytes(b"\xff\xfe\x00")
    assert "not valid YAML" in mistake("train", "-config", tmp_path / "g.yaml")
    assert "-config: expected a path" in mistake("train", "-config")
    assert "-config .: cannot be read" in mistake("train", "-config", ".")
    assert "-config is given twice" in mistake("train", "-config", "a.yaml", "--config=b.yaml")


def test_a_base_lies_beneath_the_file_that_names_it(tmp_path: Path) -> None:
    from onmt_lattice.opennmt.options.parsing import read_config

    (tmp_path / "bases").mkdir()
    written(tmp_path / "bases/deep.yaml", "layers: 3\nrnn_size: 8\nseed: 4\n")
    written(tmp_path / "bases/mid.yaml", "base: deep.yaml\nrnn_size: 16\n")
    top = written(tmp_path / "top.yaml", "base: bases/mid.yaml\nseed: 5\n")
    assert read_config(top) == {"layers": 3, "rnn_size": 16, "seed": 5}
    assert read_config(written(tmp_path / "empty.yaml", "")) == {}


def merged(path: Path, text: str) -> dict[str, object]:
    """Return the settings that ``text`` has at its top behind the mappings named a, b and c."""
    from onmt_lattice.opennmt.options.parsing import read_config

    read = read_config(written(path / "a.yaml", text))
    return {key: value for key, value in read.items() if key not in ("a", "b", "c")}


@pytest.mark.parametrize("key", ["x", "a_long_key"])  # some readers tell apart what is interned
def test_a_merged_key_lies_beneath_the_nearer_one(tmp_path: Path, key: str) -> None:
    """YAML's own merge is no repetition: a key goes before those merged beside it, on all levels.

    So in every release of PyYAML, though 6.0.3 and 6.0.4 disagree.
    """
    text = f"a: &a {{{key}: 1, y: 1}}\nb: &b {{<<: *a, {key}: 2}}\n"
    assert merged(tmp_path, f"{text}<<: *b\ny: 3\n") == {key: 2, "y": 3}
    assert merged(tmp_path, f"{text}y: 3\n<<: *b\n") == {key: 2, "y": 3}
    assert merged(tmp_path, f"{text}c: &c {{<<: *b, {key}: 4}}\n<<: *c\n") == {key: 4, "y": 1}
    assert merged(tmp_path, f"{text}<<: {{{key}: 5}}\n") == {key: 5}


@pytest.mark.parametrize("key", ["x", "a_long_key"])
def test_of_several_merged_mappings_the_first_goes_before(tmp_path: Path, key: str) -> None:
    text = f"a: &a {{{key}: 1, y: 1}}\nb: &b {{{key}: 2, z: 2}}\n"
    assert merged(tmp_path, f"{text}<<: [*a, *b]\n") == {key: 1, "y": 1, "z": 2}
    assert merged(tmp_path, f"{text}<<: [*b, *a]\n") == {key: 2, "y": 1, "z": 2}
    assert merged(tmp_path, f"{text}<<: [*b, *a]\n{key}: 3\n") == {key: 3, "y": 1, "z": 2}
    assert merged(tmp_path, f"{text}<<: []\n") == {}


def test_keys_given_twice_and_what_cannot_be_merged_are_refused(
    tmp_path: Path, mistake: Mistake
) -> None:
    for text, said in (
        ("seed: 1\nlayers: 2\nseed: 3\n", "seed is given twice in one place, again in line 3"),
        ("data:\n  a: {weight: 1, 'weight': 2}\n", "weight is given twice"),
        ("a: &a {x: 1}\n<<: *a\n<<: *a\n", "<< is given twice in one place, again in line 3"),
        ("<<: 1\n", "not valid YAML"),
        ("a: &a {x: 1}\n<<: [*a, 1]\n", "not valid YAML"),
        ("a: &a {x: 1, <<: *a}\n", "line 1 merges a mapping into itself"),
        ("a: &a {x: 1, b: {<<: *a}}\n", "line 1 merges a mapping into itself"),
    ):
        path = written(tmp_path / "a.yaml", text)
        assert f"-config {path}: {said}" in mistake("train", "-config", path)


def test_yaml_that_is_more_than_it_seems_is_refused_at_once(
    tmp_path: Path, mistake: Mistake
) -> None:
    """Nine levels of eight aliases each stand for 10^8 values."""
    aliases = [f"[{', '.join([f'*k{level}'] * 8)}]" for level in range(9)]
    for text, said in (
        ("k0: &k0 [x]\n" + repeated(aliases), "line 7 holds more than 100,000 values"),
        ("k0: &k0 {x: 1}\n" + repeated([f"{{<<: {a}}}" for a in aliases]), "option in"),
        ("a: " + "[" * 3000, "not valid YAML"),
        ("seed: " + "9" * 5000, "not valid YAML"),
        ("seed: 2020-99-99", "not valid YAML"),
        ('x: 1\nlog_json: "a\\0b"', "line 2 has a NUL character in a value"),
        ("".join(f"k{i}: 1\n" for i in range(3000)), "unknown option"),
    ):
        path = written(tmp_path / "a.yaml", text)
        begin = time.process_time()
        assert said in mistake("train", "-config", path)
        assert time.process_time() - begin < 5


def repeated(values: list[str]) -> str:
    """Return YAML in which each value of ``values`` is named, for those after it."""
    return "".join(f"k{i}: &k{i} {value}\n" for i, value in enumerate(values, 1))


def test_a_saved_configuration_can_be_read(
    corpus: Corpus, tmp_path: Path, mistake: Mistake
) -> None:
    from onmt_lattice.opennmt.options.parsers import train_parser
    from onmt_lattice.opennmt.options.parsing import parse

    config = str(corpus.yaml(tmp_path / "a.yaml", transforms=[]))
    saved = str(tmp_path / "saved.yaml")
    with pytest.raises(SystemExit) as end:
        main(["train", "-config", config, "-rnn_size", "64", "-save_config", saved])
    assert end.value.code == 0
    assert f"{tmp_path}/no/x.yaml" in mistake(
        "train", "-config", config, "-save_config", tmp_path / "no/x.yaml"
    )
    given = vars(parse(train_parser, ["-config", config, "-rnn_size", "64"]))
    read = vars(parse(train_parser, ["-config", saved]))
    assert {k: v for k, v in read.items() if given[k] != v} == {"config": saved}
