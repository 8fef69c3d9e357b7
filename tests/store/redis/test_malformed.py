"""What others wrote, or what was lost: it is set aside, and the jobs behind it run."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import redis

from taskq.job import Claim, Job, Lock, Moment, Outcome, State
from taskq.store import MALFORMED
from taskq.stores.redis import RedisStore
from tests.store.redis.conftest import keys_of, lease_of, new

Key = Callable[[str], str]


def claim_all(store: RedisStore) -> list[Claim]:
    lease = lease_of(store)
    found: list[Claim] = []
    for number in range(1, 6):
        found += store.claim(lease, number, ["default"], {"thread": 10}).claims
    return found


def the_one_set_aside(store: RedisStore) -> Job:
    (job,) = store.browse(state=State.FAILED).jobs
    assert job.task == MALFORMED
    assert job.errors
    assert store.get([job.id]) == [job]
    return job


def counts(store: RedisStore) -> dict[State, int]:
    (stats,) = store.stats(["default"])
    return {state: n for state, n in stats.counts.items() if n}


@pytest.mark.parametrize(
    "garbage",
    [b"", b"null", b"\xff\xfe", b"1", b"10:", b"1999:short", b"12:\xff\xffpayload", b"7:a b"],
)
def test_a_body_that_cannot_be_read(
    store: RedisStore, raw: redis.Redis, key: Key, garbage: bytes
) -> None:
    store.enqueue([new("a"), new("b"), new("c")])
    raw.hset(key("body"), "b", garbage)
    assert [claim.id for claim in claim_all(store)] == ["a", "c"]
    job = the_one_set_aside(store)
    assert (job.id, job.payload) == ("b", garbage)
    assert counts(store) == {State.RUNNING: 2, State.FAILED: 1}


def test_a_body_that_is_gone(store: RedisStore, raw: redis.Redis, key: Key) -> None:
    store.enqueue([new("a"), new("b"), new("c")])
    raw.hdel(key("body"), "a")
    assert [claim.id for claim in claim_all(store)] == ["b", "c"]
    assert the_one_set_aside(store).payload == b""


@pytest.mark.parametrize(
    "garbage", [b"", b"q", b"\xff", b"null", b"{}", b"q0 - 2 - 0 - 0 0", b"z0 - 2 - 0 - 0 0 0 1"]
)
def test_a_record_that_cannot_be_read(
    store: RedisStore, raw: redis.Redis, key: Key, garbage: bytes
) -> None:
    store.enqueue([new("a"), new("b"), new("c")])
    raw.hset(key("meta"), "b", garbage)
    (before,) = store.get(["b"])
    assert before is not None
    assert before.task == MALFORMED
    assert store.browse().jobs
    assert [claim.id for claim in claim_all(store)] == ["a", "c"]
    job = the_one_set_aside(store)
    assert (job.id, job.payload) == ("b", garbage)
    assert counts(store) == {State.RUNNING: 2, State.FAILED: 1}
    assert store.delete(["b"]) == ["deleted"]


@pytest.mark.parametrize("garbage", [b"", b"garbage", b"\xff\xfe", b"-1 a", b"{'id': 1}", b"7"])
def test_an_entry_of_the_queue_that_is_no_entry(
    store: RedisStore, raw: redis.Redis, key: Key, garbage: bytes
) -> None:
    raw.rpush(key("list:t:default"), garbage)
    raw.zadd(key("ranked:t:default"), {b"ranked " + garbage: -5})
    store.enqueue([new("a")])
    assert [job.id for job in store.browse().jobs] == ["a"]
    assert [claim.id for claim in claim_all(store)] == ["a"]
    aside = store.browse(state=State.FAILED).jobs
    assert sorted(job.payload for job in aside) == sorted([garbage, b"ranked " + garbage])
    assert {job.task for job in aside} == {MALFORMED}
    assert counts(store) == {State.RUNNING: 1, State.FAILED: 2}


def test_an_entry_of_a_job_that_is_not_there_is_skipped(
    store: RedisStore, raw: redis.Redis, key: Key
) -> None:
    raw.rpush(key("list:t:default"), b"1 nobody")
    store.enqueue([new("a")])
    assert [claim.id for claim in claim_all(store)] == ["a"]
    assert store.browse(state=State.FAILED).jobs == []


def test_an_entry_twice_is_one_job(store: RedisStore, raw: redis.Redis, key: Key) -> None:
    store.enqueue([new("a"), new("b")])
    for entry in raw.lrange(key("list:t:default"), 0, -1):
        raw.rpush(key("list:t:default"), entry)
    assert [claim.id for claim in claim_all(store)] == ["a", "b"]


def test_a_due_entry_that_is_no_entry(store: RedisStore, raw: redis.Redis, key: Key) -> None:
    raw.zadd(key("due"), {b"garbage": 5})
    store.enqueue([new("a", due=Moment(0.001))])
    lease = lease_of(store)
    number = 1
    found: list[Claim] = []
    while not found:
        store.promote()
        found = store.claim(lease, number, ["default"], {"thread": 5}, 0.05).claims
    assert [claim.id for claim in found] == ["a"]
    assert the_one_set_aside(store).payload == b"garbage"
    assert raw.zcard(key("due")) == 0


def test_a_running_job_whose_record_is_spoilt_does_not_hold_up_the_others(
    store: RedisStore, raw: redis.Redis, key: Key
) -> None:
    store.enqueue([new("a"), new("b"), new("c")])
    lease = lease_of(store)
    claims = store.claim(lease, 1, ["default"], {"thread": 5}).claims
    raw.hset(key("meta"), "b", b"garbage")
    outcomes = [Outcome(claim, State.SUCCEEDED) for claim in claims]
    assert store.finish(lease, outcomes) == ["done", "lost", "done"]
    assert the_one_set_aside(store).payload == b"garbage"


def test_a_reclaim_sets_aside_what_it_cannot_read(
    store: RedisStore, raw: redis.Redis, key: Key
) -> None:
    store.enqueue([new("a"), new("b"), new("c"), new("d")])
    dead, lease = lease_of(store), lease_of(store)
    store.claim(dead, 1, ["default"], {"thread": 5})
    store.end(dead)
    raw.hset(key("meta"), "b", b"garbage")
    raw.hset(key("body"), "c", b"garbage too")
    raw.sadd(key(f"held:{dead}"), b"nobody")
    assert sorted(claim.id for claim in store.reclaim(lease, 1, [dead], 10)) == ["a", "d"]
    aside = store.browse(state=State.FAILED).jobs
    assert sorted(job.payload for job in aside) == [b"garbage", b"garbage too"]
    assert store.lapsed() == []


def test_a_lease_that_was_lost_from_the_server_is_found_and_its_jobs_taken_over(
    store: RedisStore, raw: redis.Redis, key: Key
) -> None:
    store.enqueue([new("a")])
    lost, lease = lease_of(store), lease_of(store)
    store.claim(lost, 1, ["default"], {"thread": 5})
    raw.zrem(key("leases"), lost)
    assert store.renew(lost) is None
    assert [each.lease for each in store.lapsed()] == [lost]
    assert [claim.id for claim in store.reclaim(lease, 1, [lost], 10)] == ["a"]


def test_a_unique_key_whose_holder_is_gone_is_free(
    store: RedisStore, raw: redis.Redis, key: Key
) -> None:
    for entry in (b"- nobody", b"garbage", b""):
        raw.hset(key("unique"), "k", entry)
        (answer,) = store.enqueue([new(f"after {entry!r}", lock=Lock("k"))])
        assert answer.status == "created"
        store.delete([answer.id])


def test_the_server_is_emptied_under_a_running_worker(
    store: RedisStore, raw: redis.Redis, prefix: str
) -> None:
    store.enqueue([new("a")])
    lease = lease_of(store)
    claims = store.claim(lease, 1, ["default"], {"thread": 5}).claims
    raw.delete(*keys_of(raw, prefix))
    raw.script_flush()
    assert store.renew(lease, ["a"]) is None
    assert store.finish(lease, [Outcome(claims[0], State.SUCCEEDED)]) == ["lost"]
    fresh = lease_of(store)
    store.enqueue([new("b")])
    assert [each.id for each in store.claim(fresh, 1, ["default"], {"thread": 5}).claims] == ["b"]
