"""Claim: the order of jobs, limits, queues, numbers, and waiting for a first job."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from taskq.errors import LeaseLost
from taskq.job import Claim, Lock, Moment, State
from taskq.store import Store
from taskq.testing.clock import TravelClock
from taskq.testing.conformance.tools import (
    PATIENCE,
    Bench,
    Hand,
    MakeStore,
    about,
    add,
    apart,
    into,
    look,
    new,
    run,
    states,
    still_waits,
    until_done,
)


class Claiming(Bench):
    def test_a_claim_makes_a_job_running_under_the_lease(
        self, store: Store, clock: TravelClock
    ) -> None:
        start = clock.now()
        add(
            store,
            "a",
            payload=b"[1]",
            queue="mail",
            lane="loop",
            priority=3,
            expires=100.0,
            deadline=Moment(900.0),
        )
        clock.travel(10)
        hand = Hand(store)
        (claim,) = hand.claim(0, "mail", limits={"loop": 5})
        now = clock.now()
        assert (claim.id, claim.task, claim.payload) == ("a", "tests.task", b"[1]")
        assert (claim.queue, claim.lane, claim.priority) == ("mail", "loop", 3)
        assert (claim.attempts, claim.claims, claim.deaths) == (0, 1, 0)
        assert (claim.enqueued_at, claim.due_at) == (about(start), about(start))
        assert (claim.expires_at, claim.deadline) == (about(start + 100), about(start + 900))
        assert (claim.checkpoint, claim.ran) == (None, False)
        assert claim.now == about(now)
        job = look(store, "a")
        assert (job.state, job.lease, job.claims) == (State.RUNNING, hand.lease, 1)
        assert job.started_at == about(now)
        assert hand.claim(5, "mail", limits={"loop": 5}) == []

    def test_each_claim_raises_the_number_and_nothing_lowers_it(
        self, store: Store, clock: TravelClock
    ) -> None:
        add(store, "a", lock=Lock("key"))
        hand = Hand(store, ttl=1e6)
        seen: list[int] = []

        def claim() -> Claim:
            claim = hand.one()
            seen.append(claim.claims)
            return claim

        hand.finish(claim(), State.RETRYING, attempts=1)
        hand.finish(claim(), State.READY)
        hand.finish(claim(), State.SCHEDULED, delay=1.0)
        clock.travel(2)
        store.promote()
        hand.finish(claim(), State.FAILED)
        store.requeue(["a"])
        hand.finish(claim(), State.RETRYING, delay=9.0)
        store.enqueue([new("b", lock=Lock("key", on_duplicate="replace"))])
        claim()
        store.end(hand.lease)
        (taken,) = Hand(store).reclaim(hand)
        assert seen == [1, 2, 3, 4, 5, 6]
        assert taken.claims == look(store, "a").claims == 7

    # -- order -------------------------------------------------------------------------
    def test_equal_priorities_come_in_order_of_arrival(self, store: Store) -> None:
        add(store, "c", "a")
        add(store, "b")
        hand = Hand(store)
        assert [hand.one().id for _ in range(3)] == ["c", "a", "b"]

    def test_higher_priorities_come_first(self, store: Store) -> None:
        for n, priority in enumerate([0, -100, 100, 1, 0, -1, 100, 5, -100]):
            add(store, f"{priority}.{n}", priority=priority)
        expected = ["100.2", "100.6", "5.7", "1.3", "0.0", "0.4", "-1.5", "-100.1", "-100.8"]
        hand = Hand(store)
        assert hand.ids(4) + hand.ids(1) + hand.ids(100) == expected

    def test_jobs_given_back_go_to_the_head_with_their_arrival_numbers(self, store: Store) -> None:
        add(store, "a", "b", "c", "d")
        hand = Hand(store)
        a, b, c = hand.claim(3)
        hand.back([c])
        hand.back([a])
        hand.back([b])
        add(store, "e")
        first = hand.claim(2)
        assert [claim.id for claim in first] == ["a", "b"]
        hand.back(reversed(first))
        assert hand.ids() == ["a", "b", "c", "d", "e"]

    def test_a_job_given_back_keeps_to_its_priority(self, store: Store) -> None:
        add(store, "low", priority=-5)
        low = Hand(store)
        claim = low.one()
        add(store, "high", priority=5)
        add(store, "middle")
        add(store, "low too", priority=-5)
        low.back([claim])
        assert Hand(store).ids() == ["high", "middle", "low", "low too"]

    def test_a_job_given_back_after_a_requeue_keeps_its_new_place(self, store: Store) -> None:
        add(store, "a")
        run(store, "a", State.FAILED)
        add(store, "b")
        store.requeue(["a"])
        add(store, "c")
        hand = Hand(store)
        hand.back(hand.claim(3))
        assert hand.ids() == ["b", "a", "c"]

    def test_a_retry_without_delay_arrives_anew(self, store: Store) -> None:
        add(store, "a", "b", "c")
        hand = Hand(store)
        assert hand.finish(hand.one(), State.RETRYING, delay=0.0, attempts=1) == "done"
        assert states(store, "a") == [State.READY]
        assert hand.ids() == ["b", "c", "a"]

    def test_a_requeued_job_arrives_anew(self, store: Store) -> None:
        into(store, "ended", State.FAILED)
        into(store, "retrying", State.RETRYING)
        into(store, "scheduled", State.SCHEDULED)
        add(store, "ready")
        store.requeue(["retrying", "ended", "scheduled"])
        add(store, "last")
        assert Hand(store).ids() == ["ready", "retrying", "ended", "scheduled", "last"]

    def test_promoted_jobs_arrive_when_promoted(self, store: Store, clock: TravelClock) -> None:
        add(store, "scheduled", due=Moment(10.0))
        add(store, "first")
        clock.travel(20)
        add(store, "second")
        store.promote()
        add(store, "third")
        assert Hand(store).ids() == ["first", "second", "scheduled", "third"]

    def test_jobs_promoted_together_arrive_by_due_time_then_in_order_of_enqueue(
        self, store: Store, clock: TravelClock
    ) -> None:
        for n, due in enumerate([30.0, 10.0, 20.0, 10.0, 30.0, 10.0]):
            add(store, f"{due:.0f}.{n}", due=Moment(due))
        clock.travel(60)
        assert store.promote().moved == 6
        assert Hand(store).ids() == ["10.1", "10.3", "10.5", "20.2", "30.0", "30.4"]

    def test_many_jobs_of_one_instant_are_promoted_in_order_of_enqueue(
        self, store: Store, clock: TravelClock
    ) -> None:
        at = Moment(clock.now() + 60, absolute=True)
        ids = [f"j{(n * 37) % 300}" for n in range(300)]
        for start in range(0, 300, 100):
            add(store, *ids[start : start + 100], due=at)
        clock.travel(60)
        while store.promote(70).moved:
            pass
        assert Hand(store).ids() == ids

    # -- lanes, queues, limits -----------------------------------------------------------
    def test_lanes_are_kept_apart_each_with_its_limit(self, store: Store) -> None:
        for n in range(5):
            add(store, f"t{n}", lane="thread")
            add(store, f"l{n}", lane="loop")
        hand = Hand(store)
        claims = hand.claim(limits={"thread": 2, "loop": 3})
        assert [each.id for each in claims if each.lane == "thread"] == ["t0", "t1"]
        assert [each.id for each in claims if each.lane == "loop"] == ["l0", "l1", "l2"]
        assert [each.id for each in hand.claim(limits={"loop": 9})] == ["l3", "l4"]
        assert hand.claim(limits={"loop": 9}) == []
        assert hand.claim(limits={}) == []
        assert hand.claim(limits={"thread": 0, "loop": 0}) == []
        assert [each.id for each in hand.claim(limits={"thread": 9, "loop": 0})] == [
            "t2",
            "t3",
            "t4",
        ]

    def test_a_lane_that_is_not_asked_for_holds_nobody_up(self, store: Store) -> None:
        add(store, *(f"l{n}" for n in range(200)), lane="loop", priority=9)
        add(store, "t")
        assert Hand(store).ids(1) == ["t"]

    def test_limits_hold_over_all_queues_together(self, store: Store) -> None:
        for queue in ("a", "b", "c"):
            add(store, f"{queue}1", f"{queue}2", queue=queue)
        assert Hand(store).ids(3, "a", "b", "c") == ["a1", "a2", "b1"]

    def test_queues_are_tried_in_the_order_given_whatever_the_priorities(
        self, store: Store
    ) -> None:
        add(store, "b1", "b2", queue="b", priority=100)
        add(store, "a1", "a2", queue="a", priority=-100)
        add(store, "c1", queue="c")
        hand = Hand(store)
        assert hand.ids(1, "a", "b") == ["a1"]
        add(store, "a3", queue="a")
        assert hand.ids(10, "a", "b") == ["a3", "a2", "b1", "b2"]
        assert hand.ids(10, "a", "b") == []
        assert hand.ids(10, "x", "c") == ["c1"]

    def test_no_queues_give_nothing(self, store: Store) -> None:
        add(store, "a")
        hand = Hand(store)
        assert store.claim(hand.lease, 1, [], {"thread": 9}).claims == []

    def test_a_paused_queue_gives_nothing_until_it_goes_on(
        self, store: Store, make_store: MakeStore, clock: TravelClock
    ) -> None:
        add(store, "a", queue="a")
        add(store, "b", queue="b")
        add(store, "later", queue="a", due=Moment(5.0))
        store.pause("a")
        hand = Hand(store)
        assert hand.ids(10, "a", "b") == ["b"]
        add(store, "more", queue="a")
        clock.travel(10)
        assert store.promote().moved == 1
        assert hand.ids(10, "a", "b") == []
        other = make_store(clock) if store.shared else store
        assert Hand(other).ids(10, "a") == []
        other.pause("a", False)
        assert hand.ids(10, "a") == ["a", "more", "later"]

    def test_pause_holds_before_the_first_job_and_twice_is_once(self, store: Store) -> None:
        store.pause("a")
        store.pause("a")
        add(store, "a1", queue="a")
        hand = Hand(store)
        assert hand.ids(1, "a") == []
        store.pause("a", False)
        assert hand.ids(1, "a") == ["a1"]
        store.pause("never heard of", False)

    # -- numbers -------------------------------------------------------------------------
    def test_the_last_number_again_gives_the_jobs_of_that_call(
        self, store: Store, clock: TravelClock
    ) -> None:
        add(store, "a", "b", "c", "d")
        hand = Hand(store)
        first = store.claim(hand.lease, 1, ["default"], {"thread": 2}).claims
        clock.travel(3)
        again = store.claim(hand.lease, 1, ["default"], {"thread": 2}).claims
        again.sort(key=lambda claim: claim.id)
        assert [(each.id, each.claims) for each in again] == [("a", 1), ("b", 1)]
        assert [each.payload for each in again] == [each.payload for each in first]
        assert states(store, "c", "d") == [State.READY] * 2
        following = store.claim(hand.lease, 2, ["default"], {"thread": 2}).claims
        assert [each.id for each in following] == ["c", "d"]
        again = store.claim(hand.lease, 2, ["default"], {"thread": 9}).claims
        assert sorted(each.id for each in again) == ["c", "d"]

    def test_the_last_number_again_gives_only_those_still_held(self, store: Store) -> None:
        add(store, "a", "b", "c", "d")
        hand = Hand(store)
        a, _, c = store.claim(hand.lease, 1, ["default"], {"thread": 3}).claims
        hand.finish(a)
        hand.back([c])
        again = store.claim(hand.lease, 1, ["default"], {"thread": 3}).claims
        assert [each.id for each in again] == ["b"]
        assert states(store, "c", "d") == [State.READY] * 2

    def test_a_number_that_was_used_up_claims_nothing_new(self, store: Store) -> None:
        add(store, "a", "b")
        hand = Hand(store)
        for claim in store.claim(hand.lease, 5, ["default"], {"thread": 1}).claims:
            hand.finish(claim)
        for number in (5, 4, 1):
            assert store.claim(hand.lease, number, ["default"], {"thread": 1}).claims == []
        assert states(store, "b") == [State.READY]
        (claim,) = store.claim(hand.lease, 6, ["default"], {"thread": 1}).claims
        assert claim.id == "b"

    def test_a_job_claimed_again_belongs_to_the_later_number(self, store: Store) -> None:
        add(store, "a")
        hand = Hand(store)
        hand.back(hand.claim(1))
        add(store, "b")
        number = hand.number
        assert hand.ids(2) == ["a", "b"]
        again = store.claim(hand.lease, number, ["default"], {"thread": 2}).claims
        assert sorted((each.id, each.claims) for each in again) == [("a", 2), ("b", 1)]

    def test_a_call_that_found_nothing_does_not_use_its_number_up(self, store: Store) -> None:
        hand = Hand(store)
        for _ in range(3):
            assert store.claim(hand.lease, 1, ["default"], {"thread": 1}).claims == []
        add(store, "a", "b")
        (claim,) = store.claim(hand.lease, 1, ["default"], {"thread": 1}).claims
        assert claim.id == "a"
        assert store.claim(hand.lease, 2, ["empty"], {"thread": 1}).claims == []
        (claim,) = store.claim(hand.lease, 2, ["default"], {"thread": 1}).claims
        assert claim.id == "b"

    def test_each_lease_has_numbers_of_its_own(self, store: Store) -> None:
        add(store, "a", "b")
        one, other = Hand(store), Hand(store)
        assert (one.ids(1), other.ids(1)) == (["a"], ["b"])
        again = store.claim(one.lease, 1, ["default"], {"thread": 1}).claims
        assert [each.id for each in again] == ["a"]

    def test_a_lease_that_is_unknown_ended_or_reclaimed_claims_nothing(
        self, store: Store, clock: TravelClock
    ) -> None:
        ended, taken = Hand(store), Hand(store, ttl=10.0)
        add(store, "held", "held too")
        ended.one()
        taken.one()
        store.end(ended.lease)
        clock.travel(20)
        Hand(store).reclaim(taken)
        add(store, "a")
        for lease in ("unknown", ended.lease, taken.lease):
            with pytest.raises(LeaseLost):
                store.claim(lease, 7, ["default"], {"thread": 1})
        assert states(store, "a") == [State.READY]

    # -- next_due ------------------------------------------------------------------------
    def test_next_due_counts_to_the_next_scheduled_or_retrying_job_of_any_queue(
        self, store: Store, clock: TravelClock
    ) -> None:
        hand = Hand(store, ttl=1e6)

        def next_due() -> float | None:
            return store.claim(hand.lease, hand.number, ["none"], {"thread": 1}).next_due

        assert next_due() is None
        add(store, "now")
        assert next_due() is None
        add(store, "late", queue="other", due=Moment(100.0))
        assert next_due() == about(100)
        claim = hand.one()
        assert hand.finish(claim, State.RETRYING, delay=40.0) == "done"
        assert next_due() == about(40)
        clock.travel(30)
        assert next_due() == about(10)
        clock.travel(15)
        assert next_due() == about(-5)
        assert store.promote() == (1, about(55))
        assert next_due() == about(55)
        store.cancel(["late"])
        assert next_due() is None

    def test_next_due_comes_with_claims_too(self, store: Store) -> None:
        add(store, "a")
        add(store, "b", due=Moment(30.0))
        hand = Hand(store)
        found = store.claim(hand.lease, 1, ["default"], {"thread": 1})
        assert [claim.id for claim in found.claims] == ["a"]
        assert found.next_due == about(30)


class Waiting(Bench):
    def test_a_claim_that_finds_a_job_does_not_wait(self, store: Store) -> None:
        add(store, "a")
        future = apart(partial(Hand(store).ids, 1))
        assert future.result(PATIENCE) == ["a"]

    def test_a_claim_that_finds_none_returns_after_its_wait(self, store: Store) -> None:
        hand = Hand(store)
        future = apart(partial(hand.claim, 1, wait=0.05))
        assert future.result(PATIENCE) == []

    @pytest.mark.parametrize(
        "way", ["enqueue", "promote", "give back", "retry", "requeue", "go on", "replace"]
    )
    def test_a_claim_that_waits_is_woken_by_every_way_to_become_ready(
        self, store: Store, make_store: MakeStore, clock: TravelClock, way: str
    ) -> None:
        other = make_store(clock) if store.shared else store
        helper = Hand(other, ttl=1e6)
        act: Callable[[], object]
        if way == "enqueue":
            act = partial(add, other, "a")
        elif way == "promote":
            into(other, "a", State.SCHEDULED)
            clock.travel(3600)
            act = other.promote
        elif way in ("give back", "retry"):
            add(other, "a")
            state = State.READY if way == "give back" else State.RETRYING
            act = partial(helper.finish, helper.one(), state)
        elif way == "requeue":
            into(other, "a", State.SCHEDULED)
            act = partial(other.requeue, ["a"])
        elif way == "go on":
            other.pause("default")
            add(other, "a")
            act = partial(other.pause, "default", False)
        else:
            into(other, "a", State.SCHEDULED, lock=Lock("key"))
            act = partial(other.enqueue, [new("b", lock=Lock("key", on_duplicate="replace"))])
        hand = Hand(store, ttl=1e6)
        future = apart(partial(_claim_until_found, hand))
        assert still_waits(future)
        act()
        assert [claim.id for claim in future.result(PATIENCE)] == ["a"]

    def test_wake_lets_a_claim_return_without_a_job(
        self, store: Store, make_store: MakeStore, clock: TravelClock
    ) -> None:
        hand = Hand(store)
        future = apart(partial(hand.claim, 1, wait=600.0))
        assert until_done(future, partial(store.wake, hand.lease)) == []
        store.wake("unknown")

    def test_an_earlier_due_job_lets_a_claim_return(
        self, store: Store, make_store: MakeStore, clock: TravelClock
    ) -> None:
        other = make_store(clock) if store.shared else store
        add(store, "a", due=Moment(100_000.0))
        hand = Hand(store)
        future = apart(partial(store.claim, hand.lease, 1, ["default"], {"thread": 1}, 600.0))
        due = iter(range(99_000, 1, -100))

        def earlier() -> None:
            other.enqueue([new(due=Moment(float(next(due))))])

        found = until_done(future, earlier)
        assert found.claims == []
        assert found.next_due is not None
        assert found.next_due < 99_001

    def test_each_of_several_that_wait_gets_its_job(
        self, store: Store, make_store: MakeStore, clock: TravelClock
    ) -> None:
        clients = [make_store(clock) if store.shared else store for _ in range(4)]
        hands = [Hand(client) for client in clients]
        futures = [apart(partial(_claim_until_found, hand)) for hand in hands]
        assert all(still_waits(future) for future in futures)
        for n in range(4):
            add(store, f"j{n}")
        found = [future.result(PATIENCE) for future in futures]
        assert sorted(claim.id for claims in found for claim in claims) == [
            "j0",
            "j1",
            "j2",
            "j3",
        ]

    def test_who_waits_for_one_queue_does_not_take_the_wake_of_another(
        self, store: Store, make_store: MakeStore, clock: TravelClock
    ) -> None:
        clients = [make_store(clock) if store.shared else store for _ in range(3)]
        hands = [Hand(client) for client in clients]
        futures = [
            apart(partial(_claim_until_found, hand, f"q{n}")) for n, hand in enumerate(hands)
        ]
        assert all(still_waits(future) for future in futures)
        for n in (2, 0, 1):
            add(store, f"j{n}", queue=f"q{n}")
        for n, future in enumerate(futures):
            assert [claim.id for claim in future.result(PATIENCE)] == [f"j{n}"]


def _claim_until_found(hand: Hand, queue: str = "default") -> list[Claim]:
    """Claim, and again if it returned early; each call alone waits longer than the patience."""
    while True:
        claims = hand.claim(1, queue, wait=600.0)
        if claims:
            return claims
