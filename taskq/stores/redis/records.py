"""Between taskq's values and what Redis holds. The form of a record: ``lua/_prelude.lua``.

Times are milliseconds here, rounded up, so that nothing starts early.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from taskq.job import Claim, Job, Lane, Moment, NewJob, Outcome, State
from taskq.store import MALFORMED
from taskq.stores.redis.keys import LETTERS

STATES: dict[str, State] = {
    "d": State.SCHEDULED,
    "q": State.READY,
    "x": State.RUNNING,
    "t": State.RETRYING,
    "s": State.SUCCEEDED,
    "f": State.FAILED,
    "c": State.CANCELLED,
    "e": State.EXPIRED,
}
STATE_LETTERS = {state: letter for letter, state in STATES.items()}
LANES: dict[bytes, Lane] = {b"t": "thread", b"l": "loop"}

_MOST = 10**15
"""Milliseconds; some 30,000 years. Sums of it are exact as Lua's numbers."""

_VERSION = b"1"


def readable(data: bytes) -> str:
    """A name as text, whoever wrote it: what is not UTF-8 is shown escaped."""
    return data.decode("utf-8", "backslashreplace")


class Unreadable(Exception):
    """Stored bytes are not what taskq wrote."""


def ms(seconds: float) -> int:
    """Whole milliseconds, rounded up (what floats add at the end apart); never negative."""
    if seconds >= _MOST / 1000:
        return _MOST
    return max(math.ceil(seconds * 1000 - 0.0005), 0)


def clock_text(now: float) -> str:
    """An instant as the scripts take it."""
    return f"{now * 1000:.3f}"


# -- towards Redis ----------------------------------------------------------------------
def _moment(moment: Moment | None) -> str:
    if moment is None:
        return "-"
    return f"{'@' if moment.absolute else '+'}{ms(moment.seconds)}"


_DUPLICATES = {"return": "n", "raise": "n", "replace": "p"}


def common(job: NewJob) -> str:
    """The end of a meta, which the jobs of a task have in common."""
    return (
        f"{LETTERS[job.lane]} {ms(job.keep)} {ms(job.keep_failed)} {len(job.queue.encode())} "
        f"{job.queue}"
    )


def options(job: NewJob, where: int) -> str:
    """What jobs of a batch may have in common.

    :param where: the number of the keys of its queue and lane.
    """
    lock, duplicate = "-", "n"
    if job.lock is not None:
        ttl = "" if job.lock.ttl is None else ms(job.lock.ttl)
        lock = f"{'u' if job.lock.until_start else 'd'}{ttl}"
        duplicate = _DUPLICATES[job.lock.on_duplicate]
    expires = "-" if job.expires is None else ms(job.expires)
    return (
        f"{_moment(job.due)} {expires} {_moment(job.deadline)} {job.priority} "
        f"{LETTERS[job.lane]} {ms(job.keep)} {ms(job.keep_failed)} {lock} {duplicate} {where} "
        f"{len(job.queue.encode())} {job.queue}"
    )


def body(task: str, payload: bytes) -> bytes:
    name = task.encode()
    return b"%b%d:%b%b" % (_VERSION, len(name), name, payload)


Alike = tuple[State, int, int, bool, float, int, int, bool, bool, bool]


def alike(outcome: Outcome, where: int) -> Alike:
    """What outcomes of a batch may have in common.

    :param where: the number of the keys of its queue and lane, if it goes back there.
    """
    priority = outcome.priority
    return (
        outcome.state,
        outcome.attempts,
        outcome.deaths,
        outcome.started,
        outcome.delay,
        outcome.claim.priority if priority is None else priority,
        where,
        outcome.result is not None,
        outcome.error is not None,
        outcome.payload is not None,
    )


def describe(kind: Alike) -> str:
    """The same for the script."""
    state, attempts, deaths, started, delay, priority, where, result, error, payload = kind
    parts = f"{'r' if result else ''}{'e' if error else ''}{'p' if payload else ''}"
    return (
        f"{STATE_LETTERS[state]} {attempts} {deaths} {1 if started else 0} {ms(delay)} {priority} "
        f"{where} {parts}"
    )


# -- from Redis -------------------------------------------------------------------------
def _time(field: bytes) -> float | None:
    return None if field == b"-" else int(field) / 1000


def _open(data: bytes) -> tuple[str, bytes]:
    """Task and payload of a body."""
    length, colon, rest = data.partition(b":")
    if not colon or length[:1] != _VERSION or not length[1:].isdigit():
        raise Unreadable("the body is not a job")
    end = int(length[1:])
    if not 0 < end <= len(rest):
        raise Unreadable("the body is cut off")
    try:
        return rest[:end].decode(), rest[end:]
    except UnicodeDecodeError as error:
        raise Unreadable("the name of the task is not UTF-8") from error


def claim(id: str, meta: bytes, data: bytes, checkpoint: bytes | None, now: float) -> Claim:
    """The claim that a running job's record stands for.

    :raises Unreadable: the body is not what taskq wrote.
    """
    task, payload = _open(data)
    f = meta.split(b" ", 19)
    return Claim(
        id,
        task,
        payload,
        f[19][: int(f[18])].decode(),
        LANES[f[15]],
        int(f[8]),
        int(f[6]),
        int(f[0][1:]),
        int(f[7]),
        int(f[13]) / 1000,
        int(f[9]) / 1000,
        _time(f[11]),
        _time(f[10]),
        checkpoint,
        now,
        b"r" in f[4],
    )


def job(id: str, meta: bytes, data: bytes | None, extra: Sequence[bytes | None]) -> Job:
    """A snapshot; of what cannot be read, one that says so."""
    result, errors, progress, checkpoint, log = extra
    try:
        f = meta.split(b" ", 19)
        letter, length = chr(f[0][0]), int(f[18])
        try:
            task, payload = _open(data or b"")
        except Unreadable:
            task, payload = MALFORMED, data or b""
        return Job(
            id,
            task,
            payload,
            f[19][:length].decode(),
            LANES[f[15]],
            int(f[8]),
            STATES[letter.lower()],
            int(f[6]),
            int(f[0][1:]),
            int(f[7]),
            int(f[13]) / 1000,
            int(f[9]) / 1000,
            _time(f[5]),
            _time(f[12]),
            _time(f[11]),
            _time(f[10]),
            int(f[16]) / 1000,
            int(f[17]) / 1000,
            None if f[3] == b"-" else f[19][length:].decode(),
            None if f[1] == b"-" else f[1].decode(),
            letter.isupper(),
            result,
            items(errors),
            progress,
            checkpoint,
            items(log),
        )
    except (ValueError, LookupError):
        # Nobody has claimed it yet, so nobody has set it aside.
        return Job(id, MALFORMED, meta, MALFORMED, "thread", 0, State.FAILED)


def place(meta: bytes | None, state: str) -> bytes | None:
    """The place number of a job that is in a state."""
    if not meta or chr(meta[0]).lower() != state:
        return None
    parts = meta.split(b" ", 3)
    return parts[2] if len(parts) > 3 else None


def order(meta: bytes | None) -> int | None:
    """The number of a job's enqueue; None if there is no such job, or it cannot be read."""
    parts = (meta or b"").split(b" ", 15)
    return int(parts[14]) if len(parts) > 14 and parts[14].isdigit() else None


def items(stored: bytes | None) -> list[bytes]:
    """What the script function ``append`` put together."""
    found: list[bytes] = []
    if stored is None:
        return found
    at = stored.find(b";") + 1
    while at < len(stored):
        colon = stored.find(b":", at)
        if colon < 0 or not stored[at:colon].isdigit():
            break
        end = colon + 1 + int(stored[at:colon])
        found.append(stored[colon + 1 : end])
        at = end
    return found


def text(value: Any) -> str:
    """A reply that is text, whatever the client makes of it."""
    return value.decode() if isinstance(value, bytes) else str(value)
