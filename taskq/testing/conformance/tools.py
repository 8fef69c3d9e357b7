"""What the conformance tests are written with: short ways to make, claim and finish jobs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import wait as wait_futures
from functools import partial
from typing import Any, Protocol, TypeVar

import pytest

from taskq.job import (
    Claim,
    Finished,
    Job,
    Lane,
    Moment,
    NewJob,
    Outcome,
    State,
    WorkerInfo,
    new_id,
)
from taskq.store import Store
from taskq.testing.clock import TravelClock

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds of real time after which something that should have happened has not."""

ODD_TEXTS = (
    "with a space",
    "a:colon:b",
    "{braces}",
    "{}",
    "*?[a]",
    "%s %d",
    "semi;colon'quote\"",
    "back\\slash/slash",
    "Grüße-日本語-🦄",
    "line\nbreak\ttab",
    "x" * 200,
    "0",
    "-1",
    "None",
)
"""Ids, queue names and keys that a careless store takes for something else."""


class MakeStore(Protocol):
    """The fixture ``make_store``. The first call of a test gives a store without jobs; a
    further one another client of the same data. ``settings`` are the store's (``max_ended``).
    """

    def __call__(self, clock: TravelClock, **settings: Any) -> Store: ...


class Bench:
    """What every class of tests has."""

    @pytest.fixture
    def clock(self) -> TravelClock:
        return TravelClock()

    @pytest.fixture
    def store(self, make_store: MakeStore, clock: TravelClock) -> Store:
        return make_store(clock)


def new(id: str | None = None, **options: Any) -> NewJob:
    options.setdefault("task", "tests.task")
    options.setdefault("payload", b"payload")
    return NewJob(id or new_id(), **options)


def add(store: Store, *ids: str, **options: Any) -> list[str]:
    """Enqueue jobs of these ids, all of which are new."""
    answers = store.enqueue([new(id, **options) for id in ids])
    assert [tuple(answer) for answer in answers] == [(id, "created") for id in ids]
    return list(ids)


def look(store: Store, id: str) -> Job:
    """The job, which has to be there."""
    (job,) = store.get([id])
    assert job is not None, f"no job {id!r}"
    assert job.id == id
    return job


def states(store: Store, *ids: str) -> list[State | None]:
    return [None if job is None else job.state for job in store.get(ids)]


def about(seconds: float) -> Any:
    """Equal but for the rounding that a store may do."""
    return pytest.approx(seconds, rel=0, abs=0.002)


class Hand:
    """A worker's hand on a store: a lease with its series of numbers."""

    def __init__(self, store: Store, ttl: float = 30.0, **info: Any) -> None:
        self.store = store
        self.lease = store.open(WorkerInfo(host="host", pid=1, **info), ttl)
        self.number = 1
        """That of the next call."""

    def claim(
        self,
        limit: int = 1,
        *queues: str,
        limits: Mapping[Lane, int] | None = None,
        wait: float = 0.0,
    ) -> list[Claim]:
        if limits is None:
            limits = {"thread": limit}
        claims = self.store.claim(
            self.lease, self.number, queues or ("default",), limits, wait
        ).claims
        self.number += bool(claims)
        return claims

    def one(self, *queues: str, wait: float = 0.0) -> Claim:
        """Claim the one job that is next."""
        (claim,) = self.claim(1, *queues, wait=wait)
        return claim

    def ids(self, limit: int = 1000, *queues: str) -> list[str]:
        """Claim, and tell the ids in the order of the claims."""
        return [claim.id for claim in self.claim(limit, *queues)]

    def reclaim(self, *dead: Hand, limit: int = 1000) -> list[Claim]:
        leases = [hand.lease for hand in dead]
        claims = self.store.reclaim(self.lease, self.number, leases, limit)
        self.number += bool(claims)
        return claims

    def finish(self, claim: Claim, state: State = State.SUCCEEDED, **options: Any) -> Finished:
        (answer,) = self.store.finish(self.lease, [Outcome(claim, state, **options)])
        return answer

    def back(self, claims: Iterable[Claim]) -> None:
        """Give claims back."""
        outcomes = [Outcome(claim, State.READY, started=False) for claim in claims]
        assert set(self.store.finish(self.lease, outcomes)) <= {"done"}


def run(store: Store, id: str, state: State = State.SUCCEEDED, **options: Any) -> None:
    """Take the one job that is next through running, to a state."""
    hand = Hand(store)
    claim = hand.one(look(store, id).queue)
    assert claim.id == id
    assert hand.finish(claim, state, **options) == "done"
    store.end(hand.lease)


def into(store: Store, id: str, state: State, **options: Any) -> Hand | None:
    """Enqueue a job and bring it into a state; the hand that holds it, if it runs."""
    if state is State.SCHEDULED:
        options["due"] = Moment(3600.0)
    add(store, id, **options)
    if state in (State.SCHEDULED, State.READY):
        return None
    hand = Hand(store, ttl=1e6)
    claim = hand.one(options.get("queue", "default"))
    assert claim.id == id
    if state is State.RUNNING:
        return hand
    error = b"error" if state in (State.RETRYING, State.FAILED) else None
    assert hand.finish(claim, state, delay=3600.0, attempts=1, error=error) == "done"
    store.end(hand.lease)
    return None


def all_pages(store: Store, limit: int = 7, **where: Any) -> list[Job]:
    """Every job that browsing gives, page by page."""
    jobs: list[Job] = []
    cursor: str | None = None
    while True:
        page = store.browse(limit=limit, cursor=cursor, **where)
        assert len(page.jobs) <= limit
        jobs.extend(page.jobs)
        if page.cursor is None:
            return jobs
        assert page.jobs, "an empty page, and a cursor"
        cursor = page.cursor


def apart(function: Callable[[], T]) -> Future[T]:
    """Call a function in a thread of its own."""
    future: Future[T] = Future()

    def call() -> None:
        try:
            future.set_result(function())
        except BaseException as error:  # noqa: BLE001 - whoever asks for the result gets it
            future.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return future


def together(functions: Sequence[Callable[[], T]]) -> list[T]:
    """Call functions at once, each in a thread of its own; their results."""
    barrier = threading.Barrier(len(functions))

    def call(function: Callable[[], T]) -> T:
        barrier.wait(PATIENCE)
        return function()

    futures = [apart(partial(call, function)) for function in functions]
    return [future.result(PATIENCE * 3) for future in futures]


def still_waits(future: Future[Any]) -> bool:
    """True if the future isn't done a moment later: time enough to have begun to wait."""
    return not wait_futures([future], 0.1).done


def until_done(future: Future[T], act: Callable[[], object]) -> T:
    """Do something again and again until the future is done."""
    give_up = time.monotonic() + PATIENCE
    while time.monotonic() < give_up:
        act()
        if wait_futures([future], 0.05).done:
            return future.result()
    raise AssertionError("it still waits")
