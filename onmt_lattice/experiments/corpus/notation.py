"""The notation in which a grammar is written: rules as text, with features for agreement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from onmt_lattice.experiments.corpus.grammar import Rule

Feature = Mapping[str, int]  # the weight of each value


def read_rules(text: str, features: Mapping[str, Feature]) -> dict[str, list[Rule]]:
    """Return the rules of each head in ``text``.

    A line that ends in a colon names a head; each line below it is a rule, an integer weight and
    symbols. A key of ``features`` (one character) stands for each of its values: in a head it
    makes a copy of the rules for each value; in a rule alone it divides the rule's weight among
    the values in proportion to theirs. Agreement is thus one sign written twice. All weights are
    multiplied by the same integer, so that they stay integers.

    Raises:
        ValueError: for a rule without a head, an integer weight or symbols.
    """
    rules: dict[str, list[Rule]] = {}
    head = ""
    for line in filter(None, map(str.strip, text.splitlines())):
        if line.endswith(":"):
            head = line[:-1]
            continue
        weight, _, body = line.partition(" ")
        if not (head and weight.isdecimal() and body):
            raise ValueError(f"cannot read {line!r}; below a head, write a weight and symbols")
        for name, symbols, share in _instances(head, body, list(features.items())):
            rules.setdefault(name, []).append(Rule(int(weight) * share, tuple(symbols.split())))
    return rules


def _instances(
    head: str, body: str, features: list[tuple[str, Feature]]
) -> Iterator[tuple[str, str, int]]:
    """Yield head and body with every feature replaced, and the integer share of this choice."""
    if not features:
        yield head, body, 1
        return
    (sign, values), *others = features
    whole = sum(values.values())
    if sign not in head + body:
        values = {"": whole}
    for value, part in values.items():
        choice = head.replace(sign, value), body.replace(sign, value)
        for name, symbols, share in _instances(*choice, others):
            yield name, symbols, share * (whole if sign in head else part)
