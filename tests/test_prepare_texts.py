from __future__ import annotations

from pathlib import Path

from onmt_lattice.prepare.subword import learn_pieces
from onmt_lattice.prepare.texts import in_order, shuffled, write_training


def files(tmp_path: Path) -> tuple[list[Path], list[str]]:
    contents = ["a\nbé\n\n", "", "c\u2028d\re\n", "".join(f"{i}\n" for i in range(500))]
    paths = [tmp_path / f"{i}.en" for i in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content.encode())
    return paths, "".join(contents).split("\n")[:-1]


def test_in_order_only_line_feeds_end_lines(tmp_path: Path) -> None:
    paths, expected = files(tmp_path)
    assert list(in_order(paths)) == expected


def test_a_shuffle_is_a_permutation_that_the_seed_decides(tmp_path: Path) -> None:
    paths, expected = files(tmp_path)
    first = list(shuffled(paths, 1))
    assert sorted(first) == sorted(expected)
    assert first != expected
    assert first == list(shuffled(paths, 1))
    assert first != list(shuffled(paths, 2))


def test_every_place_is_equally_likely(tmp_path: Path) -> None:
    path = tmp_path / "x.en"
    path.write_text("0\n1\n2\n3\n")
    first = [next(iter(shuffled([path], seed))) for seed in range(400)]
    counts = [first.count(str(i)) for i in range(4)]
    assert sum((count - 100) ** 2 / 100 for count in counts) < 16.3  # chi-squared, p = 0.001


def test_no_lines_give_no_lines(tmp_path: Path) -> None:
    (tmp_path / "x.en").touch()
    assert list(shuffled([tmp_path / "x.en"], 1)) == []


def test_lines_of_which_segmentation_leaves_nothing_are_dropped(tmp_path: Path) -> None:
    lines = ["a dog runs", "\u200b", "a dog sees", "\ufffd \ufeff", "▁"]
    model, text, vocabulary = (tmp_path / name for name in ("m.model", "text", "vocabulary"))
    learn_pieces(lines[::2] * 20, 16, model)
    for plain in (True, False):
        facts = write_training(
            lines, [], model, [text, vocabulary], plain=plain, workers=1, total=len(lines)
        )
        written = text.read_text(encoding="utf-8").splitlines()
        assert facts["sentences"] == len(written) == 2
        assert written[0].replace(" ", "") == ("adogruns" if plain else "▁a▁dog▁runs")
