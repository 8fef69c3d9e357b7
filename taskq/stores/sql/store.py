"""The store itself: each verb as one transaction, or a few."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from taskq.clock import Clock, SystemClock
from taskq.errors import ConfigError, StoreUnavailable
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
    Page,
    Promoted,
    QueueStats,
    State,
    WorkerInfo,
)
from taskq.stores.sql import control, finishing, holding, producing, reading, upkeep
from taskq.stores.sql.connect import Connections
from taskq.stores.sql.dialects import Connection, Dialect
from taskq.stores.sql.odd import Odd, set_aside
from taskq.stores.sql.tx import Tx
from taskq.stores.sql.waiting import Bell

T = TypeVar("T")

logger = logging.getLogger("taskq.store")

CUT = 1000
"""Jobs in one transaction: what keeps other processes from writing stays short."""


class SqlStore:
    """Jobs in the tables ``taskq_*`` of an SQL database.

    The tables are made at the first use. Every thread has a connection of its own; none is
    used across a fork.

    :param connect: makes a new connection of the dialect's driver, to be used by one thread
        and closed by any.
    :param dialect: such as :class:`taskq.stores.sql.SQLite`.
    :param url: where it is, without any password: for people.
    :param clock: where the time comes from; default: the machine's.
    :param max_ended: how many ended jobs of each state ``prune`` leaves.
    :param budget: seconds for which a call repeats when other transactions are in the way;
        then it raises StoreUnavailable.
    """

    shared = True
    transactional = True

    def __init__(
        self,
        connect: Callable[[], Connection],
        dialect: Dialect,
        *,
        url: str = "",
        clock: Clock | None = None,
        max_ended: int = 100_000,
        budget: float = 2.0,
    ) -> None:
        if max_ended < 0:
            raise ConfigError(f"max_ended is a number of jobs, 0 or more, not {max_ended}")
        if not 0 < budget < 1e6:
            raise ConfigError(f"budget is a number of seconds, more than 0, not {budget}")
        self.url = url or f"{dialect.name}://"
        self.blocking = dialect.blocking
        self._dialect = dialect
        self._clock = clock or SystemClock()
        self._max_ended = max_ended
        self._budget = budget
        self._connections = Connections(connect, dialect)
        self._bell = Bell(self._clock)
        self._woken: set[str] = set()
        self._told = False
        """The place of the database was logged."""

    # -- producing ------------------------------------------------------------------
    def enqueue(self, jobs: Sequence[NewJob], *, connection: Any = None) -> list[Enqueued]:
        answers: list[Enqueued] = []
        for part in _cut(jobs):
            try:
                work = partial(producing.enqueue, jobs=part)
                if connection is None:
                    answers += self._write(work)
                else:
                    answers += self._inside(connection, work)
            except StoreUnavailable as error:
                ids = [job.id for job in jobs[len(answers) :]]
                raise StoreUnavailable(str(error), ids) from error
            self._tell_place()
            self._bell.ring()
        return answers

    # -- a worker's lease ---------------------------------------------------------------
    def open(self, worker: WorkerInfo, ttl: float) -> str:
        return self._write(partial(holding.open_lease, worker=worker, ttl=ttl))

    def renew(self, lease: str, running: Sequence[str] = ()) -> list[str] | None:
        return self._write(partial(holding.renew, lease=lease, running=running))

    def end(self, lease: str) -> None:
        self._write(partial(holding.end_lease, lease=lease))
        self._woken.discard(lease)
        self._bell.ring()

    def claim(
        self,
        lease: str,
        number: int,
        queues: Sequence[str],
        limits: Mapping[Lane, int],
        wait: float = 0.0,
    ) -> Claimed:
        until = self._bell.ticks() + wait
        call = holding.Call(lease, number, queues, limits)
        before: holding.Glance | None = None
        while True:
            watch = self._bell.watch(self._version)
            glance = self._read(partial(holding.glance, call=call))
            if glance.again is not None:
                return Claimed(glance.again, glance.next_due)
            if glance.ready:
                claimed = self._write(partial(holding.claim, call=call))
                if claimed.claims:
                    return claimed
            before = before or glance
            left = until - self._bell.ticks()
            if glance.next_due is not None:
                left = min(left, glance.next_due)
            if left <= 0 or lease in self._woken or glance.due != before.due:
                self._woken.discard(lease)
                return Claimed([], glance.next_due)
            watch.changed(left)

    def wake(self, lease: str) -> None:
        self._woken.add(lease)
        self._bell.ring()

    def finish(
        self, lease: str, outcomes: Sequence[Outcome], *, connection: Any = None
    ) -> list[Finished]:
        if any(outcome.state is State.RUNNING for outcome in outcomes):
            raise ValueError("an outcome takes a job out of running")
        answers: list[Finished] = []
        for part in _cut(outcomes):
            work = partial(finishing.finish, lease=lease, outcomes=part)
            if connection is None:
                answers += self._write(work)
            else:
                answers += self._inside(connection, work)
            self._bell.ring()
        return answers

    def note(self, lease: str, claim: Claim, note: Note) -> bool:
        return self._write(partial(holding.note, lease=lease, claim=claim, note=note))

    # -- upkeep -----------------------------------------------------------------------
    def promote(self, limit: int = 1000) -> Promoted:
        seen = self._read(upkeep.anything_due)
        if seen.next_due is None or seen.next_due > 0:
            return seen
        promoted = self._write(partial(upkeep.promote, limit=limit))
        self._bell.ring()
        return promoted

    def lapsed(self) -> list[Lapsed]:
        return self._read(holding.lapsed)

    def reclaim(self, lease: str, number: int, dead: Sequence[str], limit: int) -> list[Claim]:
        claims = self._write(
            partial(holding.reclaim, lease=lease, number=number, dead=dead, limit=limit)
        )
        # A claim of a lease that ended here may be waiting.
        self._bell.ring()
        return claims

    def prune(self, limit: int = 1000) -> int:
        gone = self._write(partial(upkeep.prune, limit=limit, max_ended=self._max_ended))
        self._bell.ring()
        return gone

    # -- reading ---------------------------------------------------------------------
    def get(self, ids: Sequence[str]) -> list[Job | None]:
        return self._read(partial(reading.get, ids=ids))

    def wait(self, ids: Sequence[str], timeout: float) -> list[Job | None]:
        until = self._bell.ticks() + timeout
        over = partial(reading.any_over, ids=ids)
        while True:
            watch = self._bell.watch(self._version)
            left = until - self._bell.ticks()
            if self._read(over) or left <= 0:
                return self.get(ids)
            watch.changed(left)

    def browse(
        self,
        *,
        queue: str | None = None,
        state: State | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        after = reading.read_cursor(cursor)
        work = partial(reading.browse, queue=queue, state=state, limit=max(limit, 1), after=after)
        return self._read(work)

    def stats(self, queues: Sequence[str] | None = None) -> list[QueueStats]:
        return self._read(partial(reading.stats, queues=queues))

    def workers(self) -> list[WorkerInfo]:
        return self._read(holding.workers)

    # -- control ---------------------------------------------------------------------
    def cancel(self, ids: Sequence[str]) -> list[control.Cancelled]:
        answers = self._write(partial(control.cancel, ids=ids))
        self._bell.ring()
        return answers

    def requeue(self, ids: Sequence[str]) -> list[control.Requeued]:
        answers = self._write(partial(control.requeue, ids=ids))
        self._bell.ring()
        return answers

    def delete(self, ids: Sequence[str]) -> list[control.Deleted]:
        answers = self._write(partial(control.delete, ids=ids))
        self._bell.ring()
        return answers

    def pause(self, queue: str, paused: bool = True) -> None:
        self._write(partial(control.pause, queue=queue, paused=paused))
        self._bell.ring()

    # -- shared locks and counters --------------------------------------------------------
    def acquire(self, key: str, owner: str, *, ttl: float, slots: int = 1) -> bool:
        if self._read(partial(control.all_taken, key=key, owner=owner, slots=slots)):
            return False
        return self._write(partial(control.acquire, key=key, owner=owner, ttl=ttl, slots=slots))

    def release(self, key: str, owner: str) -> None:
        self._write(partial(control.release, key=key, owner=owner))

    def tally(self, key: str, ttl: float, amount: int = 1) -> int:
        return self._write(partial(control.tally, key=key, ttl=ttl, amount=amount))

    # -- life -----------------------------------------------------------------------
    def ping(self) -> None:
        self._read(lambda tx: tx.rows("SELECT count(*) FROM taskq_queues"))

    def close(self) -> None:
        self._connections.close()

    # -- transactions -----------------------------------------------------------------
    def _read(self, work: Callable[[Tx], T]) -> T:
        while True:
            try:
                return self._run(work, write=False)
            except Odd as odd:
                self._run(partial(set_aside, nums=odd.nums), write=True)

    def _write(self, work: Callable[[Tx], T]) -> T:
        return self._run(work, write=True)

    def _run(self, work: Callable[[Tx], T], *, write: bool) -> T:
        """Do ``work`` in a transaction, again while others are in the way."""
        until = time.monotonic() + self._budget
        while True:
            try:
                with self._connections.use() as handle:
                    return self._once(handle.connection, work, write)
            except self._dialect.error as error:
                self._connections.verify()  # says more than the driver, if the file is gone
                left = until - time.monotonic()
                if left <= 0 or not self._dialect.busy(error):
                    raise self._dialect.translate(error, self.url) from error
            time.sleep(min(random.uniform(0.0005, 0.01), left))

    def _once(self, connection: Connection, work: Callable[[Tx], T], write: bool) -> T:
        dialect = self._dialect
        try:
            dialect.begin(connection, write)
            result = work(Tx(dialect.cursor(connection), dialect, self._clock.now()))
            dialect.commit(connection)
        finally:
            # Also when something was raised into this thread: a transaction that stays open
            # would stop everybody else.
            dialect.rollback(connection)
        return result

    def _inside(self, connection: Any, work: Callable[[Tx], T]) -> T:
        """Do ``work`` in the caller's transaction."""
        dialect = self._dialect
        try:
            self.ping()
        except StoreUnavailable as error:
            raise StoreUnavailable(
                f"{error}. The tables are made at the first use, by a connection of the store's "
                f"own, which your transaction may be keeping out: call ping() before it begins"
            ) from error
        try:
            with self._connections.use() as handle:
                inner = dialect.adopt(connection, handle.identity)
            with dialect.inner(inner) as cursor:
                return work(Tx(cursor, dialect, self._clock.now()))
        except dialect.error as error:
            raise dialect.translate(error, self.url) from error

    def _version(self) -> Any:
        """Something that differs when another connection has committed."""
        try:
            with self._connections.use() as handle:
                return handle.serial, self._dialect.version(handle.connection)
        except self._dialect.error as error:
            if self._dialect.busy(error):
                return None
            raise self._dialect.translate(error, self.url) from error

    def _tell_place(self) -> None:
        if not self._told:
            self._told = True
            with self._connections.use() as handle:
                logger.info("jobs are kept in %s", handle.identity[0])


def _cut(batch: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(batch), CUT):
        yield batch[start : start + CUT]
