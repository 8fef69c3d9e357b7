"""Reading jobs page by page.

Four places hold them, read one after the other: the running ones by order of enqueue, the
ready ones by order of arrival, the scheduled and retrying ones by due time, and the ended
ones, newest first. A cursor is the letter of the place and where to go on there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from taskq.job import Job, Page, State
from taskq.stores.redis import records
from taskq.stores.redis.keys import Keys
from taskq.stores.redis.verbs import Steps, Verbs

_QUEUES = 100
"""How many queues one call looks at."""

_PLACES = {
    State.RUNNING: "x",
    State.READY: "q",
    State.SCHEDULED: "d",
    State.RETRYING: "d",
    State.SUCCEEDED: "e",
    State.FAILED: "e",
    State.CANCELLED: "e",
    State.EXPIRED: "e",
}


class Row(NamedTuple):
    """A candidate: an id, where to go on after it, and what its record has to say."""

    id: bytes
    after: str
    place: bytes | None = None
    order: int | None = None


class Browse:
    """One call of ``browse``."""

    def __init__(self, verbs: Verbs, keys: Keys, queue: str | None, state: State | None) -> None:
        self._verbs = verbs
        self._keys = keys
        self._queue = queue
        self._states = frozenset(State) if state is None else frozenset({state})
        self._places = "xqde" if state is None else _PLACES[state]

    def page(self, limit: int, cursor: str | None) -> Steps[Page]:
        limit = max(limit, 1)
        places, after = self._read(cursor)
        found: list[tuple[Job, str]] = []
        for place in places:
            while len(found) <= limit:
                # A filter by queue leaves few of the ended or due ones.
                want = max(limit + 1 - len(found), 100 if self._queue is not None else 1)
                rows = yield from self._rows(place, after, want)
                found += yield from self._jobs(place, rows)
                if len(rows) < want:
                    break
                after = rows[-1].after
            if len(found) > limit:
                break
            after = ""
        more = len(found) > limit
        return Page([job for job, _ in found[:limit]], found[limit - 1][1] if more else None)

    def _read(self, cursor: str | None) -> tuple[str, str]:
        if cursor is None:
            return self._places, ""
        place, colon, after = cursor.partition(":")
        number = after.partition(" ")[0] if place == "d" else after
        if not colon or len(place) != 1 or place not in self._places or not number.isdecimal():
            raise ValueError(f"not a cursor of this store: {cursor!r}")
        return self._places[self._places.index(place) :], after

    def _rows(self, place: str, after: str, want: int) -> Steps[list[Row]]:
        """The next candidates of a place, ``want`` of them unless it has no more."""
        if place == "x":
            return (yield from self._running(after, want))
        if place == "q":
            return (yield from self._ready(after, want))
        if place == "d":
            score, _, entry = after.partition(" ")
            reply = yield self._verbs.call("browse_due", score or 0, entry, want)
            pairs = zip(reply[::2], reply[1::2], strict=True)
            return [row for entry, due in pairs for row in _due_row(entry, due)]
        letters = "".join(sorted(records.STATE_LETTERS[s] for s in self._states if s.ended))
        reply = yield self._verbs.call(
            "browse_ended", letters, f"({after}" if after else "+inf", want
        )
        ends = [
            (int(float(number)), id)
            for part in reply
            for id, number in zip(part[::2], part[1::2], strict=True)
        ]
        return [Row(id, f"{number}") for number, id in sorted(ends, reverse=True)[:want]]

    def _running(self, after: str, want: int) -> Steps[list[Row]]:
        leases = yield ("ZRANGE", *self._keys.named(["leases"]), 0, -1)
        if not leases:
            return []
        held = [self._keys.held(records.readable(lease)) for lease in leases]
        ids = [id for part in (yield self._verbs.call("members", keys=held)) for id in part]
        orders: list[tuple[int, bytes]] = []
        for start in range(0, len(ids), 500):
            part = ids[start : start + 500]
            metas = yield ("HMGET", *self._keys.named(["meta"]), *part)
            for id, meta in zip(part, metas, strict=True):
                number = records.order(meta)
                if number is not None and number > int(after or -1):
                    orders.append((number, id))
        return [Row(id, f"{number}") for number, id in sorted(orders)[:want]]

    def _ready(self, after: str, want: int) -> Steps[list[Row]]:
        if self._queue is None:
            counted = yield ("HKEYS", *self._keys.named(["counts"]))
            queues: Sequence[str] = sorted({records.readable(field[1:]) for field in counted})
        else:
            queues = [self._queue]
        entries: list[tuple[int, bytes]] = []
        for start in range(0, len(queues), _QUEUES):
            lanes = [
                lane for name in queues[start : start + _QUEUES] for lane in self._keys.lanes(name)
            ]
            keys = [key for lane in lanes for key in lane[:2]]
            reply = yield self._verbs.call("browse_ready", after or -1, want, keys=keys)
            for part in reply:
                for entry in part:
                    place, _, id = entry.partition(b" ")
                    if place.isdigit() and int(place) > int(after or -1):
                        entries.append((int(place), id))
        return [Row(id, f"{place}", b"%d" % place) for place, id in sorted(entries)[:want]]

    def _jobs(self, place: str, rows: Sequence[Row]) -> Steps[list[tuple[Job, str]]]:
        """The jobs of those rows that are current and wanted, each with its cursor."""
        found: list[tuple[Job, str]] = []
        for start in range(0, len(rows), 500):
            part = rows[start : start + 500]
            metas, bodies, extra = yield self._verbs.call("get", *(row.id for row in part))
            for n, row in enumerate(part):
                if metas[n] is None:
                    continue
                job = records.job(
                    records.readable(row.id), metas[n], bodies[n], extra[5 * n : 5 * n + 5]
                )
                if (
                    job.state in self._states
                    and _PLACES[job.state] == place
                    and (self._queue is None or job.queue == self._queue)
                    and (row.place is None or row.place == records.place(metas[n], "q"))
                    and (row.order is None or row.order == records.order(metas[n]))
                ):
                    found.append((job, f"{place}:{row.after}"))
        return found


def _due_row(entry: bytes, due: bytes) -> Iterator[Row]:
    order, _, id = entry.partition(b" ")
    yield Row(
        id,
        f"{int(float(due))} {records.readable(entry)}",
        order=int(order) if order.isdigit() else 0,
    )
