import io
import itertools
import json
import os
from collections import Counter
from dataclasses import replace
from pathlib import Path

import miniature
import pytest
import sentencepiece
import yaml
from subword_nmt.apply_bpe import BPE

from onmt_lattice.errors import UserError
from onmt_lattice.prepare import tokens
from onmt_lattice.prepare.collection import read_sums
from onmt_lattice.prepare.download import Retries
from onmt_lattice.prepare.options import Options
from onmt_lattice.prepare.sources import ARCHIVES, TRAINING
from onmt_lattice.prepare.tokenise import tokeniser
from onmt_lattice.prepare.wmt16 import prepare

TEXTS = ["valid.en", "newstest2014.en", "newstest2015.en", "newstest2016.en"]
SPECIALS = ["<unk>", "<blank>", "<s>", "</s>"]  # which OpenNMT-py adds
OUTPUTS = ["train.en", *TEXTS, "bpe.codes", "vocab.txt", "data.yaml"]


@pytest.fixture(autouse=True)
def small_shards(monkeypatch):
    """Make three shards of each corpus of 40 pairs."""
    monkeypatch.setattr(tokens, "BATCH", 7)
    monkeypatch.setattr(tokens, "SHARD", 2)


@pytest.fixture
def members():
    return miniature.members()


@pytest.fixture
def given(tmp_path):
    def write(content):
        return miniature.write(tmp_path / "archives", miniature.archives(content))

    return write


@pytest.fixture
def options(tmp_path, members, given):
    return Options(tmp_path / "out", merges=40, given=given(members))


def lines(path):
    return path.read_text().splitlines()


def contents(out, names=OUTPUTS):
    return {name: (out / name).read_bytes() for name in names}


def english(members):
    return [
        line
        for corpus in TRAINING.values()
        for line in members[corpus.archive][corpus.english].decode().split("\n")[:-1]
    ]


def test_the_training_text_is_what_subword_nmt_makes_of_the_tokens(options, members):
    prepare(options)
    bpe = BPE(io.StringIO((options.out / "bpe.codes").read_text()))
    expected = [bpe.process_line(tokeniser("en")(line)) for line in english(members)]
    assert sorted(lines(options.out / "train.en")) == sorted(expected)
    assert lines(options.out / "train.en") != expected  # shuffled
    prepare(replace(options, seed=None, redo=True))
    assert lines(options.out / "train.en") == expected


def test_the_texts_are_tokenised_and_segmented_likewise(options, members):
    prepare(options)
    bpe = BPE(io.StringIO((options.out / "bpe.codes").read_text()))
    years = {"valid.en": 2013} | {f"newstest{year}.en": year for year in (2014, 2015, 2016)}
    for name, year in years.items():
        plain = miniature.sentences(5, "en", year)
        assert lines(options.out / name) == [bpe.process_line(tokeniser("en")(s)) for s in plain]


def test_the_vocabulary_counts_the_units_of_the_training_text(options):
    prepare(options)
    entries = [line.split("\t") for line in lines(options.out / "vocab.txt")]
    units = Counter(unit for line in lines(options.out / "train.en") for unit in line.split())
    assert {unit: int(count) for unit, count in entries} == units
    counts = [int(count) for _, count in entries]
    assert counts == sorted(counts, reverse=True)


def test_pairs_beyond_the_limits_are_dropped(options, members, given):
    europarl = members["de-en.tgz"]
    europarl["europarl-v7.de-en.en"] += miniature.text(["only one side", "", "a " * 81, "fine"])
    europarl["europarl-v7.de-en.de"] += miniature.text(["", "", "b " * 81, "gut"])
    given(members)
    manifest = prepare(options)
    assert manifest.facts("train")["sentences"] == 121
    dropped = Counter()
    for shard in range(4):
        dropped.update(manifest.facts(f"tokens/europarl-v7/{shard:04d}")["dropped"])
    assert dropped == {"empty": 2, "too long": 1}


def test_a_second_run_does_nothing(options):
    prepare(options)
    before = {path: path.stat().st_mtime_ns for path in options.out.rglob("*") if path.is_file()}
    assert prepare(options).done == []
    after = {path: path.stat().st_mtime_ns for path in options.out.rglob("*") if path.is_file()}
    del before[options.out / ".lock"], after[options.out / ".lock"]
    assert after == before


def test_archives_may_be_deleted_when_all_is_done(options):
    with miniature.serving(miniature.archives()) as server:
        fetching = replace(options, given=None, mirror=server.url)
        prepare(fetching)
        assert len(server.asked) == 5
        for path in (options.out / "downloads").glob("*.tgz"):
            path.unlink()
        assert prepare(fetching).done == []
        assert len(server.asked) == 5


def test_a_deleted_output_is_made_anew_and_nothing_else(options):
    prepare(options)
    before = contents(options.out)
    (options.out / "newstest2014.en").unlink()
    assert prepare(options).done == ["newstest2014"]
    (options.out / "train.en").unlink()
    assert [step for step in prepare(options).done if "/" not in step] == ["train"]
    assert contents(options.out) == before


def test_other_options_redo_what_depends_on_them(options):
    options = replace(options, keep_work=True)
    prepare(options)
    assert prepare(replace(options, seed=2, redo=True)).done == ["train"]
    other = replace(options, merges=20, redo=True)
    texts = [name.removesuffix(".en") for name in TEXTS]
    assert prepare(replace(other, seed=2)).done == ["model", "train", *texts]
    shorter = prepare(replace(other, seed=2, longest=8)).done
    assert [step for step in shorter if step.startswith("tokens/")]


def test_other_options_are_refused_unless_asked_to_redo(options):
    prepare(options)
    before = contents(options.out)
    with pytest.raises(UserError, match="merges was 40, is 20; longest was 80, is 70"):
        prepare(replace(options, merges=20, longest=70))
    assert contents(options.out) == before


def test_the_intermediate_files_are_deleted_unless_asked_for(options):
    prepare(options)
    assert not (options.out / "work").exists()
    (options.out / "work").mkdir()
    (options.out / "work" / "theirs").touch()
    prepare(replace(options, seed=3, redo=True))
    assert [path.name for path in (options.out / "work").iterdir()] == ["theirs"]
    (options.out / "work" / "theirs").unlink()
    prepare(replace(options, seed=2, redo=True, keep_work=True))
    assert len(list((options.out / "work").iterdir())) == 9


def test_more_workers_make_the_same(options):
    prepare(options)
    one = contents(options.out, OUTPUTS[:-1])
    prepare(replace(options, out=options.out.parent / "two", workers=2))
    assert contents(options.out.parent / "two", OUTPUTS[:-1]) == one


def test_joint_bpe_learns_and_counts_both_languages_and_writes_english(options, members):
    prepare(replace(options, joint=True))
    bpe = BPE(io.StringIO((options.out / "bpe.codes").read_text()))
    units = Counter()
    for corpus in TRAINING.values():
        for language, member in (("en", corpus.english), ("de", corpus.german)):
            for line in members[corpus.archive][member].decode().split("\n")[:-1]:
                units.update(bpe.process_line(tokeniser(language)(line)).split())
    entries = (line.split("\t") for line in lines(options.out / "vocab.txt"))
    assert {unit: int(count) for unit, count in entries} == units
    text = " ".join(lines(options.out / "train.en")).replace("@@ ", "")
    assert "Haus" not in text
    assert "house" in text


def test_sentencepiece_leaves_the_text_plain(options, members):
    prepare(replace(options, subword="sentencepiece", merges=70))
    model = sentencepiece.SentencePieceProcessor(
        model_file=str(options.out / "sentencepiece.model")
    )
    assert sorted(lines(options.out / "train.en")) == sorted(english(members))
    plain = miniature.sentences(5, "en", 2014)
    assert lines(options.out / "newstest2014.en") == plain
    pieces = [" ".join(model.encode(line, out_type=str)) for line in plain]
    assert lines(options.out / "newstest2014.pieces.en") == pieces
    units = Counter(u for line in english(members) for u in model.encode(line, out_type=str))
    entries = (line.split("\t") for line in lines(options.out / "vocab.txt"))
    assert {unit: int(count) for unit, count in entries} == units


@pytest.mark.parametrize(("kind", "merges"), [("bpe", 40), ("sentencepiece", 70)])
def test_opennmt_reads_the_yaml(options, kind, merges):
    from onmt.inputters.corpus import build_corpora_iters, get_corpora
    from onmt.inputters.fields import build_dynamic_fields
    from onmt.opts import train_opts
    from onmt.transforms import get_transforms_cls, make_transforms
    from onmt.utils.parse import ArgumentParser

    manifest = prepare(replace(options, subword=kind, merges=merges))
    parser = ArgumentParser()
    train_opts(parser)
    config = ["-config", str(options.out / "data.yaml"), "-save_model", str(options.out / "m")]
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


def test_the_yaml_names_the_files_wherever_it_is_read_from(options):
    prepare(options)
    content = yaml.safe_load((options.out / "data.yaml").read_text())
    corpora = content["data"]
    assert {name: corpora[name]["path_src"] for name in corpora} == {
        name: str((options.out / f"{name}.en").resolve()) for name in ("train", "valid")
    }
    assert content["src_vocab"] == str((options.out / "vocab.txt").resolve())


def test_a_moved_folder_only_needs_its_yaml_anew(options):
    prepare(options)
    moved = options.out.rename(options.out.parent / "moved")
    assert prepare(replace(options, out=moved)).done == []
    assert str(moved.resolve()) in (moved / "data.yaml").read_text()


# What archives can have wrong with them


def test_a_misaligned_pair_is_refused_with_both_counts(options, members, given):
    members["de-en.tgz"]["europarl-v7.de-en.de"] += b"noch eine Zeile\n"
    given(members)
    with pytest.raises(UserError, match=r"\.en has 40 lines and .*\.de has 41"):
        prepare(options)


def test_windows_line_ends_make_no_difference(options, members, given):
    prepare(options)
    expected = contents(options.out, OUTPUTS[:-1])
    windows = {
        archive: {name: text.replace(b"\n", b"\r\n") for name, text in held.items()}
        for archive, held in members.items()
    }
    other = replace(options, out=options.out.parent / "windows", given=given(windows))
    prepare(other)
    assert contents(other.out, OUTPUTS[:-1]) == expected


def test_invalid_utf8_is_replaced_in_training_text_and_its_lines_are_noted(options, members, given):
    corpus = members["training-parallel-commoncrawl.tgz"]
    name = "commoncrawl.de-en.en"
    broken = corpus[name].split(b"\n")
    broken[20] = b"caf\xe9 " + broken[20]
    corpus[name] = b"\n".join(broken)
    given(members)
    manifest = prepare(options)
    assert manifest.facts("tokens/commoncrawl/0001")["lines not UTF-8"] == [21]
    assert "\ufffd" in (options.out / "train.en").read_text()


def test_invalid_utf8_in_a_text_to_measure_on_is_refused(options, members, given):
    members["dev.tgz"]["dev/newstest2013.en"] = b"fine\ncaf\xe9\n"
    given(members)
    with pytest.raises(UserError, match=r"newstest2013\.en, line 2: not UTF-8"):
        prepare(options)
    assert not (options.out / "valid.en").exists()


def test_entities_of_sgm_are_decoded_before_tokenisation(options, members, given):
    news = miniature.sgm(["R&amp;D &lt;b&gt; &quot;x&quot;"])
    members["dev.tgz"]["dev/newstest2014-deen-ref.en.sgm"] = news
    given(members)
    prepare(options)
    text = (options.out / "newstest2014.en").read_text().replace("@@ ", "")
    assert text == "R &amp; D &lt; b &gt; &quot; x &quot;\n"


def test_a_hostile_archive_is_refused(options, members, given):
    members["dev.tgz"]["../../.bashrc"] = b"evil"
    given(members)
    with pytest.raises(UserError, match="would land outside"):
        prepare(options)


def test_a_truncated_archive_is_refused_as_it_came(options, members):
    files = miniature.archives(members)
    files["test.tgz"] = files["test.tgz"][:-20]
    with (
        miniature.serving(files) as server,
        pytest.raises(UserError, match=r"test\.tgz is no whole \.tgz .* delete it"),
    ):
        prepare(replace(options, given=None, mirror=server.url))


# Checksums


def sums(files, **wrong):
    import hashlib

    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    return "".join(f"{digest}  {name}\n" for name, digest in (digests | wrong).items())


def test_required_checksums_are_enforced(options, members, tmp_path):
    files = miniature.archives(members)
    required = tmp_path / "sums"
    with miniature.serving(files) as server:
        fetching = replace(options, given=None, mirror=server.url, checksums=required)
        required.write_text(sums(files, **{"dev.tgz": "0" * 64}))
        with pytest.raises(UserError, match=r"dev\.tgz: SHA-256 .*--checksums has 0000.*deleted"):
            prepare(fetching)
        assert not (options.out / "downloads" / "dev.tgz").exists()
        assert (options.out / "downloads" / "de-en.tgz").exists()
        required.write_text(sums(files))
        prepare(fetching)
        required.write_text(sums(files, **{"dev.tgz": "0" * 64}))
        with pytest.raises(UserError, match="SHA-256"):
            prepare(fetching)


def test_an_archive_of_the_users_own_is_never_deleted(options, tmp_path):
    required = tmp_path / "sums"
    required.write_text(f"{'0' * 64} *de-en.tgz\n")
    with pytest.raises(UserError, match="get it from another source"):
        prepare(replace(options, checksums=required))
    assert (options.given / "de-en.tgz").exists()


def test_checksums_are_recorded_once_and_held_to(options, members):
    files = miniature.archives(members)
    with miniature.serving(files) as server:
        fetching = replace(options, given=None, mirror=server.url)
        prepare(fetching)
        recorded = (options.out / "downloads" / "SHA256SUMS").read_text()
        assert sorted(recorded.splitlines()) == sorted(sums(files).splitlines())
        (options.out / "downloads" / "dev.tgz").unlink()
        server.files["dev.tgz"] = miniature.tgz(members["dev.tgz"] | {"more": b"more"})
        (options.out / "valid.en").unlink()
        with pytest.raises(UserError, match=r"dev\.tgz: SHA-256 is .*SHA256SUMS has .*deleted"):
            prepare(fetching)


@pytest.mark.parametrize("content", ["abc  de-en.tgz\n", "de-en.tgz\n"])
def test_a_file_without_checksums_is_refused(options, tmp_path, content):
    (tmp_path / "sums").write_text(content)
    with pytest.raises(UserError, match=r"sums, line 1: .* is no line of sha256sum"):
        prepare(replace(options, checksums=tmp_path / "sums"))


def test_checksums_of_something_else_are_refused(options, tmp_path):
    (tmp_path / "sums").write_text(f"{'0' * 64}  other.tgz\n")
    with pytest.raises(UserError, match=r"--checksums names none of de-en\.tgz, "):
        prepare(replace(options, checksums=tmp_path / "sums"))


def test_the_checksums_of_the_documentation_are_of_wmt16s_archives():
    path = Path(__file__).resolve().parent.parent / "docs" / "wmt16.sha256"
    assert read_sums(path).keys() <= ARCHIVES.keys()


# Interruptions


def test_a_broken_connection_does_not_show_in_the_result(options, members):
    prepare(options)
    expected = contents(options.out, OUTPUTS[:-1])
    with miniature.serving(miniature.archives(members)) as server:
        server.break_after["de-en.tgz"] = 300
        other = replace(
            options,
            out=options.out.parent / "fetched",
            given=None,
            mirror=server.url,
            retries=Retries(pause=0.01),
        )
        prepare(other)
    assert ("de-en.tgz", "bytes=300-") in server.asked
    assert contents(other.out, OUTPUTS[:-1]) == expected


def test_archives_that_are_not_given_are_downloaded(options, members):
    (options.given / "test.tgz").unlink()
    with miniature.serving(miniature.archives(members)) as server:
        prepare(replace(options, mirror=server.url))
    assert server.asked == [("test.tgz", None)]


def test_an_interruption_anywhere_leaves_whole_files_and_is_made_good(options, monkeypatch):
    prepare(options)
    expected = contents(options.out)
    done = json.loads((options.out / "manifest.json").read_text())["steps"].keys()
    rename = os.replace
    monkeypatch.setattr(tokens, "SHARD", 100)
    for moment in itertools.count(step=2):
        for path in [*options.out.rglob("*.en"), options.out / "manifest.json"]:
            path.unlink(missing_ok=True)
        calls = itertools.count()

        def interrupted(source, target, calls=calls, moment=moment):
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
            path = options.out / name
            assert not path.exists() or path.read_bytes() == expected[name]
        finished = prepare(options).done
        assert contents(options.out) == expected
        assert len(finished) <= len(done)
    assert moment > 20


def test_only_the_shards_that_are_missing_are_made(options, monkeypatch):
    made = []
    shard = tokens.Tokens._shard

    def interrupted(self, source, first, files, bar):
        if len(made) == 4:
            raise KeyboardInterrupt
        made.append(Path(files[0]).name)
        return shard(self, source, first, files, bar)

    monkeypatch.setattr(tokens.Tokens, "_shard", interrupted)
    with pytest.raises(KeyboardInterrupt):
        prepare(options)
    monkeypatch.setattr(tokens.Tokens, "_shard", shard)
    again = [step for step in prepare(options).done if step.startswith("tokens/")]
    assert made == [f"europarl-v7-000{i}.en" for i in range(3)] + ["commoncrawl-0000.en"]
    assert again[0] == "tokens/commoncrawl/0001"
    assert len(again) == 5
