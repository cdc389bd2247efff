from onmt_lattice.prepare import lines


def files(tmp_path):
    contents = ["a\nbé\n\n", "", "c\u2028d\re\n", "".join(f"{i}\n" for i in range(500))]
    paths = [tmp_path / f"{i}.en" for i in range(len(contents))]
    for path, content in zip(paths, contents, strict=True):
        path.write_bytes(content.encode())
    return paths, "".join(contents).split("\n")[:-1]


def test_in_order_only_line_feeds_end_lines(tmp_path):
    paths, expected = files(tmp_path)
    assert list(lines.in_order(paths)) == expected


def test_a_shuffle_is_a_permutation_that_the_seed_decides(tmp_path):
    paths, expected = files(tmp_path)
    first = list(lines.shuffled(paths, 1))
    assert sorted(first) == sorted(expected)
    assert first != expected
    assert first == list(lines.shuffled(paths, 1))
    assert first != list(lines.shuffled(paths, 2))


def test_blocks_of_any_size_find_the_same_lines(tmp_path, monkeypatch):
    paths, _ = files(tmp_path)
    expected = list(lines.shuffled(paths, 3))
    monkeypatch.setattr(lines, "_BLOCK", 7)
    assert list(lines.shuffled(paths, 3)) == expected


def test_every_place_is_equally_likely(tmp_path):
    path = tmp_path / "x.en"
    path.write_text("0\n1\n2\n3\n")
    first = [next(lines.shuffled([path], seed)) for seed in range(400)]
    counts = [first.count(str(i)) for i in range(4)]
    assert sum((count - 100) ** 2 / 100 for count in counts) < 16.3  # chi-squared, p = 0.001


def test_no_lines_give_no_lines(tmp_path):
    (tmp_path / "x.en").touch()
    assert list(lines.shuffled([tmp_path / "x.en"], 1)) == []
