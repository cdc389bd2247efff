from __future__ import annotations

import io
import itertools
import json
import os
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import miniature
import pytest
import sentencepiece
import yaml
from subword_nmt.apply_bpe import BPE

from onmt_lattice.errors import UserError
from onmt_lattice.experiments.prepare import parallel
from onmt_lattice.experiments.prepare.moses import tokeniser
from onmt_lattice.experiments.prepare.options import TRAINING, Wmt16Options
from onmt_lattice.experiments.prepare.wmt16 import prepare
from onmt_lattice.files import sha256

MEMBERS = miniature.members()
TEXTS = ["valid.en", "newstest2014.en", "newstest2015.en", "newstest2016.en"]
PUBLISHED = Path(__file__).resolve().parent.parent / "data" / "wmt16.sha256"
OUTPUTS = ["train.en", *TEXTS, "bpe.codes", "vocab.txt"]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Divide each corpus of 40 pairs among the workers."""
    monkeypatch.setattr(parallel, "BATCH", 7)


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Wmt16Options:
    """Wmt16Options by which data has been prepared, to read."""
    folder = tmp_path_factory.mktemp("wmt16")
    given = miniature.write(folder / "archives", miniature.archives(MEMBERS))
    options = Wmt16Options(output=folder / "out", merges=40, archives=given)
    prepare(options)
    return options


@pytest.fixture
def new(prepared: Wmt16Options, tmp_path: Path) -> Wmt16Options:
    """The same options for an empty folder."""
    return replace(prepared, output=tmp_path / "out")


@pytest.fixture
def copy(prepared: Wmt16Options, new: Wmt16Options) -> Wmt16Options:
    """The same options for a copy of the prepared data, to change."""
    shutil.copytree(prepared.output, new.output)
    return new


def changed(tmp_path: Path, archive: str, **added: bytes) -> Path:
    """Return a folder of the archives, with bytes ``added`` to texts whose names end so."""
    held = {
        name: content + added.get(name.rpartition(".")[2], b"")
        for name, content in MEMBERS[archive].items()
    }
    return miniature.write(tmp_path / "archives", miniature.archives(MEMBERS | {archive: held}))


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def contents(out: Path) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in OUTPUTS}


def side(index: int) -> list[str]:
    """Return the raw training sentences in English, 0, or German, 1."""
    members = [(corpus.archive, corpus.members[index]) for corpus in TRAINING.values()]
    return [line for a, m in members for line in MEMBERS[a][m].decode().split("\n")[:-1]]


def units_of(out: Path, language: str, sentences: list[str]) -> list[str]:
    """Return what subword-nmt makes of the tokens."""
    bpe = BPE(io.StringIO((out / "bpe.codes").read_text()))
    return [bpe.process_line(tokeniser(language)(line)) for line in sentences]


def counts(lines: list[str]) -> Counter[str]:
    return Counter(unit for line in lines for unit in line.split(" "))


def vocabulary(out: Path) -> dict[str, int]:
    entries = (line.split("\t") for line in lines(out / "vocab.txt"))
    return {unit: int(count) for unit, count in entries}


# What is prepared


def test_all_texts_are_tokens_segmented_by_subword_nmt(
    prepared: Wmt16Options, copy: Wmt16Options
) -> None:
    expected = units_of(prepared.output, "en", side(0))
    shuffled = lines(prepared.output / "train.en")
    assert sorted(shuffled) == sorted(expected)
    assert shuffled != expected
    years = {"valid.en": 2013} | {f"newstest{year}.en": year for year in (2014, 2015, 2016)}
    for name, year in years.items():
        plain = miniature.sentences(5, "en", year)
        assert lines(prepared.output / name) == units_of(prepared.output, "en", plain)
    counted = vocabulary(prepared.output)
    assert counted == counts(shuffled)
    assert list(counted.values()) == sorted(counted.values(), reverse=True)
    prepare(replace(copy, keep_order=True, redo=True))
    assert lines(copy.output / "train.en") == expected


def test_pairs_are_dropped_and_invalid_bytes_noted(new: Wmt16Options, tmp_path: Path) -> None:
    english = miniature.text(["only one side", "", "a " * 81]) + b"caf\xe9\n"
    german = miniature.text(["", "", "b " * 81, "gut"])
    given = changed(tmp_path, "de-en.tgz", en=english, de=german)
    manifest = prepare(replace(new, archives=given))
    assert manifest.facts("tokens/europarl-v7") == {
        "pairs": 44,
        "kept": 41,
        "dropped": {"empty": 2, "too long": 1},
        "lines not UTF-8": [44],
    }
    assert manifest.facts("train")["sentences"] == 121
    assert "\ufffd" in (new.output / "train.en").read_text()


def test_joint_bpe_learns_and_counts_both_languages_and_writes_english(new: Wmt16Options) -> None:
    prepare(replace(new, joint_bpe=True))
    english, german = (units_of(new.output, "en de".split()[i], side(i)) for i in (0, 1))
    assert sorted(lines(new.output / "train.en")) == sorted(english)
    assert vocabulary(new.output) == counts(english + german)


def test_sentencepiece_leaves_the_text_plain(new: Wmt16Options) -> None:
    prepare(replace(new, subword="sentencepiece", merges=70))
    model = sentencepiece.SentencePieceProcessor(model_file=str(new.output / "sentencepiece.model"))

    def pieces(sentences: list[str]) -> list[str]:
        return [" ".join(model.encode(line, out_type=str)) for line in sentences]

    assert sorted(lines(new.output / "train.en")) == sorted(side(0))
    plain = miniature.sentences(5, "en", 2014)
    assert lines(new.output / "newstest2014.en") == plain
    assert lines(new.output / "newstest2014.pieces.en") == pieces(plain)
    assert vocabulary(new.output) == counts(pieces(side(0)))
    content = yaml.safe_load((new.output / "data.yaml").read_text())
    assert content["data"]["train"]["transforms"] == ["sentencepiece"]
    assert content["src_subword_model"] == str((new.output / "sentencepiece.model").resolve())


def test_lines_of_which_the_model_leaves_nothing_are_dropped(
    new: Wmt16Options, tmp_path: Path
) -> None:
    given = changed(tmp_path, "de-en.tgz", en="\u200b\n\ufeff\n▁\n".encode(), de=b"x\n" * 3)
    manifest = prepare(replace(new, archives=given, subword="sentencepiece", merges=70))
    assert manifest.facts("tokens/europarl-v7")["kept"] == 43
    assert manifest.facts("train")["sentences"] == 120
    assert sorted(lines(new.output / "train.en")) == sorted(side(0))


# The same bytes, however they are made


def test_more_workers_make_the_same(prepared: Wmt16Options, new: Wmt16Options) -> None:
    prepare(replace(new, workers=2))
    assert contents(new.output) == contents(prepared.output)


def test_downloads_make_the_same_and_broken_ones_resume(
    prepared: Wmt16Options, new: Wmt16Options
) -> None:
    given = miniature.write(new.output.parent / "given", {})
    shutil.copy(prepared.archives / "test.tgz", given)  # which is not downloaded then
    with miniature.serving(miniature.archives(), break_after={"de-en.tgz": 300}) as server:
        prepare(replace(new, archives=given, mirror=server.url))
        assert sorted({name for name, _ in server.asked} | {"test.tgz"}) == sorted(MEMBERS)
        assert ("de-en.tgz", "bytes=300-") in server.asked
        assert contents(new.output) == contents(prepared.output)
        shutil.rmtree(new.output / "downloads")
        (given / "test.tgz").unlink()
        asked = len(server.asked)
        assert prepare(replace(new, archives=None, mirror=server.url)).done == []
        assert len(server.asked) == asked  # nobody needs an archive when everything is done


def test_an_interruption_anywhere_leaves_whole_files_and_is_resumed(
    copy: Wmt16Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = contents(copy.output)
    rename = os.replace
    for moment in itertools.count(step=3):
        for path in [*copy.output.rglob("*.en"), copy.output / "manifest.json"]:
            path.unlink(missing_ok=True)
        calls = itertools.count()

        def interrupted(source: Any, target: Any, calls: Any = calls, moment: int = moment) -> None:
            if next(calls) == moment:
                raise KeyboardInterrupt
            rename(source, target)

        monkeypatch.setattr(os, "replace", interrupted)
        try:
            prepare(copy)
            break
        except KeyboardInterrupt:
            pass
        monkeypatch.setattr(os, "replace", rename)
        for name in OUTPUTS:
            path = copy.output / name
            assert not path.exists() or path.read_bytes() == expected[name]
        prepare(copy)
        assert contents(copy.output) == expected
    assert moment > 20


# What a further run does


def test_a_second_run_does_nothing_and_a_moved_folder_needs_its_yaml(copy: Wmt16Options) -> None:
    def times() -> dict[str, int]:
        files = [path for path in copy.output.rglob("*") if path.is_file()]
        return {str(p.relative_to(copy.output)): p.stat().st_mtime_ns for p in files}

    assert prepare(copy).done == []
    before = times()
    assert prepare(copy).done == []
    assert times() == before
    content = yaml.safe_load((copy.output / "data.yaml").read_text())
    for name in ("train", "valid"):
        assert content["data"][name]["path_src"] == str((copy.output / f"{name}.en").resolve())
    assert content["src_vocab"] == str((copy.output / "vocab.txt").resolve())


def test_other_options_are_refused_or_redo_what_depends_on_them(copy: Wmt16Options) -> None:
    before = contents(copy.output)
    with pytest.raises(UserError, match="merges was 40, is 20; max_tokens was 80, is 70"):
        prepare(replace(copy, merges=20, max_tokens=70))
    assert contents(copy.output) == before
    other = replace(copy, seed=2, redo=True, keep_work=True)
    assert [step for step in prepare(other).done if "/" not in step] == ["train"]
    texts = [name.removesuffix(".en") for name in TEXTS]
    assert prepare(replace(other, merges=20)).done == ["model", "train", *texts]
    shorter = prepare(replace(other, merges=20, max_tokens=8)).done
    assert [step for step in shorter if step.startswith("tokens/")]


# What archives can have wrong with them


def test_a_misaligned_pair_is_refused_with_both_counts(new: Wmt16Options, tmp_path: Path) -> None:
    given = changed(tmp_path, "de-en.tgz", de=b"noch eine Zeile\n")
    with pytest.raises(UserError, match=r"\.en has 40 lines and .*\.de has 41"):
        prepare(replace(new, archives=given))


def test_required_checksums_are_enforced_even_later(copy: Wmt16Options, tmp_path: Path) -> None:
    given = miniature.write(tmp_path / "archives", miniature.archives())
    required = tmp_path / "sums"
    digests = {path.name: sha256(path) for path in given.iterdir()}
    required.write_text("".join(f"{digest}  {name}\n" for name, digest in digests.items()))
    options = replace(copy, archives=given, checksums=required, redo=True)
    prepare(options)
    required.write_text(f"# of another\n{'0' * 64} *dev.tgz\n")
    for path in (given / "dev.tgz", None):  # there, and deleted after it was read
        name = path or "^dev.tgz"
        with pytest.raises(UserError, match=f"{name}: SHA-256 .*-checksums has 0000"):
            prepare(options)
        (given / "dev.tgz").unlink(missing_ok=True)


def test_a_file_without_their_checksums_is_refused(new: Wmt16Options, tmp_path: Path) -> None:
    for content, message in (
        ("abc  de-en.tgz\n", r"sums, line 1: .* is not a line of sha256sum"),
        ("\nde-en.tgz\n", r"sums, line 2: .* is not a line of sha256sum"),
        (f"{'0' * 64}  other.tgz\n", r"-checksums .* names none of de-en\.tgz, "),
        (PUBLISHED.read_text(), r"commoncrawl\.tgz: SHA-256 is .* -checksums has c7a74e"),
    ):
        (tmp_path / "sums").write_text(content)
        with pytest.raises(UserError, match=message):
            prepare(replace(new, checksums=tmp_path / "sums"))


def test_an_archive_that_has_changed_at_its_source_is_reported_and_then_prepared_from(
    new: Wmt16Options,
) -> None:
    with miniature.serving(miniature.archives()) as server:
        fetching = replace(new, archives=None, mirror=server.url)
        prepare(fetching)
        archive = new.output / "downloads" / "dev.tgz"
        record = json.loads((new.output / "manifest.json").read_text())["steps"]
        assert record["archive/dev.tgz"]["facts"]["sha256"] == sha256(archive)
        archive.unlink()
        server.files["dev.tgz"] = miniature.tgz(MEMBERS["dev.tgz"] | {"more": b"more"})
        (new.output / "valid.en").unlink()
        with pytest.raises(UserError, match=r"dev\.tgz: SHA-256 is .* has changed .* -redo"):
            prepare(fetching)
        with pytest.raises(UserError, match="from other archives"):
            prepare(fetching)
        assert "valid" in prepare(replace(fetching, redo=True)).done
