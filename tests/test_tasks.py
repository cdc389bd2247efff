"""Models whose target is another text than their source; an autoencoder is the special case."""

from __future__ import annotations

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Corpus, assert_equal, timeless, train

from onmt_lattice.cli import main
from onmt_lattice.opennmt.checkpoint import load_checkpoint

STEPS = 20
SHORT = {"train_steps": STEPS, "valid_steps": STEPS, "bucket_size": 100}


def write(path: Path, lines: list[str]) -> str:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return str(path)


def read(path: str | Path) -> list[str]:
    return Path(path).read_text(encoding="utf-8").splitlines()


def backwards(lines: list[str]) -> list[str]:
    return [" ".join(reversed(line.split())) for line in lines]


def paired(corpus: Corpus, folder: Path) -> dict[str, dict[str, str]]:
    """Return the data of a task on the corpus: say each sentence backwards."""
    texts = {"c": corpus.train, "valid": corpus.valid}
    return {
        name: {
            "path_src": str(path),
            "path_tgt": write(folder / f"{name}.tgt", backwards(read(path))),
        }
        for name, path in texts.items()
    }


def test_an_autoencoder_is_the_task_whose_target_is_its_source(
    corpus: Corpus, tmp_path: Path
) -> None:
    """What is trained on a copy of the source is the same to the last bit."""
    texts = {"c": corpus.train, "valid": corpus.valid}
    alone = {name: {"path_src": str(path)} for name, path in texts.items()}
    copied = {name: str(shutil.copy(path, tmp_path / name)) for name, path in texts.items()}
    both = {name: {**sides, "path_tgt": copied[name]} for name, sides in alone.items()}
    found = []
    for name, data in (("alone", alone), ("both", both)):
        config = corpus.yaml(tmp_path / f"{name}.yaml", data=data, **SHORT)
        train(config, "-save_model", tmp_path / name, "-log_json", tmp_path / f"{name}.jsonl")
        held = load_checkpoint(tmp_path / f"{name}_step_{STEPS}.safetensors")
        found.append([held[part] for part in ("model", "generator", "optim")])
    assert_equal(*found)
    assert timeless(tmp_path / "alone.jsonl") == timeless(tmp_path / "both.jsonl")


@pytest.fixture(scope="module")
def own_vocabularies(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The YAML of a task of numbered words, the digits of the target behind letters."""
    folder = tmp_path_factory.mktemp("digits")
    rng = random.Random(1)
    numbers = [[rng.randrange(6) for _ in range(rng.randint(2, 3))] for _ in range(600)]
    data = {}
    for name, part in (("c", numbers[:500]), ("valid", numbers[500:])):
        source = [" ".join("abcdef"[n] for n in line) for line in part]
        target = [" ".join(f"number {n}" for n in reversed(line)) for line in part]
        sides = {"path_src": write(folder / f"{name}.src", source)}
        data[name] = {**sides, "path_tgt": write(folder / f"{name}.tgt", target)}
    vocabularies = {f"{side}_vocab": str(folder / f"{side}.txt") for side in ("src", "tgt")}
    config = corpus.yaml(folder / "task.yaml", data=data, **vocabularies, **SHORT)
    assert main(["build_vocab", "-config", str(config)]) == 0
    return config


def test_vocabularies_of_both_sides(own_vocabularies: Path) -> None:
    sides = [read(own_vocabularies.with_name(f"{side}.txt")) for side in ("src", "tgt")]
    tokens = [sorted(line.split("\t")[0] for line in lines) for lines in sides]
    assert tokens == [list("abcdef"), [*map(str, range(6)), "number"]]


def test_one_vocabulary_counts_both_sides(corpus: Corpus, tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    data = paired(corpus, tmp_path)
    config = corpus.yaml(tmp_path / "task.yaml", data=data, src_vocab=str(path))
    assert main(["build_vocab", "-config", str(config)]) == 0
    once = [line.split("\t") for line in read(corpus.vocabulary)]
    assert sorted(read(path)) == sorted(f"{word}\t{2 * int(count)}" for word, count in once)


def test_a_task_resumes_as_if_it_had_not_stopped(own_vocabularies: Path, tmp_path: Path) -> None:
    ends = []
    for name, stops in (("whole", [STEPS]), ("parts", [STEPS // 2, STEPS])):
        base = tmp_path / name
        for steps in stops:
            words = ("-save_model", base, "-train_steps", steps, "-save_checkpoint_steps", 10)
            train(own_vocabularies, *words, "-resume", "auto")
        ends.append(load_checkpoint(f"{base}_step_{STEPS}.safetensors"))
    for part in ("model", "generator", "optim", "onmt_lattice"):
        assert_equal(ends[0][part], ends[1][part])
    fields = ends[0]["vocab"]
    source, target = (set(fields[side].base_field.vocab.itos) for side in ("src", "tgt"))
    assert "a" in source - target and "number" in target - source


def test_tasks_that_cannot_be_trained(
    corpus: Corpus, tmp_path: Path, refused: Callable[..., str]
) -> None:
    data = paired(corpus, tmp_path)
    short = write(tmp_path / "short.tgt", read(data["c"]["path_tgt"])[:-1])
    valid = {"path_src": str(corpus.valid)}
    foreign = write(tmp_path / "foreign.tgt", ["x y z"] * 800)
    for changed, said in (
        (
            {"c": {**data["c"], "path_tgt": short}},
            f"path_tgt {short}: has 799 lines, data.c.path_src",
        ),
        ({"c": {**data["c"], "path_tgt": "no.tgt"}}, "data.c.path_tgt no.tgt: no such file"),
        ({"valid": valid}, "data.valid.path_tgt: expected a target"),
        ({"c": {**data["c"], "path_tgt": foreign}}, f"data.c.path_tgt {foreign}: 300 of 300"),
    ):
        assert said in refused(data={**data, **changed})
    for options, said in (
        ({"share_vocab": False}, "expected the target's own vocabulary"),
        ({"tgt_vocab": "no.txt"}, "-tgt_vocab no.txt: no such file"),
        ({"tgt_vocab": str(tmp_path / "own.txt"), "share_embeddings": True}, "-share_embeddings"),
    ):
        write(tmp_path / "own.txt", ["a"])
        assert said in refused(data=data, **options)
