"""What a failed attempt leaves behind: a record in plain JSON, cut to a bounded size.

Exceptions cross processes as their type's name, their message and their traceback as text,
never as objects; nothing is imported when a record is read.
"""

from __future__ import annotations

import json
import traceback
from dataclasses import asdict, dataclass

MAX_MESSAGE = 2_000
MAX_TRACEBACK = 20_000


@dataclass(slots=True)
class Failure:
    """One failed attempt.

    ``at`` is in seconds since the epoch, by the store's clock. ``reason`` says why it was not
    tried again; empty where it was.
    """

    type: str
    message: str
    traceback: str = ""
    attempt: int = 0
    at: float = 0.0
    reason: str = ""

    def to_bytes(self) -> bytes:
        # Lone surrogates in a message must not lose the failure: escaped, they are plain JSON.
        return json.dumps(asdict(self), separators=(",", ":")).encode("ascii")

    @classmethod
    def from_bytes(cls, data: bytes) -> Failure:
        """Reads a record; bytes of another make become a record that shows them."""
        try:
            raw = json.loads(data)
            return cls(
                type=str(raw["type"]),
                message=str(raw["message"]),
                traceback=str(raw.get("traceback", "")),
                attempt=int(raw.get("attempt", 0)),
                at=float(raw.get("at", 0.0)),
                reason=str(raw.get("reason", "")),
            )
        except (
            ValueError,
            KeyError,
            TypeError,
            AttributeError,
            OverflowError,
            RecursionError,
        ):
            return cls(type="unknown", message=data[:MAX_MESSAGE].decode("utf-8", "replace"))


def failure_of(error: BaseException, attempt: int, at: float, reason: str = "") -> Failure:
    """The record of an exception; one whose ``str()`` raises is recorded all the same."""
    return Failure(
        type=type_name(type(error)),
        message=_cut(_text_of(error), MAX_MESSAGE),
        traceback=_cut(_traceback_of(error), MAX_TRACEBACK),
        attempt=attempt,
        at=at,
        reason=reason,
    )


def type_name(cls: type) -> str:
    """``module.Class``, without the module for built-in ones."""
    name = cls.__qualname__
    return name if cls.__module__ == "builtins" else f"{cls.__module__}.{name}"


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except BaseException as inner:  # noqa: BLE001  # a user's __str__: the failure is recorded all the same
        return f"<its text could not be made: {type(inner).__name__}>"


def _traceback_of(error: BaseException) -> str:
    try:
        return "".join(traceback.format_exception(error))
    except BaseException as inner:  # noqa: BLE001  # as above
        return f"<its traceback could not be made: {type(inner).__name__}>"


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    half = limit // 2
    return f"{text[:half]}\n… {len(text) - limit} characters cut …\n{text[-half:]}"
