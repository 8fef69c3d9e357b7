"""What is the memory store's alone: a clock that leaps wakes those who wait; nothing piles up."""

from __future__ import annotations

import asyncio
import gc
import weakref
from datetime import UTC, datetime
from functools import partial

import pytest

from taskq.errors import LeaseLost
from taskq.job import Lock, Moment, NewJob, State
from taskq.stores.memory import MemoryStore
from taskq.testing.clock import TravelClock
from taskq.testing.conformance.tools import (
    PATIENCE,
    Hand,
    add,
    apart,
    new,
    run,
    states,
    still_waits,
    until_done,
)


@pytest.fixture
def clock() -> TravelClock:
    return TravelClock()


@pytest.fixture
def store(clock: TravelClock) -> MemoryStore:
    return MemoryStore(clock=clock)


def test_a_claim_that_waits_returns_when_the_clock_leaps_to_the_next_due_job(
    store: MemoryStore, clock: TravelClock
) -> None:
    add(store, "a", due=Moment(3600.0))
    hand = Hand(store, ttl=1e6)
    future = apart(partial(hand.claim, 1, wait=3600.0))
    assert still_waits(future)
    clock.travel(3600)
    assert future.result(PATIENCE) == []
    assert store.promote().moved == 1
    assert [claim.id for claim in hand.claim(1)] == ["a"]


def test_a_claim_does_not_wait_past_the_next_due_job() -> None:
    store = MemoryStore()
    add(store, "a", due=Moment(0.05))
    hand = Hand(store)
    future = apart(partial(hand.claim, 1, wait=600.0))
    assert future.result(PATIENCE) == []


def test_a_claim_that_waits_learns_that_its_lease_ended(store: MemoryStore) -> None:
    hand = Hand(store)
    future = apart(partial(hand.claim, 1, wait=600.0))
    assert still_waits(future)
    store.end(hand.lease)
    with pytest.raises(LeaseLost):
        future.result(PATIENCE)


def test_a_wait_ends_when_the_clock_leaps_past_its_timeout(
    store: MemoryStore, clock: TravelClock
) -> None:
    add(store, "a")
    future = apart(partial(store.wait, ["a"], 60.0))
    assert still_waits(future)
    clock.travel(50)
    assert still_waits(future)
    clock.travel(11)
    (job,) = future.result(PATIENCE)
    assert job is not None
    assert job.state is State.READY


async def test_an_asyncio_wait_ends_when_the_clock_leaps_past_its_timeout(
    store: MemoryStore, clock: TravelClock
) -> None:
    add(store, "a")
    waiting = asyncio.create_task(store.aio.wait(["a"], 60.0))
    done, _ = await asyncio.wait([waiting], timeout=0.05)
    assert not done
    clock.travel(61)
    (job,) = await asyncio.wait_for(waiting, PATIENCE)
    assert job is not None
    assert job.state is State.READY


def test_a_clock_set_back_lengthens_no_wait(store: MemoryStore, clock: TravelClock) -> None:
    hand = Hand(store)
    clock.travel(-1e6)
    assert apart(partial(hand.claim, 1, wait=0.05)).result(PATIENCE) == []
    add(store, "a")
    assert len(apart(partial(store.wait, ["a"], 0.05)).result(PATIENCE)) == 1


def test_a_wait_longer_than_any_timeout_of_the_platform(store: MemoryStore) -> None:
    hand = Hand(store)
    future = apart(partial(hand.claim, 1, wait=float("inf")))
    assert until_done(future, partial(store.wake, hand.lease)) == []
    add(store, "a")
    waiting = apart(partial(store.wait, ["a"], float("inf")))
    assert still_waits(waiting)
    run(store, "a")
    (job,) = waiting.result(PATIENCE)
    assert job is not None
    assert job.state is State.SUCCEEDED


@pytest.mark.parametrize("cancel", [False, True])
@pytest.mark.parametrize("due", [None, Moment(1e6)])
def test_what_is_cancelled_replaced_or_deleted_does_not_pile_up(
    store: MemoryStore, due: Moment | None, cancel: bool
) -> None:
    names: list[weakref.ref[Name]] = []
    lock = Lock("key", on_duplicate="replace")
    add(store, "first", "last", due=due)
    for n in range(2000):
        name = Name(f"task{n}")
        names.append(weakref.ref(name))
        store.enqueue([NewJob(f"j{n}", name, b"", due=due)])
        store.enqueue([new(f"u{n}", lock=lock, due=due)])
        if cancel:
            store.cancel([f"j{n}"])
        store.delete([f"j{n}"])
    del name
    gc.collect()
    assert sum(each() is not None for each in names) < 300
    assert store.cancel(["first", "u0"]) == ["cancelled"] * 2
    assert states(store, "last") == [State.SCHEDULED if due else State.READY]


class Name(str):
    """A text that can be watched going away."""


def test_stores_of_one_url_share_nothing(clock: TravelClock) -> None:
    one, other = MemoryStore(clock=clock), MemoryStore(clock=clock)
    add(one, "a")
    assert other.get(["a"]) == [None]
    assert not one.shared


def test_the_travelling_clock(clock: TravelClock) -> None:
    start = clock.now()
    heard: list[float] = []
    clock.listen(heard.append)
    assert clock.now() == start
    clock.travel(5)
    clock.travel(-2)
    assert clock.now() == start + 3
    clock.set(datetime(2030, 1, 1, tzinfo=UTC))
    assert clock.now() == datetime(2030, 1, 1, tzinfo=UTC).timestamp()
    clock.set(1000.0)
    assert clock.now() == 1000.0
    assert heard[:2] == [5, -2]
    assert len(heard) == 4
    with pytest.raises(ValueError, match="aware"):
        clock.set(datetime(2030, 1, 1))
