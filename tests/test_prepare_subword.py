"""Subword models, and newstest2014 segmented by them."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import miniature
import pytest
from miniature import sentences

from onmt_lattice.errors import UserError
from onmt_lattice.experiments.prepare import newstest
from onmt_lattice.experiments.prepare.subword import learn_bpe, learn_pieces, segment

PLAIN = sentences(200, "en")


def test_a_text_too_small_for_its_model_is_refused(tmp_path: Path) -> None:
    for text in (["ab cd"], ["a a a"], []):
        with pytest.raises(UserError, match="too small"):
            learn_bpe(text, 10, tmp_path / "bpe.codes")
    with pytest.raises(UserError, match="give another -merges"):
        learn_pieces(PLAIN, 32_000, tmp_path / "x.model")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["bpe.codes", "x.model"])
def test_what_is_not_a_model_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=f"there is no subword model .*{name}"):
        segment([], tmp_path / name)
    (tmp_path / name).write_text("this is neither\n")
    with pytest.raises(UserError, match=f"{name} is not a subword model"):
        segment([], tmp_path / name)


SENTENCES = miniature.sentences(3003, "en")
SENTENCES[0] = "R&amp;D isn't over."


@pytest.fixture
def given(tmp_path: Path) -> Path:
    archive = miniature.tgz({newstest.MEMBER: miniature.sgm(SENTENCES)})
    return miniature.write(tmp_path / "archives", {newstest.ARCHIVE: archive})


@pytest.fixture
def sacrebleus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[miniature.Server]:
    """Point sacrebleu's test set at a server on loopback and its cache at ``tmp_path``."""
    from sacrebleu import dataset, utils

    files = {
        path: miniature.sgm(SENTENCES)
        for path in dataset.DATASETS[newstest.TEST_SET].langpairs[newstest.PAIR]
    }
    monkeypatch.setattr(utils, "SACREBLEU_DIR", str(tmp_path / "cache"))
    with miniature.serving({newstest.ARCHIVE: miniature.tgz(files)}) as server:
        replacement = type(dataset.DATASETS[newstest.TEST_SET])(
            newstest.TEST_SET,
            data=[f"{server.url}/{newstest.ARCHIVE}"],
            langpairs={newstest.PAIR: list(files)},
        )
        folder = tmp_path / "cache" / newstest.TEST_SET
        monkeypatch.setattr(replacement, "_outdir", str(folder))
        monkeypatch.setattr(replacement, "_rawdir", str(folder / "raw"))
        monkeypatch.setitem(dataset.DATASETS, newstest.TEST_SET, replacement)
        yield server


def lines_in(path: Path) -> list[str]:
    return path.read_text().splitlines()


def test_an_archive_gives_tokens_and_a_model_segments_them(tmp_path: Path, given: Path) -> None:
    facts = newstest.prepare(tmp_path / "out.en", given)
    tokens = lines_in(tmp_path / "out.en")
    assert tokens[0] == "R &amp; D isn &apos;t over ."
    assert facts == {"sentences": 3003, "units": sum(len(line.split()) for line in tokens)}
    learn_bpe(SENTENCES, 20, tmp_path / "bpe.codes")
    newstest.prepare(tmp_path / "units.en", given, tmp_path / "bpe.codes")
    assert lines_in(tmp_path / "units.en") == segment(tokens, tmp_path / "bpe.codes") != tokens
    learn_pieces(SENTENCES, 60, tmp_path / "x.model")
    newstest.prepare(tmp_path / "pieces.en", given, tmp_path / "x.model")
    first = lines_in(tmp_path / "pieces.en")[0]
    assert first.replace(" ", "").replace("▁", " ").strip() == "R&D isn't over."


def test_sacrebleu_gives_the_same_and_downloads_once(
    tmp_path: Path, given: Path, sacrebleus: miniature.Server
) -> None:
    newstest.prepare(tmp_path / "archive.en", given)
    for name in ("first.en", "second.en"):
        newstest.prepare(tmp_path / name)
        assert (tmp_path / name).read_text() == (tmp_path / "archive.en").read_text()
    assert len(sacrebleus.asked) == 1
    cache = tmp_path / "cache" / newstest.TEST_SET
    shutil.rmtree(cache)
    sacrebleus.files.clear()
    with pytest.raises(UserError, match=r"404.*give -from a folder with test-full\.tgz"):
        newstest.prepare(tmp_path / "out.en")
    (cache / "raw").mkdir(parents=True, exist_ok=True)
    (cache / "raw/wmt14_full.test-full.tgz").write_bytes(b"the beginning")
    with pytest.raises(UserError, match=f"delete {cache}"):
        newstest.prepare(tmp_path / "out.en")


def test_another_number_of_sentences_is_refused(tmp_path: Path) -> None:
    archive = miniature.tgz({newstest.MEMBER: miniature.sgm(SENTENCES[:2737])})
    given = miniature.write(tmp_path / "archives", {newstest.ARCHIVE: archive})
    with pytest.raises(UserError, match="has 2,737 sentences and not 3,003"):
        newstest.prepare(tmp_path / "out.en", given)
    assert not (tmp_path / "out.en").exists()
