"""Sleeping until there is work: who is woken, by what, and how soon."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

import pytest
import redis

from taskq.errors import LeaseLost
from taskq.job import Claimed, Moment, Outcome, State
from taskq.stores.redis import RedisStore
from tests.store.redis.conftest import MakeStore, lease_of, new

PATIENCE = 20.0
Key = Callable[[str], str]


class Sleeper:
    """A worker that waits for a job in a thread of its own."""

    def __init__(
        self, store: RedisStore, pool: ThreadPoolExecutor, *queues: str, limit: int = 1
    ) -> None:
        self.store = store
        self.lease = lease_of(store)
        self.queues = queues or ("default",)
        self.limit = limit
        self.number = 1
        self.pool = pool

    def sleep(self, raw: redis.Redis, seconds: float = PATIENCE) -> Future[Claimed]:
        """Begin a claim that waits; returns when it is asleep."""
        before = int(raw.info("clients")["blocked_clients"])
        future = self.pool.submit(
            self.store.claim, self.lease, self.number, self.queues, {"thread": self.limit}, seconds
        )
        while int(raw.info("clients")["blocked_clients"]) <= before and not future.done():
            pass
        return future


def test_a_job_wakes_one_sleeper_at_once(
    store: RedisStore, raw: redis.Redis, make_store: MakeStore
) -> None:
    with ThreadPoolExecutor() as pool:
        sleepers = [Sleeper(make_store(), pool) for _ in range(3)]
        asleep = [sleeper.sleep(raw) for sleeper in sleepers]
        store.enqueue([new("a")])
        start = time.monotonic()
        while not any(each.done() for each in asleep):
            pass
        assert time.monotonic() - start < PATIENCE / 4
        store.enqueue([new("b")])
        store.enqueue([new("c")])
        found = [each.result(PATIENCE).claims[0].id for each in asleep]
        assert sorted(found) == ["a", "b", "c"]


def test_a_batch_wakes_one_after_the_other_until_all_is_taken(
    store: RedisStore, raw: redis.Redis, make_store: MakeStore
) -> None:
    with ThreadPoolExecutor() as pool:
        sleepers = [Sleeper(make_store(), pool, limit=2) for _ in range(4)]
        asleep = [sleeper.sleep(raw) for sleeper in sleepers]
        store.enqueue([new(f"j{n}") for n in range(8)])
        found = [claim.id for each in asleep for claim in each.result(PATIENCE).claims]
        assert sorted(found) == [f"j{n}" for n in range(8)]


def test_a_sleeper_of_a_queue_that_was_left_full_is_woken(
    store: RedisStore, raw: redis.Redis, make_store: MakeStore
) -> None:
    # One who serves both queues is woken by the second, and finds its hands full with the first.
    with ThreadPoolExecutor() as pool:
        both = Sleeper(make_store(), pool, "first", "second")
        asleep = both.sleep(raw)
        store.enqueue([new("a", queue="first"), new("b", queue="second")])
        assert [claim.id for claim in asleep.result(PATIENCE).claims] == ["a"]
        only = Sleeper(make_store(), pool, "second")
        assert [claim.id for claim in only.sleep(raw).result(PATIENCE).claims] == ["b"]


def test_tokens_do_not_pile_up(store: RedisStore, raw: redis.Redis, key: Key) -> None:
    lease = lease_of(store)
    for n in range(50):
        store.enqueue([new(f"j{n}")])
        store.wake(lease)
    assert raw.llen(key("wake:t:default")) == 1
    assert raw.llen(key(f"lease-wake:{lease}")) == 1
    assert raw.pttl(key(f"lease-wake:{lease}")) > 0
    assert len(store.claim(lease, 1, ["default"], {"thread": 100}).claims) == 50
    assert raw.llen(key("wake:t:default")) == 0


def test_a_sleeper_learns_of_an_earlier_due_job_and_wakes_in_time_for_it(
    store: RedisStore, raw: redis.Redis, make_store: MakeStore
) -> None:
    store.enqueue([new("far", due=Moment(3600.0))])
    with ThreadPoolExecutor() as pool:
        sleeper = Sleeper(make_store(), pool)
        asleep = sleeper.sleep(raw)
        store.enqueue([new("near", due=Moment(30.0))])
        found = asleep.result(PATIENCE)
        assert found.claims == []
        assert found.next_due is not None
        assert 0 < found.next_due < 31


def test_a_sleeper_returns_when_the_next_job_is_due_and_not_before(
    store: RedisStore, make_store: MakeStore
) -> None:
    late: list[float] = []
    lease = lease_of(store)
    for n in range(20):
        store.enqueue([new(f"j{n}", due=Moment(0.05))])
        found = store.claim(lease, n + 1, ["default"], {"thread": 1}, PATIENCE)
        while found.next_due is not None and found.next_due > 0:
            found = store.claim(lease, n + 1, ["default"], {"thread": 1}, PATIENCE)
        assert found.next_due is not None
        late.append(-found.next_due)
        assert store.promote().moved == 1
        (claim,) = store.claim(lease, n + 1, ["default"], {"thread": 1}).claims
        assert claim.now >= claim.due_at
    # The server's own timeout of a blocked client may come 100 ms late.
    assert sorted(late)[10] < 0.05


def test_a_wake_from_another_thread_ends_a_sleep(
    store: RedisStore, raw: redis.Redis, make_store: MakeStore
) -> None:
    with ThreadPoolExecutor() as pool:
        sleeper = Sleeper(make_store(), pool)
        asleep = sleeper.sleep(raw)
        sleeper.store.wake(sleeper.lease)
        assert asleep.result(PATIENCE).claims == []


def test_a_lease_that_ends_wakes_its_sleeper(
    store: RedisStore, raw: redis.Redis, make_store: MakeStore
) -> None:
    with ThreadPoolExecutor() as pool:
        for how in ("end", "reclaim"):
            sleeper = Sleeper(make_store(), pool)
            if how == "reclaim":
                store.enqueue([new("held")])
                store.claim(sleeper.lease, 1, ["default"], {"thread": 1})
                sleeper.number = 2
            asleep = sleeper.sleep(raw)
            store.end(sleeper.lease)
            if how == "reclaim":
                store.reclaim(lease_of(store), 1, [sleeper.lease], 10)
            with pytest.raises(LeaseLost):
                asleep.result(PATIENCE)


def test_stale_entries_are_skipped_a_thousand_a_call(
    store: RedisStore, raw: redis.Redis, key: Key
) -> None:
    ids = [f"j{n}" for n in range(3500)]
    store.enqueue([new(id) for id in ids])
    store.cancel(ids)
    store.enqueue([new("last")])
    assert raw.llen(key("list:t:default")) == 3501
    lease = lease_of(store)
    found = store.claim(lease, 1, ["default"], {"thread": 1}).claims
    assert [claim.id for claim in found] == ["last"]
    assert raw.exists(key("list:t:default")) == 0


def test_a_paused_queue_does_not_keep_its_workers_busy(store: RedisStore, raw: redis.Redis) -> None:
    store.enqueue([new("a")])
    store.pause("default")
    lease = lease_of(store)
    before = int(raw.info("commandstats")["cmdstat_evalsha"]["calls"])
    assert store.claim(lease, 1, ["default"], {"thread": 1}, 0.3).claims == []
    assert int(raw.info("commandstats")["cmdstat_evalsha"]["calls"]) - before <= 4


def test_an_idle_worker_sends_next_to_nothing(store: RedisStore, raw: redis.Redis) -> None:
    def sent() -> int:
        calls = raw.info("commandstats")
        names = ("evalsha", "blpop", "rpush", "ping")
        return sum(int(calls.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in names)

    lease = lease_of(store)
    store.wake(lease)
    store.claim(lease, 1, ["a", "b", "c"], {"thread": 5, "loop": 5}, 1.0)
    before = sent()
    store.claim(lease, 1, ["a", "b", "c"], {"thread": 5, "loop": 5}, 1.0)
    assert sent() - before <= 5


def test_those_who_wait_for_jobs_are_told_and_leave_nothing_behind(
    store: RedisStore, raw: redis.Redis, make_store: MakeStore, key: Key
) -> None:
    store.enqueue([new(f"j{n}") for n in range(4)])
    lease = lease_of(store)
    claims = store.claim(lease, 1, ["default"], {"thread": 3}).claims
    with ThreadPoolExecutor() as pool:
        waits = [pool.submit(make_store().wait, [f"j{n}", "j3"], PATIENCE) for n in (0, 1, 2, 0)]
        while raw.zcard(key("waiting")) < 4:
            pass
        outcomes = [Outcome(claim, State.SUCCEEDED, result=b"r") for claim in claims]
        assert set(store.finish(lease, outcomes)) == {"done"}
        for each in waits:
            job, other = each.result(PATIENCE)
            assert job is not None
            assert (job.state, job.result) == (State.SUCCEEDED, b"r")
            assert other is not None
            assert other.state is State.READY
    assert raw.pubsub_channels(key("done:*")) == []
    assert raw.zcard(key("waiting")) == 1


def test_waiting_uses_its_connection_again(
    make_store: MakeStore, redis_url: str, raw: redis.Redis
) -> None:
    store = make_store(f"{redis_url}?client_name=waits-often")
    for n in range(20):
        store.enqueue([new(f"j{n}")])
        canceller = threading.Timer(0.001, store.cancel, [[f"j{n}"]])
        canceller.start()
        (job,) = store.wait([f"j{n}"], PATIENCE)
        canceller.join()
        assert job is not None
        assert job.state is State.CANCELLED
    ours = [each for each in raw.client_list() if each["name"] == "waits-often"]
    assert len(ours) <= 3


def test_a_wait_that_ended_at_a_due_time_does_not_blind_the_next_one(
    store: RedisStore, make_store: MakeStore
) -> None:
    """What the last look saw counts only until something is due."""
    lease = lease_of(store)
    store.enqueue([new("a", due=Moment(0.05))])
    assert store.claim(lease, 1, ["default"], {"thread": 1}, PATIENCE).claims == []
    assert store.claim(lease, 1, ["default"], {"thread": 1}, 0.01).claims == []
    # Another worker promotes the job, and takes the token with it.
    other = make_store()
    assert other.promote().moved == 1
    other.claim(lease_of(other), 1, ["default"], {"loop": 1, "thread": 0}, 0.0)
    found = store.claim(lease, 1, ["default"], {"thread": 1}, 0.01)
    assert [claim.id for claim in found.claims] == ["a"]
