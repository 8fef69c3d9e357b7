"""What lies in Redis: every key declared, counts that add up, and nothing left behind."""

from __future__ import annotations

import random
import re
import threading
from collections.abc import Callable
from typing import Any

import pytest
import redis

from taskq.job import Claim, Lock, Moment, Note, Outcome, State
from taskq.stores.redis import RedisStore
from taskq.stores.redis.scripts import SCRIPTS
from taskq.testing.clock import TravelClock
from tests.store.redis.conftest import MakeStore, keys_of, lease_of, new

Key = Callable[[str], str]


def live(store: RedisStore, clock: TravelClock, seed: int = 0, rounds: int = 60) -> None:
    """Do everything that can be done, at random."""
    dice = random.Random(seed)
    queues = ["a", "b"]
    leases = [lease_of(store, 30.0)]
    numbers = {leases[0]: 0}
    held: list[tuple[str, Claim]] = []
    ids = [f"j{n}" for n in range(40)]
    states = [State.SUCCEEDED, State.FAILED, State.CANCELLED, State.EXPIRED, State.RETRYING]
    states += [State.READY, State.SCHEDULED, State.RETRYING]
    for _ in range(rounds):
        store.enqueue(
            [
                new(
                    dice.choice(ids),
                    queue=dice.choice(queues),
                    lane=dice.choice(["thread", "loop"]),
                    priority=dice.choice([0, 0, 0, 5, -5]),
                    due=dice.choice([None, None, Moment(dice.uniform(1, 20))]),
                    expires=dice.choice([None, 5.0]),
                    deadline=dice.choice([None, Moment(50.0)]),
                    keep=dice.choice([0.0, 10.0, 50.0]),
                    keep_failed=dice.choice([0.0, 50.0]),
                    lock=dice.choice(
                        [None, Lock(dice.choice("xy"), 5.0, dice.random() < 0.5, "replace")]
                    ),
                )
                for _ in range(3)
            ]
        )
        store.enqueue([new(dice.choice(ids), queue="a")])
        lease = dice.choice(leases)
        numbers[lease] += 1
        limits: dict[Any, int] = {"thread": 2, "loop": 2}
        found = store.claim(lease, numbers[lease], queues, limits).claims
        held += [(lease, claim) for claim in found]
        for owner, claim in list(held):
            if dice.random() < 0.3:
                store.note(owner, claim, Note(b"p", b"c", b"new payload", [b"line"]))
            if dice.random() < 0.6:
                held.remove((owner, claim))
                state = dice.choice(states)
                outcome = Outcome(claim, state, dice.choice([0.0, 3.0]), 1, result=b"r", error=b"e")
                store.finish(owner, [outcome])
        clock.travel(dice.uniform(0, 8))
        store.promote(5)
        store.renew(leases[-1], [claim.id for _, claim in held])
        if dice.random() < 0.2:
            store.end(leases[-1])
            leases.append(lease_of(store, 30.0))
            numbers[leases[-1]] = 1
            dead = [each.lease for each in store.lapsed()]
            taken = store.reclaim(leases[-1], 1, dead, 5)
            held = [(leases[-1], claim) for claim in taken]
            leases = leases[-1:]
        store.cancel(dice.sample(ids, 3))
        store.requeue(dice.sample(ids, 3))
        store.delete(dice.sample(ids, 1))
        store.prune()
        store.pause(dice.choice(queues), dice.random() < 0.3)
        if dice.random() < 0.2:
            store.wait([dice.choice(ids)], 0.001)
            store.wake(leases[-1])
            store.acquire("lock", "me", ttl=5.0)
            store.release("lock", "me")
            store.tally("count", 5.0)
            store.workers()
            store.stats()
            store.browse(limit=5)
            store.browse(queue="a", limit=5)


@pytest.mark.parametrize("seed", range(5))
def test_counts_add_up_whatever_happens(make_store: MakeStore, seed: int) -> None:
    clock = TravelClock()
    store = make_store(clock=clock)
    live(store, clock, seed)
    jobs = []
    cursor: str | None = None
    while True:
        page = store.browse(limit=7, cursor=cursor)
        jobs += page.jobs
        cursor = page.cursor
        if cursor is None:
            break
    assert len({job.id for job in jobs}) == len(jobs)
    for stats in store.stats():
        for state in State:
            here = [job for job in jobs if job.queue == stats.queue and job.state is state]
            assert stats.counts[state] == len(here), (stats.queue, state)


@pytest.mark.parametrize("seed", range(3))
def test_when_all_is_over_nothing_is_left_behind(
    make_store: MakeStore, raw: redis.Redis, key: Key, prefix: str, seed: int
) -> None:
    clock = TravelClock()
    store = make_store(clock=clock)
    live(store, clock, seed)
    for queue in ("a", "b"):
        store.pause(queue, False)
    clock.travel(1000)
    last = lease_of(store, 1e9)
    number = 0
    while True:
        number += 1
        store.promote()
        dead = [each.lease for each in store.lapsed()]
        taken = store.reclaim(last, number, dead, 100)
        number += 1
        both: dict[Any, int] = {"thread": 100, "loop": 100}
        taken += store.claim(last, number, ["a", "b"], both).claims
        if not taken and not store.lapsed():
            break
        store.finish(last, [Outcome(claim, State.SUCCEEDED) for claim in taken])
    clock.travel(1e7)
    while store.prune():
        pass
    store.end(last)
    left = set(keys_of(raw, prefix))
    # The last number given, the names of the queues, and what ends by itself.
    left -= {key("seq"), key("counts"), key("tally:count"), key(f"lease-wake:{last}")}
    left = {name for name in left if not raw.pttl(name) > 0}
    assert left == set()
    assert {int(n) for n in raw.hvals(key("counts"))} <= {0}


def test_the_scripts_touch_no_key_that_they_were_not_given(
    make_store: MakeStore, redis_url: str, prefix: str
) -> None:
    # ElastiCache Serverless refuses a script that does.
    seen: list[str] = []
    ready = threading.Event()

    def watch() -> None:
        with redis.Redis.from_url(redis_url) as client, client.monitor() as monitor:
            ready.set()
            for entry in monitor.listen():
                command = entry["command"]
                if command == f"ECHO {prefix}":
                    return
                if prefix in command:
                    seen.append(f"{entry['client_type']} {command}")

    watcher = threading.Thread(target=watch)
    watcher.start()
    ready.wait(10)
    clock = TravelClock()
    store = make_store(clock=clock)
    live(store, clock, 1)
    live(make_store(clock=clock), clock, 2)
    server_time = make_store()
    server_time.acquire("lock", "me", ttl=5.0)
    server_time.tally("count", 5.0)
    with redis.Redis.from_url(redis_url) as client:
        client.execute_command("ECHO", prefix)
    watcher.join(20)

    def keys_in(command: str) -> set[str]:
        return set(re.findall(rf"\{{{prefix}\}}:[^\s\"]+", command))

    given: set[str] = set()
    ran: set[str] = set()
    checked = 0
    shas = {script.sha: script.name for script in SCRIPTS.values()}
    for line in seen:
        kind, _, command = line.partition(" ")
        if kind != "lua":
            given = keys_in(command)
            found = re.match(r"EVALSHA (\w{40})", command)
            if found:
                ran.add(shas[found[1]])
        elif not command.startswith("PUBLISH"):
            checked += 1
            assert keys_in(command) <= given, command
    assert checked > 1000
    assert ran == set(SCRIPTS)


def test_browse_reads_ready_jobs_of_all_priorities_in_order_of_arrival(store: RedisStore) -> None:
    dice = random.Random(4)
    ids = [f"j{n}" for n in range(60)]
    for id in ids:
        priority = dice.choice([0, 0, 3, -3, 100, -100])
        store.enqueue([new(id, priority=priority, queue=dice.choice("ab"))])
    lease = lease_of(store)
    claims = store.claim(lease, 1, ["a"], {"thread": 5}).claims
    store.finish(lease, [Outcome(claim, State.READY) for claim in claims])
    found: list[str] = []
    cursor: str | None = None
    while True:
        page = store.browse(state=State.READY, limit=7, cursor=cursor)
        found += [job.id for job in page.jobs]
        cursor = page.cursor
        if cursor is None:
            break
    assert found == ids


def test_pruning_goes_by_each_jobs_own_time(make_store: MakeStore) -> None:
    clock = TravelClock()
    store = make_store(clock=clock)
    keeps = [5.0, 500.0, 5.0, 50.0, 500.0, 0.0]
    store.enqueue([new(f"j{n}", keep=keep) for n, keep in enumerate(keeps)])
    lease = lease_of(store, 1e6)
    claims = store.claim(lease, 1, ["default"], {"thread": 9}).claims
    store.finish(lease, [Outcome(claim, State.SUCCEEDED) for claim in claims])

    def left() -> list[str]:
        return sorted(job.id for job in store.browse().jobs)

    assert left() == ["j0", "j1", "j2", "j3", "j4"]
    clock.travel(6)
    assert store.prune(1) == 1
    assert store.prune() == 1
    assert left() == ["j1", "j3", "j4"]
    store.requeue(["j3"])
    clock.travel(60)
    assert store.prune() == 0
    clock.travel(500)
    assert store.prune() == 2
    assert left() == ["j3"]


def test_two_prefixes_share_nothing(make_store: MakeStore, prefix: str) -> None:
    one, other = make_store(prefix=f"{prefix}-one"), make_store(prefix=f"{prefix}-two")
    one.enqueue([new("a", lock=Lock("k"))])
    assert other.enqueue([new("a", lock=Lock("k"))])[0].status == "created"
    one.delete(["a"])
    assert other.get(["a"])[0] is not None
    assert one.stats(["default"])[0].counts[State.READY] == 0


def test_a_job_in_the_queue_takes_less_than_a_kilobyte(
    store: RedisStore, raw: redis.Redis, prefix: str
) -> None:
    store.enqueue([new(f"{n:036}", payload=b"x" * 150) for n in range(2000)])
    names = keys_of(raw, prefix)
    total = sum(int(raw.memory_usage(name, samples=0) or 0) for name in names)
    assert total / 2000 < 1000
