"""Where in a value something is wrong, told without cost as long as nothing is.

A place is the name of the whole ("args", "result") or a pair of the place around it and
the step from there: an int (an index), a text (an attribute, a set's item) or a tuple of
one (a dict's key). Only :func:`show` makes a text of it, and only in an error.
"""

from __future__ import annotations

from typing import Any

Step = int | str | tuple[Any]
Place = str | tuple[Any, Step]

_LONGEST = 200


class Refused(Exception):
    """A value cannot be written, or does not fit. The codec turns it into its own errors."""

    def __init__(self, place: Place, reason: str) -> None:
        super().__init__(reason)
        self.place = place
        self.reason = reason


def show(place: Place) -> str:
    """The place as Python would write it, such as ``args[0].lines[2]['price']``."""
    steps: list[str] = []
    while isinstance(place, tuple):
        place, step = place
        if isinstance(step, int):
            steps.append(f"[{step}]")
        elif isinstance(step, str):
            steps.append(step)
        else:
            steps.append(f"[{_key(step[0])}]")
    text = place + "".join(reversed(steps))
    if len(text) > _LONGEST:
        text = f"{text[: _LONGEST // 2]}…{text[-_LONGEST // 2 :]}"
    return text


def name_of(cls: type) -> str:
    """How a class is called in an error."""
    if cls.__module__ == "builtins":
        return "None" if cls is type(None) else cls.__qualname__
    # Python 3.13 defines the classes of pathlib in a private module of it.
    module = "pathlib" if cls.__module__ == "pathlib._local" else cls.__module__
    return f"{module}.{cls.__qualname__}"


def _key(key: object) -> str:
    # Only keys whose repr is Python's own: a user's may be long, secret or raise.
    if type(key) in (str, int, float, bool, bytes, type(None)):
        text = repr(key)
        return text if len(text) <= 60 else f"{text[:57]}…{text[-1]}"
    return f"<{name_of(type(key))}>"
