"""What each verb says to Redis and what the answers mean; the sending is left to others.

A verb is a generator: it yields commands, is sent their replies, and returns what the store
answers. So the sync store and its asyncio twin differ in nothing but the sending.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, Literal, TypeVar

from taskq.clock import Clock
from taskq.errors import LeaseLost, StoreUnavailable
from taskq.job import (
    Claim,
    Claimed,
    Enqueued,
    Finished,
    Job,
    Lane,
    Lapsed,
    NewJob,
    Note,
    Outcome,
    Promoted,
    QueueStats,
    WorkerInfo,
)
from taskq.store import MALFORMED
from taskq.stores.redis import records
from taskq.stores.redis.keys import LETTERS, Keys
from taskq.stores.redis.records import ms
from taskq.stores.redis.scripts import Argument, Calls, Command

T = TypeVar("T")
Steps = Generator[Command, Any, T]

_JOBS = 500
_BYTES = 1 << 20
"""The most that one call of a script takes: it holds up everybody else."""
_REMEMBERED = 1000
_CLAIMS = 10_000
"""The most that one claim or reclaim takes."""

_COUNTED = [records.STATES[letter] for letter in "dqxtsfce"]
_WORKER_FIELDS = {each.name for each in fields(WorkerInfo)} - {"lease", "running", "seen_at"}


class Verbs:
    """The verbs on the keys of one prefix.

    :param clock: None: the server's time.
    """

    def __init__(self, keys: Keys, clock: Clock | None, max_ended: int) -> None:
        self._keys = keys
        self._calls = Calls(keys)
        self._clock = clock
        self._max_ended = max_ended
        self._plain: dict[tuple[str, Lane, float, float], tuple[Command, Command]] = {}
        """The beginning and the end of the command that enqueues such a job."""
        self._promoted: dict[str, None] = {}
        """Lane letter and queue of jobs that were promoted; their keys are sent along."""

    def call(self, script: str, *arguments: Argument, keys: Sequence[bytes] = ()) -> Command:
        return self._calls(script, self._now(), *arguments, keys=keys)

    def _now(self) -> str:
        return "" if self._clock is None else records.clock_text(self._clock.now())

    # -- producing ------------------------------------------------------------------
    def enqueue(self, jobs: Sequence[NewJob]) -> Steps[list[Enqueued]]:
        if len(jobs) == 1 and (command := self._enqueue_one(jobs[0])) is not None:
            try:
                reply = yield command
            except StoreUnavailable as error:
                raise _maybe_stored(error, jobs) from error
            return [Enqueued(jobs[0].id, "created" if reply == 1 else "exists")]
        answers: list[Enqueued] = []
        for part in _split(jobs, lambda job: len(job.payload) + 100):
            try:
                reply = yield self._enqueue(part)
            except StoreUnavailable as error:
                raise _maybe_stored(error, jobs[len(answers) :]) from error
            start = len(answers)
            answers += [Enqueued(job.id, "created") for job in part]
            for n in range(0, len(reply), 3):
                index, status, id = reply[n : n + 3]
                answers[start + index - 1] = Enqueued(id.decode(), status.decode())
        return answers

    def _enqueue_one(self, job: NewJob) -> Command | None:
        """The command for a plain job; None: it is not that plain."""
        if (
            job.due is not None
            or job.priority
            or job.lock is not None
            or job.expires is not None
            or job.deadline is not None
        ):
            return None
        kind = (job.queue, job.lane, job.keep, job.keep_failed)
        known = self._plain.get(kind)
        if known is None:
            if len(self._plain) >= _REMEMBERED:
                self._plain.clear()
            list_, _, wake = self._keys.queue(LETTERS[job.lane], job.queue)
            head = self._calls.head("enqueue_one", (list_, wake))
            known = self._plain[kind] = (head, (f"q{job.queue}", records.common(job)))
        head, tail = known
        return (*head, self._now(), job.id, records.body(job.task, job.payload), *tail)

    def _enqueue(self, jobs: Sequence[NewJob]) -> Command:
        places: dict[tuple[Lane, str], int] = {}
        keys: list[bytes] = []
        arguments: list[Argument] = [len(jobs)]
        alike: tuple[Any, ...] | None = None
        count_at = 0
        for job in jobs:
            lock = job.lock
            kind = (
                job.queue,
                job.lane,
                job.priority,
                job.due,
                job.expires,
                job.deadline,
                job.keep,
                job.keep_failed,
                None if lock is None else lock[1:],
            )
            if kind != alike:
                alike = kind
                target = job.lane, job.queue
                where = places.get(target)
                if where is None:
                    where = places[target] = len(places)
                    keys += self._keys.queue(LETTERS[job.lane], job.queue)
                count_at = len(arguments) + 1
                arguments += (records.options(job, where), 0)
            arguments[count_at] += 1  # type: ignore[operator]  # a number, as set above
            arguments += (job.id, records.body(job.task, job.payload))
            if lock is not None:
                arguments.append(lock.key)
        return self.call("enqueue", *arguments, keys=keys)

    # -- a worker's lease ---------------------------------------------------------------
    def open(self, worker: WorkerInfo, ttl: float) -> Steps[str]:
        lease = secrets.token_urlsafe(12)
        info = {name: value for name, value in asdict(worker).items() if name in _WORKER_FIELDS}
        yield self.call("open", lease, ms(ttl), json.dumps(info))
        return lease

    def renew(self, lease: str, running: Sequence[str]) -> Steps[list[str] | None]:
        reply = yield self.call("renew", lease, "\0".join(running))
        return None if reply == b"lost" else [id.decode() for id in reply]

    def end(self, lease: str) -> Steps[None]:
        keys = self._keys.held(lease), self._keys.lease_wake(lease)
        yield self.call("end", lease, keys=keys)

    def claim_command(
        self, lease: str, number: int, queues: Sequence[str], limits: Mapping[Lane, int]
    ) -> tuple[Command, list[bytes]]:
        """The command of a claim, and the wake keys that tell of something new for it."""
        keys = [self._keys.held(lease)]
        wakes = [self._keys.lease_wake(lease)]
        targets = []
        for queue in dict.fromkeys(queues):
            for lane, limit in limits.items():
                if limit > 0:
                    letter = LETTERS[lane]
                    found = self._keys.queue(letter, queue)
                    keys += found
                    wakes.append(found[2])
                    targets.append(letter + queue)
        threads, loops = (min(max(limits.get(lane, 0), 0), _CLAIMS) for lane in LETTERS)
        return self.call("claim", lease, number, threads, loops, *targets, keys=keys), wakes

    def wake_command(self, lease: str) -> Command:
        return self.call("wake", lease, keys=[self._keys.lease_wake(lease)])

    def wake(self, lease: str) -> Steps[None]:
        yield self.wake_command(lease)

    def claims(self, lease: str, reply: Any) -> Steps[list[Claim]]:
        """The claims of a reply to claim or reclaim; sets aside what cannot be read.

        :raises LeaseLost: that is the reply.
        """
        if reply == b"lost":
            raise LeaseLost(f"lease {lease} is not known or was ended")
        now = float(reply[0]) / 1000
        ids, metas, bodies, pairs = reply[3:7]
        checkpoints = dict(zip(pairs[::2], pairs[1::2], strict=True))
        found: list[Claim] = []
        for n, (id, meta, body) in enumerate(zip(ids, metas, bodies, strict=True), 1):
            try:
                found.append(records.claim(id.decode(), meta, body, checkpoints.get(n), now))
            except (records.Unreadable, ValueError, LookupError, AttributeError) as error:
                yield self._set_aside(lease, id, meta, body, error)
        return found

    def _set_aside(
        self, lease: str, id: bytes, meta: bytes, body: bytes | None, error: Exception
    ) -> Command:
        claims = meta[1:].split(b" ", 1)[0]
        whole = records.body(MALFORMED, body or b"")
        keys = [self._keys.held(lease)]
        return self.call(
            "finish", lease, 1, "f 0 0 1 0 0 0 eb", 1, id, claims, str(error), whole, keys=keys
        )

    def finish(self, lease: str, outcomes: Sequence[Outcome]) -> Steps[list[Finished]]:
        answers: list[Finished] = []
        for part in _split(outcomes, _weight):
            reply = yield self._finish(lease, part)
            start = len(answers)
            answers.extend("done" for _ in part)
            for n in range(0, len(reply), 2):
                answers[start + reply[n] - 1] = reply[n + 1].decode()
        return answers

    def _finish(self, lease: str, outcomes: Sequence[Outcome]) -> Command:
        places: dict[tuple[Lane, str], int] = {}
        keys: list[bytes] = [self._keys.held(lease)]
        arguments: list[Argument] = [len(outcomes)]
        alike: records.Alike | None = None
        count_at = 0
        for outcome in outcomes:
            claim, where = outcome.claim, 0
            if not outcome.state.ended:
                target = claim.lane, claim.queue
                known = places.get(target)
                if known is None:
                    known = places[target] = len(places)
                    keys += self._keys.queue(LETTERS[claim.lane], claim.queue)
                where = known
            kind = records.alike(outcome, where)
            if kind != alike:
                alike, count_at = kind, len(arguments) + 1
                arguments += (records.describe(kind), 0)
            arguments[count_at] += 1  # type: ignore[operator]  # a number, as set above
            arguments += (claim.id, claim.claims)
            for value in (outcome.result, outcome.error, outcome.payload):
                if value is not None:
                    arguments.append(value)
        return self.call("finish", lease, *arguments, keys=keys)

    def note(self, lease: str, claim: Claim, note: Note) -> Steps[bool]:
        letters, values = "", []
        for letter, value in (
            ("p", note.progress),
            ("c", note.checkpoint),
            ("a", note.payload),
            *(("l", line) for line in note.log),
        ):
            if value is not None:
                letters += letter
                values.append(value)
        reply = yield self.call("note", lease, claim.id, claim.claims, letters, *values)
        return bool(reply == 1)

    # -- upkeep -----------------------------------------------------------------------
    def promote(self, limit: int) -> Steps[Promoted]:
        moved = 0
        targets = list(self._promoted)
        while True:
            keys = [key for each in targets for key in self._keys.queue(each[0], each[1:])]
            most = max(min(limit - moved, _JOBS), 0)
            now, n, first, missing = yield self.call("promote", most, *targets, keys=keys)
            moved += n
            due = None if first == b"" else (float(first) - float(now)) / 1000
            targets = [records.readable(each) for each in missing[:_MOST_TARGETS]]
            self._remember(targets)
            if not targets:
                if due is None or due > 0 or moved >= limit or not n:
                    return Promoted(moved, due)
                targets = list(self._promoted)

    def _remember(self, targets: Sequence[str]) -> None:
        known = dict.fromkeys([*targets, *self._promoted])
        self._promoted = dict.fromkeys(list(known)[:_MOST_TARGETS])

    def lapsed(self) -> Steps[list[Lapsed]]:
        reply = yield self.call("lapsed")
        pairs = zip(reply[::2], reply[1::2], strict=True)
        return [Lapsed(records.readable(lease), float(at) == 0) for lease, at in pairs]

    def reclaim(
        self, lease: str, number: int, dead: Sequence[str], limit: int
    ) -> Steps[list[Claim]]:
        keys = [self._keys.held(lease)]
        for each in dead:
            keys += (self._keys.held(each), self._keys.lease_wake(each))
        most = max(min(limit, _CLAIMS), 0)
        reply = yield self.call("reclaim", lease, number, most, *dead, keys=keys)
        return (yield from self.claims(lease, reply))

    def prune(self, limit: int) -> Steps[int]:
        gone = 0
        while True:
            most = min(limit - gone, _JOBS)
            n = int((yield self.call("prune", max(most, 0), self._max_ended)))
            gone += n
            if n < most or gone >= limit:
                return gone

    # -- reading ---------------------------------------------------------------------
    def get(self, ids: Sequence[str]) -> Steps[list[Job | None]]:
        jobs: list[Job | None] = []
        for start in range(0, len(ids), _JOBS):
            part = ids[start : start + _JOBS]
            metas, bodies, extra = yield self.call("get", *part)
            for n, id in enumerate(part):
                meta = metas[n]
                jobs.append(
                    None
                    if meta is None
                    else records.job(id, meta, bodies[n], extra[5 * n : 5 * n + 5])
                )
        return jobs

    def watch(self, ids: Sequence[str], seconds: float) -> Steps[bool]:
        """Have the ends of jobs told for so long; False: one of them is over already."""
        return bool((yield self.call("watch", ms(seconds), *ids)) == 1)

    def stats(self, queues: Sequence[str] | None) -> Steps[list[QueueStats]]:
        if queues is None:
            counted = yield ("HKEYS", *self._keys.named(["counts"]))
            queues = list({records.readable(field[1:]) for field in counted})
        names = sorted(set(queues))
        found: list[QueueStats] = []
        for start in range(0, len(names), 100):
            part = names[start : start + 100]
            keys = [key for name in part for lane in self._keys.lanes(name) for key in lane[:2]]
            reply = yield self.call("stats", *part, keys=keys)
            for n, name in enumerate(part):
                paused, waited, counts = reply[3 * n : 3 * n + 3]
                numbers = {
                    state: int(count or 0) for state, count in zip(_COUNTED, counts, strict=True)
                }
                oldest = None if waited == b"" else int(waited) / 1000
                found.append(QueueStats(name, numbers, paused == 1, oldest))
        return found

    def workers(self) -> Steps[list[WorkerInfo]]:
        reply = yield self.call("workers")
        leases = [records.readable(lease) for lease in reply[::3]]
        sizes = yield self.call("sizes", keys=[self._keys.held(lease) for lease in leases])
        found = []
        for n, lease in enumerate(leases):
            seen, info = reply[3 * n + 1], reply[3 * n + 2]
            known = {k: v for k, v in _object(info).items() if k in _WORKER_FIELDS}
            worker = WorkerInfo(**{"host": "?", "pid": 0, **known})
            worker.queues = tuple(worker.queues)
            worker.lease, worker.running = lease, sizes[n]
            worker.seen_at = int(seen or 0) / 1000
            found.append(worker)
        return found

    # -- control ---------------------------------------------------------------------
    def cancel(
        self, ids: Sequence[str]
    ) -> Steps[list[Literal["cancelled", "asked", "ended", "missing"]]]:
        return (yield from self._each("cancel", ids))

    def delete(self, ids: Sequence[str]) -> Steps[list[Literal["deleted", "running", "missing"]]]:
        return (yield from self._each("delete", ids))

    def _each(self, script: str, ids: Sequence[str]) -> Steps[list[Any]]:
        answers: list[str] = []
        for start in range(0, len(ids), _JOBS):
            reply = yield self.call(script, *ids[start : start + _JOBS])
            answers += [records.text(answer) for answer in reply]
        return answers

    def requeue(
        self, ids: Sequence[str]
    ) -> Steps[list[Literal["requeued", "running", "ready", "refused", "missing"]]]:
        answers: dict[int, Any] = {}
        for start in range(0, len(ids), _JOBS):
            open = list(range(start, min(start + _JOBS, len(ids))))
            targets: list[str] = []
            while open:
                keys = [key for each in targets for key in self._keys.queue(each[0], each[1:])]
                reply = yield self.call(
                    "requeue", len(targets), *targets, *(ids[n] for n in open), keys=keys
                )
                told = {n: answer.decode() for n, answer in zip(open, reply, strict=True)}
                answers |= told
                # A queue whose keys were not given; so the same again with them.
                open = [n for n, answer in told.items() if answer.startswith("?")]
                targets = list(dict.fromkeys(told[n][1:] for n in open))[:_MOST_TARGETS]
        return [answers[n] for n in range(len(ids))]

    def pause(self, queue: str, paused: bool) -> Steps[None]:
        keys = [lane[2] for lane in self._keys.lanes(queue)]
        yield self.call("pause", queue, int(paused), keys=keys)

    # -- shared locks and counters --------------------------------------------------------
    def acquire(self, key: str, owner: str, ttl: float, slots: int) -> Steps[bool]:
        keys = [self._keys.lock(key)]
        return bool((yield self.call("acquire", owner, ms(ttl), slots, keys=keys)) == 1)

    def release(self, key: str, owner: str) -> Steps[None]:
        yield self.call("release", owner, keys=[self._keys.lock(key)])

    def tally(self, key: str, ttl: float, amount: int) -> Steps[int]:
        reply = yield self.call("tally", ms(ttl), amount, keys=[self._keys.tally(key)])
        return int(reply)


_MOST_TARGETS = 100
"""Queues and lanes whose keys one call names."""


def due_of(reply: Any) -> bytes:
    """The due time of the next job, as a reply to claim tells it."""
    return bytes(reply[1])


def claimed(claims: list[Claim], reply: Any, age: float = 0.0) -> Claimed:
    """What a reply to claim says.

    :param age: seconds since it came.
    """
    due = due_of(reply)
    return Claimed(claims, None if due == b"" else (float(due) - float(reply[0])) / 1000 - age)


def _object(text: bytes | None) -> dict[str, Any]:
    try:
        found = json.loads(text or b"{}")
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _weight(outcome: Outcome) -> int:
    return (
        len(outcome.result or b"") + len(outcome.error or b"") + len(outcome.payload or b"") + 100
    )


def _maybe_stored(error: StoreUnavailable, jobs: Sequence[NewJob]) -> StoreUnavailable:
    return StoreUnavailable(
        f"{error}; the jobs may have been stored, and may be enqueued again under the same ids",
        [job.id for job in jobs],
    )


def _split(items: Sequence[T], weight: Callable[[T], int]) -> Iterator[Sequence[T]]:
    """Cut a batch into calls."""
    start, bytes_ = 0, 0
    for n, item in enumerate(items):
        heavy = weight(item)
        if n > start and (n - start >= _JOBS or bytes_ + heavy > _BYTES):
            yield items[start:n]
            start, bytes_ = n, 0
        bytes_ += heavy
    if start < len(items):
        yield items[start:]


def over(jobs: Sequence[Job | None]) -> bool:
    """One of the jobs has ended, or is not there."""
    return any(job is None or job.state.ended for job in jobs)
