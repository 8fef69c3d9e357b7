"""What a failed attempt leaves behind, whatever its exception is like."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from taskq.failure import MAX_MESSAGE, MAX_TRACEBACK, Failure, failure_of, type_name


class Zany(Exception):
    """An exception that does not want to be told."""

    def __str__(self) -> str:
        raise ValueError("no text")

    __repr__ = __str__


def raised(error: BaseException) -> BaseException:
    try:
        raise error
    except BaseException as caught:
        return caught


def test_type_message_and_traceback_are_kept_as_text() -> None:
    made = failure_of(raised(KeyError("user_id")), 3, 1_800_000_000.5, "out of attempts")
    assert (made.type, made.message) == ("KeyError", "'user_id'")
    assert (made.attempt, made.at, made.reason) == (3, 1_800_000_000.5, "out of attempts")
    assert made.traceback.startswith("Traceback (most recent call last)")
    assert "in raised" in made.traceback
    assert made.traceback.rstrip().endswith("KeyError: 'user_id'")


def test_the_cause_is_in_the_traceback() -> None:
    error = raised(ValueError("later"))
    error.__cause__ = raised(OSError("first"))
    assert "OSError: first" in failure_of(error, 1, 0.0).traceback


def test_a_type_is_named_with_its_module() -> None:
    assert type_name(ValueError) == "ValueError"
    assert type_name(Zany) == f"{__name__}.Zany"
    assert type_name(json.JSONDecodeError) == "json.decoder.JSONDecodeError"


def test_an_exception_whose_text_raises_is_recorded() -> None:
    """RUN-06"""
    made = failure_of(raised(Zany()), 1, 0.0)
    assert made.type == f"{__name__}.Zany"
    assert "ValueError" in made.message
    assert Failure.from_bytes(made.to_bytes()) == made


@pytest.mark.parametrize("text", ["\udcff\ud800", "\0\x1b[31m", "日本 🎉", '"}\n', ""])
def test_any_text_survives(text: str) -> None:
    """RUN-06"""
    made = failure_of(raised(ValueError(text)), 1, 0.0)
    assert Failure.from_bytes(made.to_bytes()).message == text


def test_large_texts_are_cut_in_the_middle() -> None:
    made = failure_of(raised(ValueError("a" + "x" * 10_000_000 + "z")), 1, 0.0)
    assert len(made.message) < MAX_MESSAGE + 100
    assert (made.message[0], made.message[-1]) == ("a", "z")
    assert "characters cut" in made.message
    assert len(made.traceback) < MAX_TRACEBACK + 100
    assert len(made.to_bytes()) < 30_000


def test_a_deep_recursion_is_recorded_in_bounds() -> None:
    def deeper() -> None:
        deeper()

    with pytest.raises(RecursionError) as caught:
        deeper()
    assert len(failure_of(caught.value, 1, 0.0).to_bytes()) < 60_000


def test_an_endless_chain_of_causes_is_recorded() -> None:
    one, other = ValueError("one"), ValueError("other")
    one.__cause__, other.__cause__ = other, one
    assert failure_of(one, 1, 0.0).message == "one"


texts = st.text(st.characters(exclude_categories=()))


@given(
    st.builds(
        Failure,
        texts,
        texts,
        texts,
        st.integers(),
        st.floats(allow_nan=False, allow_infinity=False),
        texts,
    )
)
def test_a_record_comes_back_as_it_was(made: Failure) -> None:
    assert Failure.from_bytes(made.to_bytes()) == made


@given(
    st.binary()
    | st.recursive(st.none() | st.text(), st.lists).map(lambda v: json.dumps(v).encode())
)
def test_bytes_of_another_make_become_a_record_that_shows_them(data: bytes) -> None:
    made = Failure.from_bytes(data)
    assert made.type == "unknown"
    assert made.message == data.decode("utf-8", "replace")[:MAX_MESSAGE]


@pytest.mark.parametrize(
    "data",
    [
        b"[" * 100_000,
        b'{"type": "x", "message": "y", "attempt": "many"}',
        b'{"type": "x", "message": "y", "attempt": 1e999}',
        b'{"type": "x", "message": "y", "at": []}',
        b"9" * 100_000,
    ],
    ids=["deep", "attempt", "infinite", "at", "digits"],
)
def test_hostile_bytes_are_shown_too(data: bytes) -> None:
    assert Failure.from_bytes(data).type == "unknown"
