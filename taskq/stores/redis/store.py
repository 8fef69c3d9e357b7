"""The store on one Redis or Valkey server."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

from taskq.clock import Clock
from taskq.errors import (
    ConfigError,
    NotSupported,
    SchemaError,
    StoreError,
    StoreUnavailable,
)
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
from taskq.stores.redis.browse import Browse
from taskq.stores.redis.foreign import Foreign
from taskq.stores.redis.keys import Keys
from taskq.stores.redis.records import text
from taskq.stores.redis.scripts import Command
from taskq.stores.redis.url import Address, parse
from taskq.stores.redis.verbs import Steps, Verbs, claimed, due_of, over
from taskq.stores.redis.wire import Wire

if TYPE_CHECKING:
    from taskq.stores.redis.aio import AsyncRedisStore

T = TypeVar("T")

_log = logging.getLogger("taskq.store")

LAYOUT = "1"
"""The version of what lies where, and how it is written."""

_LOOK_AGAIN = 5.0
"""Seconds after which one who waits for a job looks without having been told."""


class Subscribed(Protocol):
    def wait(self, seconds: float) -> bool: ...

    def close(self) -> None: ...


class Link(Protocol):
    """The way to the server."""

    name: str

    def call(self, command: Command, *, repeat: bool = True) -> Any: ...

    def call_after_pop(
        self, keys: Sequence[bytes], seconds: float, alarm: Command, command: Command | None
    ) -> tuple[bytes | None, Any]: ...

    def subscribe(self, channels: Sequence[str]) -> Subscribed: ...

    def close(self) -> None: ...


@runtime_checkable
class _TravellingClock(Clock, Protocol):
    """A clock that can leap (``taskq.testing.clock``)."""

    def listen(self, callback: Callable[[float], None]) -> None: ...


_REMEMBERED = 100


class _Idle(NamedTuple):
    """A claim that found nothing: the wake keys of where it looked, the reply, and when."""

    wakes: frozenset[bytes]
    reply: Any
    looked: float

    def still_holds(self, wakes: Sequence[bytes], ticks: float) -> bool:
        """A look at the same places would find nothing either, and nothing is due yet."""
        next_due = claimed([], self.reply, ticks - self.looked).next_due
        return self.wakes == frozenset(wakes) and (next_due is None or next_due > 0)


class RedisStore:
    """Keeps jobs in a Redis (6.2 or later) or Valkey server.

    It needs one connection for each call that is under way at the same time; in a worker two,
    and one for each thread that waits for a result. In the URL's query:
    ``prefix``, ``socket_timeout``, ``socket_connect_timeout`` (seconds), ``client_name``, ``db``,
    and with TLS ``ssl_ca_certs``, ``ssl_certfile``, ``ssl_keyfile``, ``ssl_cert_reqs``,
    ``ssl_check_hostname``.

    :param url: ``redis://[user][:password@]host[:port][/db]``, ``rediss://``,
        ``unix://[user:password@]/path.sock?db=N``, ``valkey://``, ``valkeys://``; None, and no
        client: ``redis://localhost:6379/0``.
    :param client: a redis-py client (or fakeredis) to use instead; it stays the caller's.
    :param async_client: the same of ``redis.asyncio``, for ``aio``.
    :param prefix: all keys begin with ``{prefix}:``; "taskq" unless the URL says otherwise.
    :param clock: None: the server's time.
    :param max_ended: how many ended jobs of each state `prune` leaves.
    :param budget: seconds a call may take, with its repeats, before StoreUnavailable.
    :raises ConfigError: something of the above is wrong.
    """

    shared = True
    transactional = False
    blocking = True

    def __init__(
        self,
        url: str | None = None,
        *,
        client: Any = None,
        async_client: Any = None,
        prefix: str | None = None,
        clock: Clock | None = None,
        max_ended: int = 100_000,
        budget: float = 2.0,
    ) -> None:
        if max_ended < 0:
            raise ConfigError(f"max_ended is a number of jobs, 0 or more, not {max_ended}")
        if not budget > 0:
            raise ConfigError(f"budget is a number of seconds above 0, not {budget}")
        if client is not None and url is not None:
            raise ConfigError("a Redis store takes a URL or a client, not both")
        self._address: Address | None = None
        self._async_client = async_client
        self._aio: AsyncRedisStore | None = None
        self._budget = budget
        self._link: Link
        if client is not None:
            self._link = Foreign(client)
            self.url = f"redis://{self._link.name}"
        else:
            self._address = parse(url or "redis://localhost:6379/0")
            self._link = Wire(self._address, budget)
            self.url = self._address.url
            prefix = self._address.prefix if prefix is None else prefix
        self._keys = Keys("taskq" if prefix is None else prefix)
        self._verbs = Verbs(self._keys, clock, max_ended)
        self._clock = clock
        self._idle: dict[str, _Idle] = {}
        """Of leases whose last claim found nothing."""
        self._waiting: list[str] = []
        """The leases whose claims wait, for a clock that leaps."""
        if isinstance(clock, _TravellingClock):
            clock.listen(self._travelled)

    @property
    def aio(self) -> AsyncRedisStore | None:
        """The twin for asyncio; None if there is a sync client only."""
        if self._aio is None and (self._async_client is not None or self._address is not None):
            # Here, for asyncio and redis.asyncio take long to import.
            from taskq.stores.redis.aio import AsyncRedisStore

            self._aio = AsyncRedisStore(
                self._verbs, self._keys, self._address, self._async_client, self._budget
            )
        return self._aio

    def __repr__(self) -> str:
        return f"<RedisStore {self.url} prefix={self._keys.prefix!r}>"

    def _run(self, steps: Steps[T], *, repeat: bool = True) -> T:
        """Send what a verb says, and give it the answers."""
        try:
            command = next(steps)
            while True:
                try:
                    reply = self._link.call(command, repeat=repeat)
                except StoreError as error:
                    command = steps.throw(error)
                else:
                    command = steps.send(reply)
        except StopIteration as stop:
            result: T = stop.value
            return result

    # -- producing ------------------------------------------------------------------
    def enqueue(self, jobs: Sequence[NewJob], *, connection: Any = None) -> list[Enqueued]:
        _refuse(connection)
        return self._run(self._verbs.enqueue(jobs))

    # -- a worker's lease ---------------------------------------------------------------
    def open(self, worker: WorkerInfo, ttl: float) -> str:
        return self._run(self._verbs.open(worker, ttl))

    def renew(self, lease: str, running: Sequence[str] = ()) -> list[str] | None:
        return self._run(self._verbs.renew(lease, running))

    def end(self, lease: str) -> None:
        self._idle.pop(lease, None)
        self._run(self._verbs.end(lease))

    def claim(
        self,
        lease: str,
        number: int,
        queues: Sequence[str],
        limits: Mapping[Lane, int],
        wait: float = 0.0,
    ) -> Claimed:
        until = time.monotonic() + wait
        command, wakes = self._verbs.claim_command(lease, number, queues, limits)
        claims: list[Claim] = []
        idle = self._idle.pop(lease, None)
        if wait > 0 and idle is not None and idle.still_holds(wakes, self._ticks()):
            # The last look found nothing, and whatever became ready since left a token.
            reply, looked = idle.reply, idle.looked
        else:
            reply, looked = self._link.call(command), self._ticks()
            claims = self._run(self._verbs.claims(lease, reply))
        due = due_of(reply) if reply != b"lost" else b""
        while not claims:
            found = claimed(claims, reply, self._ticks() - looked)
            if reply[2]:
                # It skipped so many entries of jobs that had moved on that it stopped.
                popped = None
                reply = self._link.call(self._verbs.claim_command(lease, number, queues, limits)[0])
            else:
                left = until - time.monotonic()
                if found.next_due is not None:
                    left = min(left, found.next_due)
                if left <= 0 or due_of(reply) != due:
                    if len(self._idle) >= _REMEMBERED:
                        self._idle.clear()  # of leases that are gone; the others look once more
                    self._idle[lease] = _Idle(frozenset(wakes), reply, looked)
                    return found
                popped, reply = self._wait_and_claim(lease, number, queues, limits, left, wakes)
            looked = self._ticks()
            claims = self._run(self._verbs.claims(lease, reply))
            if popped == wakes[0]:
                break
        return claimed(claims, reply)

    def _ticks(self) -> float:
        """For how long something lasts, by the clock that decides what is due."""
        return time.monotonic() if self._clock is None else self._clock.now()

    def _wait_and_claim(
        self,
        lease: str,
        number: int,
        queues: Sequence[str],
        limits: Mapping[Lane, int],
        seconds: float,
        wakes: Sequence[bytes],
    ) -> tuple[bytes | None, Any]:
        alarm = self._verbs.wake_command(lease)
        # A little more, for a claim that comes a trifle too early finds nothing.
        seconds += 0.001
        if self._clock is None:
            command, _ = self._verbs.claim_command(lease, number, queues, limits)
            return self._link.call_after_pop(wakes, seconds, alarm, command)
        # The time goes along with a claim, so it is not sent before it is to be done.
        self._waiting.append(lease)
        try:
            popped, _ = self._link.call_after_pop(wakes, seconds, alarm, None)
        finally:
            self._waiting.remove(lease)
        command, _ = self._verbs.claim_command(lease, number, queues, limits)
        return popped, self._link.call(command)

    def _travelled(self, seconds: float) -> None:
        for lease in list(self._waiting):
            self.wake(lease)

    def wake(self, lease: str) -> None:
        self._run(self._verbs.wake(lease))

    def finish(
        self, lease: str, outcomes: Sequence[Outcome], *, connection: Any = None
    ) -> list[Finished]:
        _refuse(connection)
        if any(outcome.state is State.RUNNING for outcome in outcomes):
            raise ValueError("an outcome takes a job out of running")
        return self._run(self._verbs.finish(lease, outcomes))

    def note(self, lease: str, claim: Claim, note: Note) -> bool:
        # Sent twice, its lines would be in the log twice.
        return self._run(self._verbs.note(lease, claim, note), repeat=not note.log)

    # -- upkeep -----------------------------------------------------------------------
    def promote(self, limit: int = 1000) -> Promoted:
        return self._run(self._verbs.promote(limit))

    def lapsed(self) -> list[Lapsed]:
        return self._run(self._verbs.lapsed())

    def reclaim(self, lease: str, number: int, dead: Sequence[str], limit: int) -> list[Claim]:
        return self._run(self._verbs.reclaim(lease, number, dead, limit))

    def prune(self, limit: int = 1000) -> int:
        return self._run(self._verbs.prune(limit))

    # -- reading ---------------------------------------------------------------------
    def get(self, ids: Sequence[str]) -> list[Job | None]:
        return self._run(self._verbs.get(ids))

    def wait(self, ids: Sequence[str], timeout: float) -> list[Job | None]:
        until = time.monotonic() + timeout
        jobs = self.get(ids)
        if not ids or over(jobs) or timeout <= 0:
            return jobs
        channels = [self._keys.channel(id) for id in ids]
        listening = self._link.subscribe(channels)
        try:
            while (left := until - time.monotonic()) > 0:
                left = min(left, _LOOK_AGAIN)
                if not self._run(self._verbs.watch(ids, left + 1)):
                    break
                if not listening.wait(left):
                    listening.close()
                    listening = self._link.subscribe(channels)
        finally:
            listening.close()
        return self.get(ids)

    def browse(
        self,
        *,
        queue: str | None = None,
        state: State | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> Page:
        return self._run(Browse(self._verbs, self._keys, queue, state).page(limit, cursor))

    def stats(self, queues: Sequence[str] | None = None) -> list[QueueStats]:
        return self._run(self._verbs.stats(queues))

    def workers(self) -> list[WorkerInfo]:
        return self._run(self._verbs.workers())

    # -- control ---------------------------------------------------------------------
    def cancel(self, ids: Sequence[str]) -> list[Literal["cancelled", "asked", "ended", "missing"]]:
        return self._run(self._verbs.cancel(ids))

    def requeue(
        self, ids: Sequence[str]
    ) -> list[Literal["requeued", "running", "ready", "refused", "missing"]]:
        return self._run(self._verbs.requeue(ids))

    def delete(self, ids: Sequence[str]) -> list[Literal["deleted", "running", "missing"]]:
        return self._run(self._verbs.delete(ids))

    def pause(self, queue: str, paused: bool = True) -> None:
        self._run(self._verbs.pause(queue, paused))

    # -- shared locks and counters --------------------------------------------------------
    def acquire(self, key: str, owner: str, *, ttl: float, slots: int = 1) -> bool:
        return self._run(self._verbs.acquire(key, owner, ttl, slots))

    def release(self, key: str, owner: str) -> None:
        self._run(self._verbs.release(key, owner))

    def tally(self, key: str, ttl: float, amount: int = 1) -> int:
        # Sent twice, it would count twice.
        return self._run(self._verbs.tally(key, ttl, amount), repeat=False)

    # -- life -----------------------------------------------------------------------
    def ping(self) -> None:
        """See that the server answers and holds a layout that this taskq knows.

        Warns (``taskq.store``) when the server may delete jobs to make room.

        :raises StoreUnavailable: not reached. :raises SchemaError: a layout of another version.
        :raises StoreError: the server refuses this user.
        """
        (key,) = self._keys.named(["layout"])
        found = self._link.call(("GET", key))
        if found is None:
            self._link.call(("SET", key, LAYOUT, "NX"))
        elif text(found) != LAYOUT:
            raise SchemaError(
                f"{self.url} holds jobs of taskq in the layout {text(found)!r} (prefix "
                f"{self._keys.prefix!r}), and this taskq knows {LAYOUT!r}"
            )
        policy = self._policy()
        if policy != "noeviction":
            _log.warning(
                "%s has maxmemory-policy %s: when memory is full it deletes jobs. Set it to "
                "noeviction.",
                self.url,
                policy,
            )

    def _policy(self) -> str:
        try:
            reply = self._link.call(("CONFIG", "GET", "maxmemory-policy"))
        except StoreUnavailable:
            raise
        except StoreError as error:
            _log.debug("the maxmemory-policy of %s can't be read: %s", self.url, error)
            return "noeviction"
        values = list(reply.values()) if isinstance(reply, dict) else reply[1:2]
        return text(values[0]) if values else "noeviction"

    def close(self) -> None:
        self._link.close()


def _refuse(connection: Any) -> None:
    if connection is not None:
        raise NotSupported(
            "the Redis store can't write in a transaction of yours; the SQL stores can"
        )
