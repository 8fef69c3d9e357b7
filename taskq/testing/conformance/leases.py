"""Leases: holding, losing, ending and taking over; who is at work."""

from __future__ import annotations

import pytest

from taskq.errors import LeaseLost
from taskq.job import Note, State, WorkerInfo
from taskq.store import Store
from taskq.testing.clock import TravelClock
from taskq.testing.conformance.tools import Bench, Hand, about, add, look, new, states


def lapsed(store: Store) -> dict[str, bool]:
    """The lapsed leases that may hold jobs, and whether they are known to be dead."""
    return {each.lease: each.ended for each in store.lapsed()}


class Leases(Bench):
    def test_every_lease_is_new(self, store: Store) -> None:
        worker = WorkerInfo("host", 1)
        leases = {store.open(worker, 30.0) for _ in range(50)}
        assert len(leases) == 50

    def test_renew_holds_a_lease_for_another_ttl(self, store: Store, clock: TravelClock) -> None:
        add(store, "a")
        hand = Hand(store, ttl=30.0)
        claim = hand.one()
        for _ in range(5):
            clock.travel(20)
            assert store.renew(hand.lease, ["a"]) == []
            assert hand.lease not in lapsed(store)
            assert Hand(store).reclaim(hand) == []
        assert hand.finish(claim) == "done"

    def test_renew_never_makes_a_lease(self, store: Store) -> None:
        assert store.renew("unknown", ["a"]) is None
        assert store.renew("unknown") is None
        assert store.workers() == []
        with pytest.raises(LeaseLost):
            store.claim("unknown", 1, ["default"], {"thread": 1})

    def test_renew_tells_which_of_its_jobs_are_asked_to_stop(self, store: Store) -> None:
        add(store, "a", "b", "c", "d")
        hand, other = Hand(store), Hand(store)
        claims = hand.claim(3)
        other.one()
        assert store.renew(hand.lease, ["a"]) == []
        assert store.cancel(["b", "c", "d"]) == ["asked"] * 3
        assert sorted(store.renew(hand.lease, ["a", "b"]) or ()) == ["b", "c"]
        assert sorted(store.renew(hand.lease) or ()) == ["b", "c"]
        assert store.renew(other.lease) == ["d"]
        assert hand.finish(claims[1], State.FAILED) == "cancelled"
        assert store.renew(hand.lease) == ["c"]

    def test_a_lapsed_lease_that_nobody_reclaimed_still_renews_and_finishes(
        self, store: Store, clock: TravelClock
    ) -> None:
        add(store, "a", "b")
        hand = Hand(store, ttl=30.0)
        a, b = hand.claim(2)
        clock.travel(1000)
        assert lapsed(store) == {hand.lease: False}
        assert store.note(hand.lease, b, Note(progress=b"1"))
        assert hand.finish(a) == "done"
        assert store.renew(hand.lease) == []
        assert lapsed(store) == {}
        assert hand.finish(b) == "done"

    def test_a_lease_that_holds_jobs_is_found_when_it_lapsed(
        self, store: Store, clock: TravelClock
    ) -> None:
        add(store, "a", "b")
        short, long = Hand(store, ttl=10.0), Hand(store, ttl=100.0)
        short.one()
        long.one()
        assert lapsed(store) == {}
        clock.travel(50)
        assert lapsed(store) == {short.lease: False}
        clock.travel(100)
        assert lapsed(store) == {short.lease: False, long.lease: False}

    def test_end_ends_a_lease_for_good(self, store: Store) -> None:
        add(store, "a", "b")
        hand = Hand(store)
        claim = hand.one()
        store.end(hand.lease)
        assert lapsed(store) == {hand.lease: True}
        before = look(store, "a")
        assert hand.finish(claim) == "lost"
        assert not store.note(hand.lease, claim, Note(progress=b"1", log=[b"x"]))
        assert store.renew(hand.lease, ["a"]) is None
        with pytest.raises(LeaseLost):
            hand.claim(1)
        with pytest.raises(LeaseLost):
            hand.reclaim(Hand(store))
        assert look(store, "a") == before
        assert before.state is State.RUNNING
        assert [each.id for each in Hand(store).reclaim(hand)] == ["a"]
        assert states(store, "b") == [State.READY]

    def test_end_of_a_lease_without_jobs_forgets_it(self, store: Store) -> None:
        add(store, "a")
        hand = Hand(store)
        hand.finish(hand.one())
        store.end(hand.lease)
        assert lapsed(store) == {}
        assert store.workers() == []
        assert store.renew(hand.lease) is None
        with pytest.raises(LeaseLost):
            hand.claim(1)

    def test_end_twice_or_of_an_unknown_lease_does_nothing(self, store: Store) -> None:
        add(store, "a")
        hand = Hand(store)
        hand.one()
        for _ in range(2):
            store.end(hand.lease)
            store.end("unknown")
        assert lapsed(store) == {hand.lease: True}
        assert states(store, "a") == [State.RUNNING]

    def test_what_was_finished_before_the_end_stays_finished(self, store: Store) -> None:
        add(store, "a", "b")
        hand = Hand(store)
        a, _ = hand.claim(2)
        hand.finish(a, result=b"1")
        store.end(hand.lease)
        assert [each.id for each in Hand(store).reclaim(hand)] == ["b"]
        assert (look(store, "a").state, look(store, "a").result) == (State.SUCCEEDED, b"1")

    # -- reclaim ---------------------------------------------------------------------------
    def test_reclaim_takes_over_under_ones_own_lease(
        self, store: Store, clock: TravelClock
    ) -> None:
        add(store, "a", "b", payload=b"[2]", priority=4)
        dead = Hand(store, ttl=30.0)
        first = dead.claim(2)
        store.note(dead.lease, first[0], Note(checkpoint=b"half"))
        store.renew(dead.lease, ["a"])
        clock.travel(31)
        hand = Hand(store)
        a, b = sorted(hand.reclaim(dead), key=lambda claim: claim.id)
        assert (a.id, a.claims, a.ran, a.checkpoint) == ("a", 2, True, b"half")
        assert (b.id, b.claims, b.ran, b.checkpoint) == ("b", 2, False, None)
        assert (a.task, a.payload, a.priority, a.attempts) == ("tests.task", b"[2]", 4, 0)
        assert a.now == about(clock.now())
        job = look(store, "a")
        assert (job.state, job.lease, job.claims) == (State.RUNNING, hand.lease, 2)
        assert hand.finish(a, State.RETRYING, delay=5.0, deaths=1) == "done"
        hand.back([b])
        assert look(store, "a").deaths == 1
        assert Hand(store).ids() == ["b"]

    def test_ran_is_what_the_last_renewal_said(self, store: Store, clock: TravelClock) -> None:
        add(store, "a", "b", "c")
        dead = Hand(store, ttl=30.0)
        dead.claim(3)
        store.renew(dead.lease, ["a", "b"])
        store.renew(dead.lease, ["b", "c", "unknown"])
        clock.travel(31)
        ran = {each.id: each.ran for each in Hand(store).reclaim(dead)}
        assert ran == {"a": False, "b": True, "c": True}

    def test_a_lease_that_lives_is_left_alone(self, store: Store) -> None:
        add(store, "a")
        alive, hand = Hand(store), Hand(store)
        claim = alive.one()
        assert hand.reclaim(alive, hand) == []
        assert store.reclaim(hand.lease, 1, ["unknown"], 10) == []
        assert store.reclaim(hand.lease, 1, [], 10) == []
        assert store.renew(alive.lease) == []
        assert store.renew(hand.lease) == []
        assert alive.finish(claim) == "done"

    def test_the_first_reclaim_ends_a_lease_also_for_jobs_not_yet_taken(
        self, store: Store, clock: TravelClock
    ) -> None:
        add(store, "a", "b", "c")
        dead, hand = Hand(store, ttl=30.0), Hand(store, ttl=1e6)
        claims = dead.claim(3)
        clock.travel(31)
        taken = hand.reclaim(dead, limit=1)
        assert len(taken) == 1
        assert lapsed(store) == {dead.lease: True}
        assert store.renew(dead.lease) is None
        assert [dead.finish(claim) for claim in claims] == ["lost"] * 3
        assert not any(store.note(dead.lease, claim, Note(progress=b"1")) for claim in claims)
        with pytest.raises(LeaseLost):
            dead.claim(1)
        assert states(store, "a", "b", "c") == [State.RUNNING] * 3
        taken += hand.reclaim(dead, limit=1)
        taken += hand.reclaim(dead, limit=5)
        assert sorted(claim.id for claim in taken) == ["a", "b", "c"]
        assert {claim.claims for claim in taken} == {2}
        assert lapsed(store) == {}
        assert hand.reclaim(dead) == []

    def test_reclaim_keeps_to_its_limit_over_several_leases(
        self, store: Store, clock: TravelClock
    ) -> None:
        dead = [Hand(store, ttl=30.0) for _ in range(3)]
        for n, each in enumerate(dead):
            add(store, *(f"{n}.{m}" for m in range(3)))
            each.claim(3)
        clock.travel(31)
        hand = Hand(store)
        batches = [[claim.id for claim in hand.reclaim(*dead, limit=4)] for _ in range(4)]
        assert [len(batch) for batch in batches] == [4, 4, 1, 0]
        assert len({id for batch in batches for id in batch}) == 9

    def test_reclaim_and_claim_share_one_series_of_numbers(
        self, store: Store, clock: TravelClock
    ) -> None:
        add(store, "a", "b")
        dead = Hand(store, ttl=30.0)
        dead.claim(2)
        store.renew(dead.lease, ["a"])
        clock.travel(31)
        add(store, "c", "d")
        hand = Hand(store)
        lease, leases = hand.lease, [dead.lease]
        assert store.reclaim(lease, 1, ["unknown"], 9) == []
        first = store.reclaim(lease, 1, leases, 1)
        again = store.reclaim(lease, 1, leases, 9)
        assert [(each.id, each.claims, each.ran) for each in again] == [
            (each.id, each.claims, each.ran) for each in first
        ]
        (second,) = store.reclaim(lease, 2, leases, 9)
        assert {first[0].id, second.id} == {"a", "b"}
        assert store.reclaim(lease, 1, leases, 9) == []
        (c,) = store.claim(lease, 3, ["default"], {"thread": 1}).claims
        assert c.id == "c"
        assert [each.id for each in store.reclaim(lease, 3, leases, 9)] == ["c"]
        assert states(store, "d") == [State.READY]

    def test_reclaim_under_a_lost_lease_takes_nothing(
        self, store: Store, clock: TravelClock
    ) -> None:
        add(store, "a")
        dead, ended = Hand(store, ttl=30.0), Hand(store)
        dead.one()
        store.end(ended.lease)
        clock.travel(31)
        for lease in ("unknown", ended.lease):
            with pytest.raises(LeaseLost):
                store.reclaim(lease, 1, [dead.lease], 9)
        assert store.renew(dead.lease) == []

    def test_jobs_pass_from_one_dead_lease_to_the_next(
        self, store: Store, clock: TravelClock
    ) -> None:
        add(store, "a")
        hands = [Hand(store, ttl=30.0)]
        claims = [hands[0].one()]
        for n in range(4):
            clock.travel(31)
            hands.append(Hand(store, ttl=30.0))
            claims += hands[-1].reclaim(hands[-2])
            assert claims[-1].claims == n + 2
        assert [
            hand.finish(claim) for hand, claim in zip(hands[:-1], claims[:-1], strict=True)
        ] == ["lost"] * 4
        assert hands[-1].finish(claims[-1]) == "done"
        assert lapsed(store) == {}

    def test_a_reclaimed_job_that_was_asked_to_stop_ends_cancelled(self, store: Store) -> None:
        add(store, "a")
        dead = Hand(store)
        dead.one()
        store.cancel(["a"])
        store.end(dead.lease)
        hand = Hand(store)
        (claim,) = hand.reclaim(dead)
        assert store.renew(hand.lease) == ["a"]
        assert hand.finish(claim, State.RETRYING, delay=1.0) == "cancelled"
        assert states(store, "a") == [State.CANCELLED]

    # -- workers ---------------------------------------------------------------------------
    def test_workers_are_those_whose_lease_has_not_lapsed(
        self, store: Store, clock: TravelClock
    ) -> None:
        start = clock.now()
        worker = WorkerInfo(
            "web-1", 4711, ["mail", "default"], 8, 100, started_at=start - 5, version="1.2"
        )
        lease = store.open(worker, 30.0)
        ended = store.open(WorkerInfo("web-2", 1), 30.0)
        (info, _) = sorted(store.workers(), key=lambda each: each.host)
        assert (info.host, info.pid, list(info.queues)) == ("web-1", 4711, ["mail", "default"])
        assert (info.concurrency, info.async_concurrency, info.version) == (8, 100, "1.2")
        assert info.started_at == about(start - 5)
        assert (info.lease, info.running, info.seen_at) == (lease, 0, about(start))
        store.end(ended)
        assert [each.lease for each in store.workers()] == [lease]
        store.enqueue([new("a"), new("b")])
        assert len(store.claim(lease, 1, ["default"], {"thread": 2}).claims) == 2
        clock.travel(20)
        store.renew(lease)
        (info,) = store.workers()
        assert (info.running, info.seen_at) == (2, about(start + 20))
        clock.travel(31)
        assert store.workers() == []
        store.renew(lease)
        (info,) = store.workers()
        assert info.running == 2

    def test_a_worker_that_was_reclaimed_is_shown_no_more(
        self, store: Store, clock: TravelClock
    ) -> None:
        add(store, "a", "b")
        dead = Hand(store, ttl=30.0)
        dead.claim(2)
        clock.travel(31)
        hand = Hand(store)
        hand.reclaim(dead, limit=1)
        assert [(each.lease, each.running) for each in store.workers()] == [(hand.lease, 1)]

    def test_running_counts_what_is_held(self, store: Store) -> None:
        add(store, "a", "b", "c")
        hand = Hand(store)
        a, b, _ = hand.claim(3)
        hand.finish(a)
        hand.back([b])
        assert [each.running for each in store.workers()] == [1]
        hand.one()
        assert [each.running for each in store.workers()] == [2]
        store.end(hand.lease)
        other = Hand(store)
        other.reclaim(hand)
        assert [each.running for each in store.workers()] == [2]
