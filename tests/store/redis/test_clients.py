"""A client of the caller's, and the twin for asyncio."""

from __future__ import annotations

import asyncio
import gc
import random
import weakref
from collections.abc import AsyncIterator

import fakeredis
import pytest
import redis
import redis.asyncio

from taskq.errors import ConfigError, StoreError, StoreUnavailable
from taskq.job import Lock, Outcome, State
from taskq.stores.redis import RedisStore
from taskq.stores.redis.aio import AsyncRedisStore
from tests.store.redis.conftest import MakeStore, lease_of, new
from tests.support.servers import Front, RedisServer, free_port
from tests.support.wait import until

PATIENCE = 20.0


# -- a client of the caller's -----------------------------------------------------------------
@pytest.mark.parametrize("protocol", [2, 3])
def test_a_redis_py_client_serves_as_well(redis_url: str, prefix: str, protocol: int) -> None:
    with redis.Redis.from_url(redis_url, protocol=protocol) as client:
        client.script_flush()
        store = RedisStore(client=client, prefix=prefix)
        assert store.aio is None
        store.ping()
        store.enqueue([new("a"), new("b", priority=2, lock=Lock("k"))])
        lease = lease_of(store)
        claims = store.claim(lease, 1, ["default"], {"thread": 5}, 1.0).claims
        assert [claim.id for claim in claims] == ["b", "a"]
        assert store.claim(lease, 2, ["default"], {"thread": 5}, 0.05).claims == []
        assert [job.id for job in store.browse(state=State.RUNNING).jobs if job] == ["a", "b"]
        store.finish(lease, [Outcome(claim, State.SUCCEEDED) for claim in claims])
        assert [job and job.state for job in store.wait(["a"], PATIENCE)] == [State.SUCCEEDED]
        assert [each.counts[State.SUCCEEDED] for each in store.stats()] == [2]
        assert [each.host for each in store.workers()] == ["host"]
        store.close()
        # It stays its owner's.
        assert client.ping()


def test_a_client_that_turns_replies_into_text_is_refused() -> None:
    client = fakeredis.FakeRedis(decode_responses=True)
    with pytest.raises(ConfigError, match="decode_responses"):
        RedisStore(client=client)
    with pytest.raises(ConfigError, match="decode_responses"):
        RedisStore(async_client=fakeredis.FakeAsyncRedis(decode_responses=True)).aio


def test_errors_of_a_client_are_errors_of_the_store() -> None:
    server = fakeredis.FakeServer()
    store = RedisStore(client=fakeredis.FakeRedis(server=server))
    store.enqueue([new("a")])
    server.connected = False
    with pytest.raises(StoreUnavailable) as caught:
        store.enqueue([new("b")])
    assert caught.value.ids == ("b",)
    server.connected = True
    assert store.enqueue([new("b")])[0].status == "created"


def test_a_client_whose_server_is_full_or_refuses(redis_url: str) -> None:
    with (
        RedisServer("maxmemory 1", "user me on >pw ~nothing +@all") as server,
        redis.Redis(port=server.port) as client,
        redis.Redis(port=server.port, username="me", password="pw") as stranger,
    ):
        with pytest.raises(StoreUnavailable, match="out of memory"):
            RedisStore(client=client).enqueue([new("a")])
        with pytest.raises(StoreError, match="may not do") as caught:
            RedisStore(client=stranger).enqueue([new("a")])
        assert not isinstance(caught.value, StoreUnavailable)


# -- asyncio --------------------------------------------------------------------------------
@pytest.fixture
async def aio(store: RedisStore) -> AsyncIterator[AsyncRedisStore]:
    aio = store.aio
    assert aio is not None
    yield aio
    await aio.close()


async def test_coroutines_that_wait_share_one_connection(
    aio: AsyncRedisStore, store: RedisStore, raw: redis.Redis, prefix: str
) -> None:
    ids = [f"j{n}" for n in range(50)]
    await aio.enqueue([new(id) for id in ids])
    waits = [asyncio.create_task(aio.wait([id], PATIENCE)) for id in ids]
    channels = f"{{{prefix}}}:done:*"
    waiting = f"{{{prefix}}}:waiting"
    await until(lambda: len(raw.pubsub_channels(channels)) == 50 and raw.zcard(waiting) == 50)
    subscribers = [each for each in raw.client_list() if int(each["sub"]) == 50]
    assert len(subscribers) == 1
    store.cancel(ids)
    found = [
        job for part in await asyncio.wait_for(asyncio.gather(*waits), PATIENCE) for job in part
    ]
    assert {job and job.state for job in found} == {State.CANCELLED}
    await until(lambda: not raw.pubsub_channels(channels))
    assert raw.zcard(waiting) == 0


async def test_two_who_wait_for_one_job_and_one_who_gives_up(
    aio: AsyncRedisStore, store: RedisStore, raw: redis.Redis, prefix: str
) -> None:
    await aio.enqueue([new("a"), new("b")])
    first, second, third = (
        asyncio.create_task(aio.wait(ids, PATIENCE)) for ids in (["a"], ["a", "b"], ["b"])
    )
    await until(lambda: raw.zcard(f"{{{prefix}}}:waiting") == 2)
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    assert await aio.cancel(["a"]) == ["cancelled"]
    (a, b) = await asyncio.wait_for(second, PATIENCE)
    assert (a and a.state, b and b.state) == (State.CANCELLED, State.READY)
    assert not third.done()
    await aio.cancel(["b"])
    await asyncio.wait_for(third, PATIENCE)


async def test_a_wait_survives_that_its_connection_is_cut() -> None:
    with RedisServer() as server, Front(server.port) as front:
        store = RedisStore(f"redis://127.0.0.1:{front.port}")
        other = RedisStore(server.url)
        assert store.aio is not None
        await store.aio.enqueue([new("a")])
        waiting = asyncio.create_task(store.aio.wait(["a"], PATIENCE))
        with redis.Redis(port=server.port) as raw:
            await until(lambda: bool(raw.pubsub_channels("{taskq}:done:*")))
        front.cut()
        other.cancel(["a"])
        (job,) = await asyncio.wait_for(waiting, PATIENCE)
        assert job is not None
        assert job.state is State.CANCELLED
        await store.aio.close()
        other.close()


async def test_no_server_is_told_within_the_budget_with_the_ids_in_asyncio_too() -> None:
    aio = RedisStore(f"redis://:hunter2@127.0.0.1:{free_port()}", budget=0.2).aio
    assert aio is not None
    with pytest.raises(StoreUnavailable) as caught:
        await asyncio.wait_for(aio.enqueue([new("a"), new("b")]), PATIENCE)
    assert caught.value.ids == ("a", "b")
    assert "hunter2" not in repr(caught.value)
    await aio.close()


def test_each_event_loop_has_connections_of_its_own(make_store: MakeStore) -> None:
    store = make_store()
    loops: list[weakref.ref[asyncio.AbstractEventLoop]] = []

    async def one(n: int) -> None:
        assert store.aio is not None
        loops.append(weakref.ref(asyncio.get_running_loop()))
        assert (await store.aio.enqueue([new(f"j{n}")]))[0].status == "created"
        await store.aio.close()
        assert (await store.aio.get([f"j{n}"]))[0] is not None
        await store.aio.close()

    for n in range(3):
        asyncio.run(one(n))
    gc.collect()
    assert [each() for each in loops] == [None] * 3


async def test_an_async_client_of_the_callers() -> None:
    server = fakeredis.FakeServer()
    client = fakeredis.FakeAsyncRedis(server=server)
    store = RedisStore(client=fakeredis.FakeRedis(server=server), async_client=client)
    assert store.aio is not None
    await store.aio.enqueue([new("a")])
    waiting = asyncio.create_task(store.aio.wait(["a"], PATIENCE))
    await until(lambda: bool(server.dbs[0].get(b"{taskq}:waiting")))
    assert await store.aio.cancel(["a"]) == ["cancelled"]
    (job,) = await asyncio.wait_for(waiting, PATIENCE)
    assert job is not None
    assert job.state is State.CANCELLED
    await store.aio.close()
    assert await client.ping()
    await client.aclose()


async def test_a_wait_that_is_cancelled_ends_at_once_wherever_it_is(
    store: RedisStore, raw: redis.Redis, prefix: str
) -> None:
    dice = random.Random(1)
    aio = store.aio
    assert aio is not None
    await aio.enqueue([new("a"), new("b")])
    for _ in range(60):
        tasks = [asyncio.create_task(aio.wait([id], PATIENCE)) for id in ("a", "b", "a")]
        await asyncio.sleep(dice.random() * 0.004)
        for task in tasks:
            task.cancel()
        ends = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), PATIENCE)
        assert {type(end) for end in ends} == {asyncio.CancelledError}
    await aio.close()
    await until(lambda: not raw.pubsub_channels(f"{{{prefix}}}:done:*"))
