"""The vocabulary: each sentence counted once, the file whole."""

from __future__ import annotations

import multiprocessing
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import Corpus, Mistake

from onmt_lattice.cli import main
from onmt_lattice.opennmt.data.vocabulary import read_vocabulary


def read(path: Path) -> list[tuple[str, int]]:
    rows = (line.split("\t") for line in path.read_text(encoding="utf-8").splitlines())
    return [(token, int(count)) for token, count in rows]


def counted(*texts: Path, lines: int | None = None) -> Counter[str]:
    counter: Counter[str] = Counter()
    for text in texts:
        for line in text.read_text(encoding="utf-8").splitlines()[:lines]:
            counter.update(line.split())
    return counter


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no token in it; expected '<token>\\t<count>'"),
        (b"\n \n", "no token in it"),
        (b"the\t3\nold\0\t2\n", "line 2 holds a NUL byte"),
        (bytes(range(128, 256)), "not UTF-8 text"),
        (b"PK\x03\x04\0\0", "is a zip archive, as a checkpoint is"),
        ("the\t3\n".encode("utf-16"), "is in UTF-16"),
        (b"the\t3\nold\t2\nthe\t1\n", "line 3 repeats 'the'"),
        (b"the\nold\nthe\n", "line 3 repeats 'the'"),
        (b"the old man\nsees a dog\n", "line 1 is 'the old man'"),
        (b"the\t3\nold\n", "line 2 is 'old'"),
        (b"the\t3\nold\t-2.5\n", r"line 2 is 'old\t-2.5'"),
        ("the\t3\nold\t²\n".encode(), r"line 2 is 'old\t²'"),
    ],
)
def test_what_is_no_vocabulary_is_told(
    corpus: Corpus, tmp_path: Path, mistake: Mistake, content: bytes, said: str
) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(content)
    config = corpus.yaml(tmp_path / "a.yaml", src_vocab=str(path), save_model=str(tmp_path / "m"))
    line = mistake("train", "-config", config)
    assert f"-src_vocab {path}: " in line and said in line


def test_a_mark_at_the_beginning_is_no_part_of_the_first_token(tmp_path: Path) -> None:
    path = tmp_path / "vocab.txt"
    path.write_bytes(b"\xef\xbb\xbfthe\t3\n\nold\t2\n")
    assert read_vocabulary(str(path)) == ([["the", "3"], ["old", "2"]], True)
    path.write_bytes(b"the\r\nold\n")
    assert read_vocabulary(str(path)) == (["the", "old"], False)


def build(path: Path, sources: list[Path], *words: object) -> int:
    corpora = {f"c{i}": {"path_src": str(source)} for i, source in enumerate(sources)}
    argv = ["build_vocab", "-data", yaml.safe_dump(corpora), "-src_vocab", path, *words]
    return main([str(word) for word in argv])


def test_every_sentence_is_counted_once(corpus: Corpus) -> None:
    rows = read(corpus.vocabulary)
    assert dict(rows) == counted(corpus.train)  # not the validation text, and not twice
    assert [count for _, count in rows] == sorted((count for _, count in rows), reverse=True)


@pytest.mark.parametrize("threads", [1, 2])
def test_several_corpora_and_threads(corpus: Corpus, tmp_path: Path, threads: int) -> None:
    path = tmp_path / "deep" / "vocab.txt"
    assert build(path, [corpus.train, corpus.test], "-num_threads", threads) == 0
    assert dict(read(path)) == counted(corpus.train, corpus.test)
    sample = tmp_path / "sample.txt"
    assert build(sample, [corpus.train], "-n_sample", 50, "-num_threads", threads) == 0
    assert dict(read(sample)) == counted(corpus.train, lines=50)


@pytest.fixture
def spawning() -> Iterator[None]:
    """Processes start by themselves, as on Python 3.14, and know nothing of this one."""
    before = multiprocessing.get_start_method()
    multiprocessing.set_start_method("spawn", force=True)
    yield
    multiprocessing.set_start_method(before, force=True)


@pytest.mark.usefixtures("spawning")
def test_workers_count_words_as_training_reads_them(corpus: Corpus, tmp_path: Path) -> None:
    """OpenNMT-py itself would find an empty word where a transform leaves nothing of a line."""
    corpus.subwords(tmp_path / "p")
    (tmp_path / "text").write_text("the \n\u200b\n", encoding="utf-8")
    config = corpus.yaml(
        tmp_path / "a.yaml",
        data={"c": {"path_src": str(tmp_path / "text"), "transforms": ["sentencepiece"]}},
        src_subword_model=str(tmp_path / "p.model"),
        src_vocab=str(tmp_path / "vocab"),
    )
    assert main(["build_vocab", "-config", str(config)]) == 0
    assert read(tmp_path / "vocab") == [("▁the", 1)]


def test_a_vocabulary_is_overwritten_only_if_asked(
    corpus: Corpus, tmp_path: Path, mistake: Mistake
) -> None:
    path = tmp_path / "vocab.txt"
    assert build(path, [corpus.test]) == 0
    words = ("-data", f"{{c: {{path_src: {corpus.train}}}}}", "-src_vocab", path)
    assert f"-src_vocab {path}: exists already; -overwrite" in mistake("build_vocab", *words)
    assert dict(read(path)) == counted(corpus.test)
    assert build(path, [corpus.train], "-overwrite") == 0
    text = tmp_path / "text"
    text.write_text("a b\n")
    words = ("-data", f"{{c: {{path_src: {text}}}}}", "-src_vocab", text, "-overwrite")
    assert "is a text of -data as well; expected another file" in mistake("build_vocab", *words)
    assert text.read_text() == "a b\n"
    assert dict(read(path)) == counted(corpus.train)


def test_what_cannot_be_counted(corpus: Corpus, tmp_path: Path, mistake: Mistake) -> None:
    words = ("build_vocab", "-src_vocab", tmp_path / "vocab.txt")
    data = ("-data", f"{{c: {{path_src: {corpus.train}}}}}")
    for more, said in (
        (("-data", "{c: {path_src: nowhere}}"), "nowhere: no such file"),
        ((*data, "-n_sample", 0), "-n_sample 0: expected"),
        ((*data, "-num_threads", 0), "-num_threads 0: expected"),
        ((*data, "-dump_samples"), "-dump_samples: expected a -save_data"),
        ((*data, "-tgt_vocab", "other"), "has one vocabulary"),
        ((*data, "-overwrit"), "unknown option 'overwrit'; did you mean 'overwrite'?"),
        ((*data, "-rnn_size", 3), "unknown option 'rnn_size'"),
        ((), "-data"),
    ):
        assert said in mistake(*words, *more)
    assert not (tmp_path / "vocab.txt").exists()


def test_the_model_knows_the_words_and_the_marks(corpus: Corpus, tmp_path: Path) -> None:
    from onmt_lattice.opennmt.checkpoint.loading import load_checkpoint

    config = corpus.yaml(
        tmp_path / "a.yaml", save_model=str(tmp_path / "m"), train_steps=1, src_vocab_size=100
    )
    assert main(["train", "-config", str(config)]) == 0
    fields = load_checkpoint(tmp_path / "m_step_1.safetensors")["vocab"]
    source, target = (fields[side].base_field.vocab.itos for side in ("src", "tgt"))
    marks = {"<unk>", "<blank>", "<s>", "</s>"}
    most = {token for token, _ in counted(corpus.train).most_common(96)}
    assert source == target and marks < set(source)
    assert len(set(source) & most) > 90 and len(source) <= 104
