"""Many threads at once; the asyncio twins."""

from __future__ import annotations

import asyncio
from collections import Counter
from functools import partial

import pytest

from taskq.job import Claim, Lock, Moment, Outcome, State
from taskq.store import AsyncStore, Store
from taskq.testing.clock import TravelClock
from taskq.testing.conformance.tools import (
    PATIENCE,
    Bench,
    Hand,
    MakeStore,
    add,
    look,
    new,
    states,
    together,
)


class Threads(Bench):
    @pytest.fixture
    def clients(self, store: Store, make_store: MakeStore, clock: TravelClock) -> list[Store]:
        """Four clients of one store: two of their own, each used by two threads."""
        other = make_store(clock) if store.shared else store
        return [store, other, store, other]

    def test_threads_that_enqueue_and_claim_lose_and_double_nothing(
        self, store: Store, clients: list[Store]
    ) -> None:
        each, batch = 240, 12
        total = each * len(clients)
        runs: Counter[str] = Counter()

        def produce(client: Store, name: int) -> None:
            for start in range(0, each, batch):
                jobs = [
                    new(f"{name}.{n}", priority=n % 3, lane="loop" if n % 5 == 0 else "thread")
                    for n in range(start, start + batch)
                ]
                assert {answer.status for answer in client.enqueue(jobs)} == {"created"}

        def consume(client: Store, name: int) -> None:
            hand = Hand(client)
            idle = 0
            while runs.total() < total and idle < 400:
                claims = hand.claim(limits={"thread": 7, "loop": 3}, wait=0.05)
                idle = 0 if claims else idle + 1
                runs.update(claim.id for claim in claims)
                outcomes = [Outcome(claim, State.SUCCEEDED) for claim in claims]
                assert set(client.finish(hand.lease, outcomes)) <= {"done"}

        together(
            [partial(produce, client, n) for n, client in enumerate(clients)]
            + [partial(consume, client, n) for n, client in enumerate(clients)]
        )
        assert set(runs.values()) == {1}
        assert len(runs) == total
        (stats,) = store.stats()
        assert {state: n for state, n in stats.counts.items() if n} == {State.SUCCEEDED: total}

    def test_of_threads_that_race_for_a_unique_key_one_wins(
        self, store: Store, clients: list[Store]
    ) -> None:
        for round_ in range(10):
            lock = Lock(f"key{round_}")
            answers = together(
                [
                    partial(client.enqueue, [new(f"{round_}.{n}", lock=lock)])
                    for n, client in enumerate(clients)
                ]
            )
            statuses = sorted(answer.status for (answer,) in answers)
            assert statuses == ["created", "duplicate", "duplicate", "duplicate"]
            assert len({answer.id for (answer,) in answers}) == 1

    def test_of_threads_that_enqueue_the_same_jobs_one_stores_each(
        self, store: Store, clients: list[Store]
    ) -> None:
        batch = [new(f"j{n}") for n in range(100)]
        answers = together([partial(client.enqueue, batch) for client in clients])
        for row in zip(*answers, strict=True):
            assert sorted(answer.status for answer in row) == ["created"] + ["exists"] * 3
        assert sorted(Hand(store).ids()) == sorted(job.id for job in batch)

    def test_threads_that_promote_together_promote_each_job_once(
        self, store: Store, clients: list[Store], clock: TravelClock
    ) -> None:
        add(store, *(f"j{n}" for n in range(200)), due=Moment(5.0))
        clock.travel(6)

        def promote(client: Store) -> int:
            moved = 0
            while more := client.promote(9).moved:
                moved += more
            return moved

        assert sum(together([partial(promote, client) for client in clients])) == 200
        assert Counter(Hand(store).ids()) == Counter(f"j{n}" for n in range(200))

    def test_threads_that_reclaim_together_take_each_job_once(
        self, store: Store, clients: list[Store], clock: TravelClock
    ) -> None:
        add(store, *(f"j{n}" for n in range(100)))
        dead = Hand(store, ttl=30.0)
        dead.claim(100)
        clock.travel(31)

        def reclaim(client: Store) -> list[Claim]:
            hand = Hand(client)
            taken: list[Claim] = []
            while more := hand.reclaim(dead, limit=7):
                taken += more
            return taken

        found = together([partial(reclaim, client) for client in clients])
        taken = [claim for claims in found for claim in claims]
        assert sorted(claim.id for claim in taken) == sorted(f"j{n}" for n in range(100))
        assert {claim.claims for claim in taken} == {2}

    def test_finish_and_reclaim_race_and_one_of_them_has_the_job(
        self, store: Store, clients: list[Store], clock: TravelClock
    ) -> None:
        for round_ in range(20):
            id = f"j{round_}"
            add(store, id)
            old, hand = Hand(clients[0], ttl=30.0), Hand(clients[1], ttl=1e6)
            claim = old.one()
            clock.travel(31)
            results: list[object] = together(
                [partial(old.finish, claim), partial(hand.reclaim, old)]
            )
            if results == ["done", []]:
                assert states(store, id) == [State.SUCCEEDED]
            else:
                assert results[0] == "lost"
                assert look(store, id).lease == hand.lease

    def test_a_shared_lock_is_taken_once(self, store: Store, clients: list[Store]) -> None:
        took = together(
            [partial(client.acquire, "key", f"{n}", ttl=30.0) for n, client in enumerate(clients)]
        )
        assert sorted(took) == [False, False, False, True]
        together([partial(client.tally, "count", 60.0) for client in clients])
        assert store.tally("count", 60.0) == 5


class Aio(Bench):
    @pytest.fixture
    def aio(self, store: Store) -> AsyncStore:
        aio: AsyncStore | None = getattr(store, "aio", None)
        if aio is None:
            pytest.skip("this store has no asyncio twins")
        return aio

    def test_the_asyncio_twins_answer_as_the_others(self, store: Store, aio: AsyncStore) -> None:
        async def scenario() -> None:
            batch = [new("a"), new("b", lock=Lock("key")), new("c", lock=Lock("key")), new("a")]
            assert await aio.enqueue(batch) == [
                ("a", "created"),
                ("b", "created"),
                ("b", "duplicate"),
                ("a", "exists"),
            ]
            assert await aio.enqueue([]) == []
            assert await aio.get(["b", "unknown", "a"]) == store.get(["b", "unknown", "a"])
            hand = Hand(store)
            assert hand.ids(1) == ["a"]
            asked = ["a", "b", "b", "unknown"]
            assert await aio.cancel(asked) == ["asked", "cancelled", "ended", "missing"]
            assert await aio.wait(["a", "b"], 600.0) == store.get(["a", "b"])
            assert await aio.wait(["a"], 0.05) == store.get(["a"])
            assert await aio.wait(["unknown"], 600.0) == [None]
            await aio.close()
            assert await aio.get(["a"]) == store.get(["a"])
            await aio.close()

        asyncio.run(asyncio.wait_for(scenario(), PATIENCE))

    def test_many_coroutines_wait_without_holding_each_other_up(
        self, store: Store, aio: AsyncStore
    ) -> None:
        ids = [f"j{n}" for n in range(100)]
        add(store, *ids)

        async def scenario() -> None:
            waits = [asyncio.create_task(aio.wait([id], 600.0)) for id in ids]
            for claim in (hand := Hand(store)).claim(100):
                await asyncio.sleep(0)
                assert hand.finish(claim) == "done"
            found = await asyncio.gather(*waits)
            assert [[job and job.state for job in each] for each in found] == (
                [[State.SUCCEEDED]] * 100
            )
            await aio.close()

        asyncio.run(asyncio.wait_for(scenario(), PATIENCE))

    def test_a_wait_that_is_given_up_leaves_the_store_as_it_was(
        self, store: Store, aio: AsyncStore
    ) -> None:
        add(store, "a")

        async def scenario() -> None:
            waiting = asyncio.create_task(aio.wait(["a"], 600.0))
            await asyncio.wait([waiting], timeout=0.05)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert await aio.cancel(["a"]) == ["cancelled"]
            (job,) = await aio.wait(["a"], 600.0)
            assert job is not None
            assert job.state is State.CANCELLED
            await aio.close()

        asyncio.run(asyncio.wait_for(scenario(), PATIENCE))

    def test_a_large_batch(self, store: Store, aio: AsyncStore) -> None:
        async def scenario() -> None:
            answers = await aio.enqueue([new(f"j{n}") for n in range(3000)])
            assert answers == [(f"j{n}", "created") for n in range(3000)]
            await aio.close()

        asyncio.run(asyncio.wait_for(scenario(), PATIENCE))
        assert Hand(store).ids(3000) == [f"j{n}" for n in range(3000)]
