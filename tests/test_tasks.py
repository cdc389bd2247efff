"""Models whose target is another text than their source; an autoencoder is the special case."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest
from conftest import Capture, Corpus, Mistake, Trained, assert_equal, run, timeless, train

import onmt_lattice
from onmt_lattice.cli.evaluate import known_source
from onmt_lattice.errors import UserError
from onmt_lattice.evaluation.result import Evaluation
from onmt_lattice.opennmt.checkpoint.loading import load_checkpoint
from onmt_lattice.opennmt.commands.evaluate import evaluate
from onmt_lattice.opennmt.options.commands import EvaluateOptions

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
    run("build_vocab", "-config", config)
    return config


def test_vocabularies_of_both_sides(own_vocabularies: Path) -> None:
    sides = [read(own_vocabularies.with_name(f"{side}.txt")) for side in ("src", "tgt")]
    tokens = [sorted(line.split("\t")[0] for line in lines) for lines in sides]
    assert tokens == [list("abcdef"), [*map(str, range(6)), "number"]]


def test_one_vocabulary_counts_both_sides(corpus: Corpus, tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    data = paired(corpus, tmp_path)
    config = corpus.yaml(tmp_path / "task.yaml", data=data, src_vocab=str(path))
    run("build_vocab", "-config", config)
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


def test_tasks_that_cannot_be_trained(corpus: Corpus, tmp_path: Path, refused: Mistake) -> None:
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


def test_an_autoencoder_goes_on_as_a_task(
    corpus: Corpus, tmp_path: Path, trained: Trained, refused: Mistake
) -> None:
    data, start = paired(corpus, tmp_path), trained("gaussian")
    config = corpus.yaml(tmp_path / "task.yaml", data=data, train_steps=62)
    train(config, "-save_model", tmp_path / "task", "-train_from", start)
    made = onmt_lattice.load(tmp_path / "task_step_62.safetensors")
    assert len(made.score(["the dog"], ["dog the"]).nll_bits) == 1
    own = write(tmp_path / "own.txt", [line.split("\t")[0] for line in read(corpus.vocabulary)])
    said = refused("-train_from", start, data=data, tgt_vocab=own, train_steps=62)
    assert "source and target had one vocabulary; leave -tgt_vocab out" in said


@pytest.fixture(scope="module")
def numbers(own_vocabularies: Path) -> Path:
    """A model of the numbered words, trained without a price for its lattice points."""
    base = own_vocabularies.with_name("numbers")
    steps = 200
    lattice = ("-bottleneck", "lattice", "-lattice", "Z", "-bottleneck_dim", 8, "-rate_weight", 0)
    words = ("-train_steps", steps, "-valid_steps", steps, *lattice)
    train(own_vocabularies, "-save_model", base, *words, "-log_json", f"{base}.jsonl")
    return Path(f"{base}_step_{steps}.safetensors")


def sides(numbers: Path) -> tuple[Path, Path]:
    return numbers.with_name("valid.src"), numbers.with_name("valid.tgt")


def test_without_a_price_the_target_is_learned(numbers: Path, tmp_path: Path) -> None:
    """A sentence has 7.5 bits: one of two lengths, and digits of six that are 2.5 in the mean."""
    source, target = sides(numbers)
    report, decoded = tmp_path / "report.json", tmp_path / "decoded.txt"
    words = ("-model", numbers, "-src", source, "-tgt", target, "-output", report)
    run("evaluate", *words, "-reconstruct", decoded, "-scores", tmp_path / "scores.tsv", "-coded")
    found = Evaluation.read(report)
    assert found.nll.sentence < 7.5 / 2
    exact = [a == b for a, b in zip(read(decoded), read(target), strict=True)]
    assert found.reconstruction is not None and found.reconstruction.exact > 1 / 3
    assert found.reconstruction.exact == pytest.approx(sum(exact) / len(exact))


def test_costs_are_of_their_own_side(numbers: Path, tmp_path: Path, capsys: Capture) -> None:
    source, target = sides(numbers)
    report, scores = tmp_path / "report.json", tmp_path / "scores.tsv"
    words = ("-model", numbers, "-src", source, "-tgt", target, "-output", report)
    run("evaluate", *words, "-scores", scores)
    found, table = Evaluation.read(report), capsys.readouterr().out
    counts = [sum(len(line.split()) for line in read(path)) for path in (source, target)]
    assert found.source is not None and found.text == str(target)
    assert (found.source.words, found.words) == (counts[0], counts[1]) == (counts[0], 2 * counts[0])
    assert (found.source.tokens, found.tokens) == (counts[0], counts[1] + found.sentences)
    assert found.total.word == pytest.approx(found.nll.word + found.rate.word)
    assert found.source.rate.word == pytest.approx(2 * found.rate.word)
    assert found.source.rate.sentence == found.rate.sentence
    assert f"its source {source}: {counts[0]} words" in table and "rate, in source units" in table
    run("export", "-model", numbers, "-evaluation", report, "-output", tmp_path / "shared")
    card = (tmp_path / "shared/README.md").read_text(encoding="utf-8")
    assert 'model.score(["a sentence"], ["its target"])' in card and "autoencoder" not in card
    rows = [line.split("\t") for line in read(scores)[1:]]
    assert sum(int(row[1]) for row in rows) == counts[1]
    made = onmt_lattice.load(numbers).score(read(source), read(target))
    assert made.nll_bits == pytest.approx([float(row[2]) for row in rows], rel=1e-4)
    assert made.rate_bits == pytest.approx([float(row[3]) for row in rows], rel=1e-4)


def test_a_file_of_sources_becomes_targets(numbers: Path, tmp_path: Path) -> None:
    """So do translate, encode with decode, and a loaded model: all decode the same."""
    source, target = sides(numbers)
    packed, vectors = tmp_path / "packed.olz", tmp_path / "vectors.npy"
    out = {name: tmp_path / name for name in ("decompressed", "decoded", "translated")}
    run("compress", "-model", numbers, "-src", source, "-output", packed)
    run("decompress", "-model", numbers, "-input", packed, "-output", out["decompressed"])
    run("encode", "-model", numbers, "-src", source, "-output", vectors)
    run("decode", "-model", numbers, "-input", vectors, "-output", out["decoded"])
    run("translate", "-model", numbers, "-src", source, "-output", out["translated"])
    written = read(out["decompressed"])
    assert sum(a == b for a, b in zip(written, read(target), strict=True)) > len(written) / 3
    assert read(out["decoded"]) == read(out["translated"]) == written
    assert packed.stat().st_size < 20 * len(written)
    beam = tmp_path / "beam"
    run("translate", "-model", numbers, "-src", source, "-output", beam, "-beam_size", 3)
    assert {word for line in read(beam) for word in line.split()} <= {"number", *"012345"}


def test_what_a_task_is_refused(
    corpus: Corpus, numbers: Path, tmp_path: Path, trained: Trained, mistake: Mistake
) -> None:
    source, target = sides(numbers)
    short = write(tmp_path / "short.tgt", read(target)[:-1])
    other = write(tmp_path / "other", read(corpus.valid))
    given, alone = ("-model", numbers, "-src", source), ("-model", trained("gaussian"))
    alone = (*alone, "-src", corpus.valid, "-tgt")
    lossless = (*given, "-output", tmp_path / "x", "-lossless")
    for words, said in (
        (("compress", *lossless), "lossless coding is for autoencoders"),
        (("evaluate", *given), "-tgt: expected a target for each line"),
        (("evaluate", *given, "-tgt", short), f"-tgt {short}: has 99 lines, -src {source} has"),
        (("evaluate", *alone, corpus.train), "has more"),
        (("evaluate", *alone, other), "the model is an autoencoder"),
    ):
        assert said in mistake(*words)
    with pytest.raises(UserError, match="targets: expected a target for each line"):
        onmt_lattice.load(numbers).score(["a b"])
    with pytest.raises(UserError, match="2 targets: expected one for each of 1"):
        onmt_lattice.load(numbers).score(["a b"], ["number 0", "number 1"])


def test_rate_and_nll_are_a_code_for_the_target(corpus: Corpus, tmp_path: Path) -> None:
    """Sentences of the grammar said backwards have its entropy, which no total is below.

    Quantizing takes the sources alone.
    """
    data, base = paired(corpus, tmp_path), tmp_path / "backwards"
    config = corpus.yaml(tmp_path / "task.yaml", data=data, train_steps=60, valid_steps=60)
    train(config, "-save_model", base)
    gaussian, lattice = f"{base}_step_60.safetensors", tmp_path / "lattice.safetensors"
    words = ("-src", corpus.train, "-lattice", "A2", "-fit_sentences", 300)
    run("quantize", "-model", gaussian, "-output", lattice, *words)
    valid, model = data["valid"], str(lattice)
    options = EvaluateOptions(model=[model], src=valid["path_src"], tgt=valid["path_tgt"])
    found = evaluate(model, options, lambda lines: known_source(tuple(backwards([*lines]))))
    assert found.is_code and found.entropy is not None and found.entropy.holds
    assert found.entropy.excess_bits_sentence.mean > 0
    assert "entropy of the target" in found.table()
