"""A wrong name is answered with the nearest right one."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onmt_lattice.errors import UserError, unknown_name

LATTICES = ("Z", "Leech", "E8", "A2")


def test_the_message_names_the_kind_the_value_and_every_valid_name_in_order() -> None:
    error = unknown_name("lattice", "xyz", LATTICES)
    assert isinstance(error, UserError)
    assert str(error) == "unknown lattice 'xyz' (valid: A2, E8, Leech, Z)"


@pytest.mark.parametrize("name", ["leech", "LEECH", "Leach", "Lech"])
def test_a_near_name_is_suggested_as_it_is_written(name: str) -> None:
    assert "did you mean 'Leech'?" in str(unknown_name("lattice", name, LATTICES))


def test_a_far_name_has_no_suggestion() -> None:
    assert "did you mean" not in str(unknown_name("lattice", "hexagon", LATTICES))


def test_any_iterable_of_names_will_do() -> None:
    expected = str(unknown_name("name", "b", ["a", "c"]))
    assert str(unknown_name("name", "b", iter(["c", "a"]))) == expected
    assert str(unknown_name("name", "b", {"c": 1, "a": 2})) == expected


@settings(derandomize=True, deadline=None)
@given(name=st.text(max_size=20), valid=st.sets(st.text(max_size=8), max_size=6))
def test_any_suggestion_is_a_valid_name(name: str, valid: set[str]) -> None:
    message = str(unknown_name("name", name, valid))
    assert message.startswith(f"unknown name {name!r}")
    assert message.endswith(f"(valid: {', '.join(sorted(valid))})")
    hint = message[len(f"unknown name {name!r}") : -len(f" (valid: {', '.join(sorted(valid))})")]
    assert hint in {"", *(f"; did you mean {v!r}?" for v in valid)}
