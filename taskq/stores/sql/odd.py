"""Rows that are no jobs: somebody else wrote them, or changed them by hand."""

from __future__ import annotations

import json
from collections.abc import Sequence

from taskq.job import LANES, NewJob, State, new_id
from taskq.store import MALFORMED
from taskq.stores.sql.tx import Row, Tx

_COLUMNS = (
    "id",
    "task",
    "queue",
    "lane",
    "priority",
    "state",
    "seq",
    "attempts",
    "claims",
    "deaths",
    "enqueued",
    "due",
    "started",
    "ended",
    "expires",
    "deadline",
    "gone",
    "keep",
    "keep_failed",
    "unique_key",
    "lease",
    "result",
    "progress",
    "checkpoint",
)
_SELECT = """
SELECT body.payload, job.$ FROM taskq_jobs AS job
LEFT JOIN taskq_bodies AS body ON body.num = job.num WHERE job.num = ?
""".replace("$", ", job.".join(_COLUMNS))

_TYPES: dict[str, tuple[type, ...]] = {
    "id": (str,),
    "task": (str,),
    "queue": (str,),
    "priority": (int,),
    "seq": (int,),
    "attempts": (int,),
    "claims": (int,),
    "deaths": (int,),
    "enqueued": (float,),
    "due": (float,),
    "keep": (float,),
    "keep_failed": (float,),
    "expires": (float, type(None)),
    "deadline": (float, type(None)),
    "started": (float, type(None)),
    "ended": (float, type(None)),
    "unique_key": (str, type(None)),
    "lease": (str, type(None)),
    "result": (bytes, type(None)),
    "progress": (bytes, type(None)),
    "checkpoint": (bytes, type(None)),
    "payload": (bytes,),
}


_DEFAULTS = NewJob("", "", b"")


class Odd(Exception):
    """Rows were met that are no jobs. Never leaves the store: it sets them aside."""

    def __init__(self, nums: Sequence[int]) -> None:
        super().__init__(f"rows that are no jobs: {nums}")
        self.nums = nums


def strays(tx: Tx) -> list[int]:
    """The numbers of rows that are in no state, and so in nobody's way, but would stay."""
    return [num for sql in tx.dialect.odd for (num,) in tx.rows(sql)]


def look_for_strays(tx: Tx) -> None:
    """Raise ``Odd`` if there are such rows."""
    nums = strays(tx)
    if nums:
        raise Odd(nums)


def set_aside(tx: Tx, nums: Sequence[int]) -> None:
    """Make rows failed jobs, with what they held as the payload and the reason as the error."""
    for num in nums:
        row = tx.row(_SELECT, (num,))
        if row is not None:
            _set_aside(tx, num, row)


def _set_aside(tx: Tx, num: int, row: Row) -> None:
    raw, *values = row
    told = dict(zip(_COLUMNS, values, strict=True))
    reason = _reason({**told, "payload": raw})
    if isinstance(raw, str):
        raw = raw.encode()
    elif not isinstance(raw, bytes):
        raw = json.dumps({**told, "payload": raw}, default=repr).encode()
    id = told["id"] if isinstance(told["id"], str) else new_id()
    queue = told["queue"] if isinstance(told["queue"], str) else "default"
    claims = told["claims"] if isinstance(told["claims"], int) else 0
    enqueued = told["enqueued"] if isinstance(told["enqueued"], float) else tx.now
    tx.run(
        "UPDATE taskq_jobs SET id = ?, task = ?, queue = ?, lane = ?, priority = 0, "
        "state = 'failed', seq = ?, attempts = 0, claims = ?, deaths = 0, cancel = 0, "
        "enqueued = ?, due = ?, expires = NULL, deadline = NULL, started = NULL, ended = ?, "
        "gone = ?, keep = ?, keep_failed = ?, unique_key = NULL, locked = 0, lease = NULL, "
        "result = NULL, progress = NULL, checkpoint = NULL WHERE num = ?",
        (
            id,
            MALFORMED,
            queue,
            LANES[0],
            tx.numbers(1),
            claims,
            enqueued,
            enqueued,
            tx.now,
            tx.now + _DEFAULTS.keep_failed,
            _DEFAULTS.keep,
            _DEFAULTS.keep_failed,
            num,
        ),
    )
    tx.run("DELETE FROM taskq_bodies WHERE num = ?", (num,))
    tx.run("INSERT INTO taskq_bodies (num, payload) VALUES (?, ?)", (num, raw))
    tx.run("DELETE FROM taskq_lines WHERE num = ?", (num,))
    tx.run(
        "INSERT INTO taskq_lines (num, kind, place, line) VALUES (?, 'error', 1, ?)",
        (num, reason.encode()),
    )
    tx.run(tx.dialect.know_queue, (queue,))


def _reason(told: dict[str, object]) -> str:
    wrong = [
        f"{name} is {_short(told[name])}"
        for name, types in _TYPES.items()
        if not isinstance(told[name], types)
    ]
    if told["lane"] not in LANES:
        wrong.append(f"lane is {_short(told['lane'])}")
    if told["state"] not in list(State):
        wrong.append(f"state is {_short(told['state'])}")
    if not wrong:
        wrong = [
            f"{name} is {_short(told[name])}"
            for name in ("state", "lease", "started", "ended", "gone")
        ]
    return f"this row of taskq_jobs is no job: {', '.join(wrong)}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else f"{text[:97]}..."
