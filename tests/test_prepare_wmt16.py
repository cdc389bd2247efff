from __future__ import annotations

import hashlib
import io
import itertools
import json
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import miniature
import pytest
import sentencepiece
import yaml
from subword_nmt.apply_bpe import BPE

from onmt_lattice.errors import UserError
from onmt_lattice.files import sha256
from onmt_lattice.prepare import tokens
from onmt_lattice.prepare.options import Options
from onmt_lattice.prepare.sources import TRAINING
from onmt_lattice.prepare.tokenise import tokeniser
from onmt_lattice.prepare.wmt16 import prepare

Members = dict[str, dict[str, bytes]]
Given = Callable[[Members], Path]

TEXTS = ["valid.en", "newstest2014.en", "newstest2015.en", "newstest2016.en"]
SPECIALS = ["<unk>", "<blank>", "<s>", "</s>"]  # which OpenNMT-py adds
OUTPUTS = ["train.en", *TEXTS, "bpe.codes", "vocab.txt", "data.yaml"]


@pytest.fixture(autouse=True)
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Divide each corpus of 40 pairs among the workers."""
    monkeypatch.setattr(tokens, "BATCH", 7)


@pytest.fixture
def members() -> Members:
    return miniature.members()


@pytest.fixture
def given(tmp_path: Path) -> Given:
    def write(content: Members) -> Path:
        return miniature.write(tmp_path / "archives", miniature.archives(content))

    return write


@pytest.fixture
def options(tmp_path: Path, members: Members, given: Given) -> Options:
    return Options(tmp_path / "out", merges=40, given=given(members))


def lines(path: Path) -> list[str]:
    return path.read_text().splitlines()


def contents(out: Path, names: list[str] = OUTPUTS) -> dict[str, bytes]:
    return {name: (out / name).read_bytes() for name in names}


def english(members: Members) -> list[str]:
    return [
        line
        for corpus in TRAINING.values()
        for line in members[corpus.archive][corpus.english].decode().split("\n")[:-1]
    ]


def test_the_training_text_is_what_subword_nmt_makes_of_the_tokens(
    options: Options, members: Members
) -> None:
    prepare(options)
    bpe = BPE(io.StringIO((options.output / "bpe.codes").read_text()))
    expected = [bpe.process_line(tokeniser("en")(line)) for line in english(members)]
    assert sorted(lines(options.output / "train.en")) == sorted(expected)
    assert lines(options.output / "train.en") != expected  # shuffled
    prepare(replace(options, keep_order=True, redo=True))
    assert lines(options.output / "train.en") == expected


def test_the_texts_are_tokenised_and_segmented_likewise(options: Options, members: Members) -> None:
    prepare(options)
    bpe = BPE(io.StringIO((options.output / "bpe.codes").read_text()))
    years = {"valid.en": 2013} | {f"newstest{year}.en": year for year in (2014, 2015, 2016)}
    for name, year in years.items():
        plain = miniature.sentences(5, "en", year)
        assert lines(options.output / name) == [bpe.process_line(tokeniser("en")(s)) for s in plain]


def test_the_vocabulary_counts_the_units_of_the_training_text(options: Options) -> None:
    prepare(options)
    entries = [line.split("\t") for line in lines(options.output / "vocab.txt")]
    units = Counter(unit for line in lines(options.output / "train.en") for unit in line.split())
    assert {unit: int(count) for unit, count in entries} == units
    counts = [int(count) for _, count in entries]
    assert counts == sorted(counts, reverse=True)


def test_pairs_beyond_the_limits_are_dropped(
    options: Options, members: Members, given: Given
) -> None:
    europarl = members["de-en.tgz"]
    europarl["europarl-v7.de-en.en"] += miniature.text(["only one side", "", "a " * 81, "fine"])
    europarl["europarl-v7.de-en.de"] += miniature.text(["", "", "b " * 81, "gut"])
    given(members)
    manifest = prepare(options)
    assert manifest.facts("train")["sentences"] == 121
    assert manifest.facts("tokens/europarl-v7")["dropped"] == {"empty": 2, "too long": 1}


def test_a_second_run_does_nothing(options: Options) -> None:
    prepare(options)
    before = {path: path.stat().st_mtime_ns for path in options.output.rglob("*") if path.is_file()}
    assert prepare(options).done == []
    after = {path: path.stat().st_mtime_ns for path in options.output.rglob("*") if path.is_file()}
    del before[options.output / ".lock"], after[options.output / ".lock"]
    assert after == before


def test_archives_may_be_deleted_when_all_is_done(options: Options) -> None:
    with miniature.serving(miniature.archives()) as server:
        fetching = replace(options, given=None, mirror=server.url)
        prepare(fetching)
        assert len(server.asked) == 5
        for path in (options.output / "downloads").glob("*.tgz"):
            path.unlink()
        assert prepare(fetching).done == []
        assert len(server.asked) == 5


def test_a_deleted_output_is_made_anew_and_nothing_else(options: Options) -> None:
    prepare(options)
    before = contents(options.output)
    (options.output / "newstest2014.en").unlink()
    assert prepare(options).done == ["newstest2014"]
    (options.output / "train.en").unlink()
    assert [step for step in prepare(options).done if "/" not in step] == ["train"]
    assert contents(options.output) == before


def test_other_options_redo_what_depends_on_them(options: Options) -> None:
    options = replace(options, keep_work=True)
    prepare(options)
    assert prepare(replace(options, seed=2, redo=True)).done == ["train"]
    other = replace(options, merges=20, redo=True)
    texts = [name.removesuffix(".en") for name in TEXTS]
    assert prepare(replace(other, seed=2)).done == ["model", "train", *texts]
    shorter = prepare(replace(other, seed=2, max_tokens=8)).done
    assert [step for step in shorter if step.startswith("tokens/")]


def test_other_options_are_refused_unless_asked_to_redo(options: Options) -> None:
    prepare(options)
    before = contents(options.output)
    with pytest.raises(UserError, match="merges was 40, is 20; max_tokens was 80, is 70"):
        prepare(replace(options, merges=20, max_tokens=70))
    assert contents(options.output) == before


def test_the_intermediate_files_are_deleted_unless_asked_for(options: Options) -> None:
    prepare(options)
    assert not (options.output / "work").exists()
    (options.output / "work").mkdir()
    (options.output / "work" / "theirs").touch()
    prepare(replace(options, seed=3, redo=True))
    assert [path.name for path in (options.output / "work").iterdir()] == ["theirs"]
    (options.output / "work" / "theirs").unlink()
    prepare(replace(options, seed=2, redo=True, keep_work=True))
    assert len(list((options.output / "work").iterdir())) == 3


def test_more_workers_make_the_same(options: Options) -> None:
    prepare(options)
    one = contents(options.output, OUTPUTS[:-1])
    prepare(replace(options, output=options.output.parent / "two", workers=2))
    assert contents(options.output.parent / "two", OUTPUTS[:-1]) == one


def test_joint_bpe_learns_and_counts_both_languages_and_writes_english(
    options: Options, members: Members
) -> None:
    prepare(replace(options, joint_bpe=True))
    bpe = BPE(io.StringIO((options.output / "bpe.codes").read_text()))
    units = Counter()
    for corpus in TRAINING.values():
        for language, member in (("en", corpus.english), ("de", corpus.german)):
            for line in members[corpus.archive][member].decode().split("\n")[:-1]:
                units.update(bpe.process_line(tokeniser(language)(line)).split())
    entries = (line.split("\t") for line in lines(options.output / "vocab.txt"))
    assert {unit: int(count) for unit, count in entries} == units
    text = " ".join(lines(options.output / "train.en")).replace("@@ ", "")
    assert "Haus" not in text
    assert "house" in text


def test_sentencepiece_leaves_the_text_plain(options: Options, members: Members) -> None:
    prepare(replace(options, subword="sentencepiece", merges=70))
    model = sentencepiece.SentencePieceProcessor(
        model_file=str(options.output / "sentencepiece.model")
    )
    assert sorted(lines(options.output / "train.en")) == sorted(english(members))
    plain = miniature.sentences(5, "en", 2014)
    assert lines(options.output / "newstest2014.en") == plain
    pieces = [" ".join(model.encode(line, out_type=str)) for line in plain]
    assert lines(options.output / "newstest2014.pieces.en") == pieces
    units = Counter(u for line in english(members) for u in model.encode(line, out_type=str))
    entries = (line.split("\t") for line in lines(options.output / "vocab.txt"))
    assert {unit: int(count) for unit, count in entries} == units


@pytest.mark.parametrize(("kind", "merges"), [("bpe", 40), ("sentencepiece", 70)])
def test_opennmt_reads_the_yaml(options: Options, kind: str, merges: int) -> None:
    from onmt.inputters.corpus import build_corpora_iters, get_corpora
    from onmt.inputters.fields import build_dynamic_fields
    from onmt.opts import train_opts
    from onmt.transforms import get_transforms_cls, make_transforms
    from onmt.utils.parse import ArgumentParser

    manifest = prepare(replace(options, subword=kind, merges=merges))
    parser = ArgumentParser()
    train_opts(parser)
    config = [
        "-config",
        str(options.output / "data.yaml"),
        "-save_model",
        str(options.output / "m"),
    ]
    opt, unknown = parser.parse_known_args(config)
    assert unknown == []
    ArgumentParser.validate_prepare_opts(opt)
    vocabulary = build_dynamic_fields(opt)["src"].base_field.vocab
    assert len(vocabulary) == manifest.facts("train")["vocabulary"] + len(SPECIALS)
    transforms = make_transforms(opt, get_transforms_cls(opt._all_transform), None)
    iterator = build_corpora_iters(get_corpora(opt, is_train=True), transforms, opt.data)["train"]
    examples = (transform.apply(example) for example, transform, _ in iterator)
    units = Counter(unit for example in examples for unit in example["src"])
    assert units.total() == manifest.facts("train")["units"]
    assert all(unit in vocabulary.stoi for unit in units)


def test_the_yaml_names_the_files_wherever_it_is_read_from(options: Options) -> None:
    prepare(options)
    content = yaml.safe_load((options.output / "data.yaml").read_text())
    corpora = content["data"]
    assert {name: corpora[name]["path_src"] for name in corpora} == {
        name: str((options.output / f"{name}.en").resolve()) for name in ("train", "valid")
    }
    assert content["src_vocab"] == str((options.output / "vocab.txt").resolve())


def test_a_moved_folder_only_needs_its_yaml_anew(options: Options) -> None:
    prepare(options)
    moved = options.output.rename(options.output.parent / "moved")
    assert prepare(replace(options, output=moved)).done == []
    assert str(moved.resolve()) in (moved / "data.yaml").read_text()


# What archives can have wrong with them


def test_a_misaligned_pair_is_refused_with_both_counts(
    options: Options, members: Members, given: Given
) -> None:
    members["de-en.tgz"]["europarl-v7.de-en.de"] += b"noch eine Zeile\n"
    given(members)
    with pytest.raises(UserError, match=r"\.en has 40 lines and .*\.de has 41"):
        prepare(options)


def test_windows_line_ends_make_no_difference(
    options: Options, members: Members, given: Given
) -> None:
    prepare(options)
    expected = contents(options.output, OUTPUTS[:-1])
    windows = {
        archive: {name: text.replace(b"\n", b"\r\n") for name, text in held.items()}
        for archive, held in members.items()
    }
    other = replace(options, output=options.output.parent / "windows", given=given(windows))
    prepare(other)
    assert contents(other.output, OUTPUTS[:-1]) == expected


def test_invalid_utf8_is_replaced_in_training_text_and_its_lines_are_noted(
    options: Options, members: Members, given: Given
) -> None:
    corpus = members["training-parallel-commoncrawl.tgz"]
    name = "commoncrawl.de-en.en"
    broken = corpus[name].split(b"\n")
    broken[20] = b"caf\xe9 " + broken[20]
    corpus[name] = b"\n".join(broken)
    given(members)
    manifest = prepare(options)
    assert manifest.facts("tokens/commoncrawl")["lines not UTF-8"] == [21]
    assert "\ufffd" in (options.output / "train.en").read_text()


def test_invalid_utf8_in_a_text_to_measure_on_is_refused(
    options: Options, members: Members, given: Given
) -> None:
    members["dev.tgz"]["dev/newstest2013.en"] = b"fine\ncaf\xe9\n"
    given(members)
    with pytest.raises(UserError, match=r"newstest2013\.en, line 2: not UTF-8"):
        prepare(options)
    assert not (options.output / "valid.en").exists()


def test_entities_of_sgm_are_decoded_before_tokenisation(
    options: Options, members: Members, given: Given
) -> None:
    news = miniature.sgm(["R&amp;D &lt;b&gt; &quot;x&quot;"])
    members["dev.tgz"]["dev/newstest2014-deen-ref.en.sgm"] = news
    given(members)
    prepare(options)
    text = (options.output / "newstest2014.en").read_text().replace("@@ ", "")
    assert text == "R &amp; D &lt; b &gt; &quot; x &quot;\n"


def test_a_hostile_archive_is_refused(options: Options, members: Members, given: Given) -> None:
    members["dev.tgz"]["../../.bashrc"] = b"evil"
    given(members)
    with pytest.raises(UserError, match="would land outside"):
        prepare(options)


def test_a_truncated_archive_is_refused_as_it_came(options: Options, members: Members) -> None:
    files = miniature.archives(members)
    files["test.tgz"] = files["test.tgz"][:-20]
    with (
        miniature.serving(files) as server,
        pytest.raises(UserError, match=r"test\.tgz is no whole \.tgz .* delete it"),
    ):
        prepare(replace(options, given=None, mirror=server.url))


# Checksums


def sums(files: dict[str, bytes], **wrong: str) -> str:
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return "".join(f"{digest}  {name}\n" for name, digest in (digests | wrong).items())


def test_required_checksums_are_enforced(
    options: Options, members: Members, tmp_path: Path
) -> None:
    files = miniature.archives(members)
    required = tmp_path / "sums"
    with miniature.serving(files) as server:
        fetching = replace(options, given=None, mirror=server.url, checksums=required)
        required.write_text(sums(files, **{"dev.tgz": "0" * 64}))
        with pytest.raises(UserError, match=r"dev\.tgz: SHA-256 .*-checksums has 0000.*deleted"):
            prepare(fetching)
        assert not (options.output / "downloads" / "dev.tgz").exists()
        assert (options.output / "downloads" / "de-en.tgz").exists()
        required.write_text(sums(files))
        prepare(fetching)
        required.write_text(sums(files, **{"dev.tgz": "0" * 64}))
        with pytest.raises(UserError, match="SHA-256"):
            prepare(fetching)


def test_archives_that_are_not_wmt16s_fail_the_checksums_of_the_documentation(
    options: Options,
) -> None:
    published = Path(__file__).resolve().parent.parent / "data" / "wmt16.sha256"
    with pytest.raises(UserError, match=r"commoncrawl\.tgz: SHA-256 is .* -checksums has c7a74e"):
        prepare(replace(options, checksums=published))


def test_an_archive_of_the_users_own_is_never_deleted(options: Options, tmp_path: Path) -> None:
    required = tmp_path / "sums"
    required.write_text(f"{'0' * 64} *de-en.tgz\n")
    with pytest.raises(UserError, match="get it from another source"):
        prepare(replace(options, checksums=required))
    assert (options.given / "de-en.tgz").exists()


def test_an_archive_that_has_changed_at_its_source_is_told_and_then_prepared_from(
    options: Options, members: Members
) -> None:
    with miniature.serving(miniature.archives(members)) as server:
        fetching = replace(options, given=None, mirror=server.url)
        prepare(fetching)
        archive = options.output / "downloads" / "dev.tgz"
        record = json.loads((options.output / "manifest.json").read_text())["steps"]
        assert record["archive/dev.tgz"]["facts"]["sha256"] == sha256(archive)
        archive.unlink()
        server.files["dev.tgz"] = miniature.tgz(members["dev.tgz"] | {"more": b"more"})
        (options.output / "valid.en").unlink()
        with pytest.raises(UserError, match=r"dev\.tgz: SHA-256 is .* has changed .* -redo"):
            prepare(fetching)
        with pytest.raises(UserError, match="its archives were others"):
            prepare(fetching)
        assert "valid" in prepare(replace(fetching, redo=True)).done


@pytest.mark.parametrize("content", ["abc  de-en.tgz\n", "de-en.tgz\n"])
def test_a_file_without_checksums_is_refused(
    options: Options, tmp_path: Path, content: Members | str
) -> None:
    (tmp_path / "sums").write_text(content)
    with pytest.raises(UserError, match=r"sums, line 1: .* is no line of sha256sum"):
        prepare(replace(options, checksums=tmp_path / "sums"))


def test_checksums_of_something_else_are_refused(options: Options, tmp_path: Path) -> None:
    (tmp_path / "sums").write_text(f"{'0' * 64}  other.tgz\n")
    with pytest.raises(UserError, match=r"-checksums .* names none of de-en\.tgz, "):
        prepare(replace(options, checksums=tmp_path / "sums"))


# Interruptions


def test_a_broken_connection_does_not_show_in_the_result(
    options: Options, members: Members
) -> None:
    prepare(options)
    expected = contents(options.output, OUTPUTS[:-1])
    with miniature.serving(miniature.archives(members)) as server:
        server.break_after["de-en.tgz"] = 300
        other = replace(
            options,
            output=options.output.parent / "fetched",
            given=None,
            mirror=server.url,
        )
        prepare(other)
    assert ("de-en.tgz", "bytes=300-") in server.asked
    assert contents(other.output, OUTPUTS[:-1]) == expected


def test_archives_that_are_not_given_are_downloaded(options: Options, members: Members) -> None:
    (options.given / "test.tgz").unlink()
    with miniature.serving(miniature.archives(members)) as server:
        prepare(replace(options, mirror=server.url))
    assert server.asked == [("test.tgz", None)]


def test_an_interruption_anywhere_leaves_whole_files_and_is_made_good(
    options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare(options)
    expected = contents(options.output)
    done = json.loads((options.output / "manifest.json").read_text())["steps"].keys()
    rename = os.replace
    for moment in itertools.count(step=2):
        for path in [*options.output.rglob("*.en"), options.output / "manifest.json"]:
            path.unlink(missing_ok=True)
        calls = itertools.count()

        def interrupted(source: Any, target: Any, calls: Any = calls, moment: int = moment) -> None:
            if next(calls) == moment:
                raise KeyboardInterrupt
            rename(source, target)

        monkeypatch.setattr(os, "replace", interrupted)
        try:
            prepare(options)
            break
        except KeyboardInterrupt:
            pass
        monkeypatch.setattr(os, "replace", rename)
        for name in OUTPUTS:
            path = options.output / name
            assert not path.exists() or path.read_bytes() == expected[name]
        finished = prepare(options).done
        assert contents(options.output) == expected
        assert len(finished) <= len(done)
    assert moment > 20
