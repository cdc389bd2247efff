from collections.abc import Callable


def test_prints_a_line_for_each_code(script: Callable[..., list[str]]) -> None:
    options = ("-lattices", "Z", "E8", "-sentences", 20, "-dim", 48)
    _, *lines = script("bench_bitstream.py", *options)
    names = ["Z discrete_gaussian", "Z convolved_gaussian", "E8^6 discrete_gaussian"]
    names.append("constriction QuantizedGaussian")
    assert [text[:31].strip() for text in lines] == names
    assert all(float(number) > 0 for text in lines for number in text[31:].split()[:3])
