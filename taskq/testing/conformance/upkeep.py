"""Promote and prune, and the shared locks and counters."""

from __future__ import annotations

import pytest

from taskq.job import ENDED, Lock, Moment, State
from taskq.store import Store
from taskq.testing.clock import TravelClock
from taskq.testing.conformance.tools import (
    ODD_TEXTS,
    Bench,
    Hand,
    MakeStore,
    about,
    add,
    all_pages,
    into,
    look,
    new,
    run,
    states,
)


class Promoting(Bench):
    def test_promote_makes_due_jobs_ready_and_no_others(
        self, store: Store, clock: TravelClock
    ) -> None:
        into(store, "retrying", State.RETRYING)
        add(store, "soon", due=Moment(10.0))
        add(store, "later", due=Moment(5000.0))
        assert store.promote() == (0, about(10))
        clock.travel(9.9)
        assert store.promote() == (0, about(0.1))
        clock.travel(0.2)
        assert store.promote() == (1, about(3600 - 10.1))
        clock.travel(3600)
        assert store.promote() == (1, about(5000 - 3610.1))
        assert states(store, "soon", "retrying", "later") == [
            State.READY,
            State.READY,
            State.SCHEDULED,
        ]
        assert Hand(store).ids() == ["soon", "retrying"]

    def test_promote_of_nothing(self, store: Store) -> None:
        assert store.promote() == (0, None)
        add(store, "a")
        assert store.promote() == (0, None)

    def test_promote_moves_at_most_its_limit_the_earliest_first(
        self, store: Store, clock: TravelClock
    ) -> None:
        for n in range(10):
            add(store, f"j{n}", due=Moment(100.0 - n))
        clock.travel(200)
        moved, next_due = store.promote(4)
        assert (moved, next_due) == (4, about(94 + 1 - 200))
        assert Hand(store).ids() == ["j9", "j8", "j7", "j6"]
        assert store.promote(100) == (6, None)
        assert store.promote(100) == (0, None)

    def test_a_promoted_job_keeps_its_queue_lane_and_priority(
        self, store: Store, clock: TravelClock
    ) -> None:
        add(store, "low", queue="q", lane="loop", priority=-1, due=Moment(5.0))
        add(store, "high", queue="q", lane="loop", priority=1, due=Moment(6.0))
        clock.travel(10)
        assert store.promote().moved == 2
        claims = Hand(store).claim(9, "q", limits={"loop": 9})
        assert [(each.id, each.lane, each.priority) for each in claims] == [
            ("high", "loop", 1),
            ("low", "loop", -1),
        ]

    def test_what_left_its_schedule_is_not_promoted(self, store: Store, clock: TravelClock) -> None:
        for name in ("cancelled", "deleted", "requeued", "replaced", "plain"):
            lock = Lock(name, on_duplicate="replace")
            add(store, name, due=Moment(10.0), lock=lock)
        store.cancel(["cancelled"])
        store.delete(["deleted"])
        store.requeue(["requeued"])
        store.enqueue([new(lock=Lock("replaced", on_duplicate="replace"), due=Moment(99.0))])
        assert Hand(store).ids() == ["requeued"]
        clock.travel(20)
        assert store.promote() == (1, about(79))
        assert Hand(store).ids() == ["plain"]
        clock.travel(100)
        assert store.promote() == (1, None)
        assert Hand(store).ids() == ["replaced"]
        assert states(store, "cancelled", "deleted") == [State.CANCELLED, None]

    @pytest.mark.parametrize("how", ["due", "retry"])
    def test_rounding_makes_no_job_ready_early(
        self, store: Store, clock: TravelClock, how: str
    ) -> None:
        clock.travel(0.0003)
        if how == "due":
            add(store, "a", due=Moment(10.0004))
        else:
            add(store, "a")
            run(store, "a", State.RETRYING, delay=10.0004)
        clock.travel(10.0002)
        assert store.promote().moved == 0
        clock.travel(0.002)
        assert store.promote().moved == 1

    def test_the_job_that_becomes_due_last_is_on_time_though_enqueued_first(
        self, store: Store, clock: TravelClock
    ) -> None:
        add(store, "far", due=Moment(1e6))
        add(store, "near", due=Moment(1.0))
        clock.travel(2)
        assert store.promote().moved == 1
        assert Hand(store).ids() == ["near"]


class Pruning(Bench):
    @pytest.mark.parametrize("state", sorted(ENDED))
    def test_ended_jobs_go_when_their_time_is_up(
        self, store: Store, clock: TravelClock, state: State
    ) -> None:
        keeps = {"keep": 1e6, "keep_failed": 1e6}
        keeps["keep_failed" if state is State.FAILED else "keep"] = 60.0
        add(store, "a", **keeps)
        run(store, "a", state)
        clock.travel(59)
        assert store.prune() == 0
        assert states(store, "a") == [state]
        clock.travel(2)
        assert store.prune() == 1
        assert states(store, "a") == [None]
        assert all_pages(store) == []
        assert [sum(each.counts.values()) for each in store.stats()] == [0]
        assert store.prune() == 0
        add(store, "a")
        assert Hand(store).ids() == ["a"]

    def test_jobs_that_have_not_ended_stay(self, store: Store, clock: TravelClock) -> None:
        waiting = (State.RUNNING, State.READY, State.SCHEDULED, State.RETRYING)
        for state in (State.RETRYING, State.RUNNING, State.READY, State.SCHEDULED):
            into(store, state, state, keep=1.0, keep_failed=1.0)
        clock.travel(3000)
        assert store.prune() == 0
        assert states(store, *waiting) == list(waiting)

    def test_prune_takes_at_most_its_limit_the_oldest_first(
        self, store: Store, clock: TravelClock
    ) -> None:
        for n in range(6):
            add(store, f"j{n}", keep=10.0)
            run(store, f"j{n}")
            clock.travel(1)
        clock.travel(60)
        assert store.prune(4) == 4
        assert states(store, "j3", "j4", "j5") == [None, State.SUCCEEDED, State.SUCCEEDED]
        assert store.prune(4) == 2

    def test_of_each_state_the_oldest_go_when_there_are_too_many(
        self, make_store: MakeStore, clock: TravelClock
    ) -> None:
        store = make_store(clock, max_ended=2)
        for n in range(5):
            for state in (State.SUCCEEDED, State.FAILED):
                id, queue = f"{state}{n}", f"q{n % 2}"
                add(store, id, queue=queue, keep=1e6, keep_failed=1e6)
                run(store, id, state)
                clock.travel(1)
        add(store, "cancelled")
        store.cancel(["cancelled"])
        add(store, "ready")
        gone = 0
        while pruned := store.prune(4):
            assert pruned <= 4
            gone += pruned
        assert gone == 6
        assert {job.id for job in all_pages(store)} == {
            "succeeded3",
            "succeeded4",
            "failed3",
            "failed4",
            "cancelled",
            "ready",
        }

    def test_a_requeued_job_is_not_pruned_for_its_former_end(
        self, store: Store, clock: TravelClock
    ) -> None:
        add(store, "a", keep=60.0)
        run(store, "a")
        store.requeue(["a"])
        clock.travel(1000)
        assert store.prune() == 0
        run(store, "a")
        clock.travel(59)
        assert store.prune() == 0
        clock.travel(2)
        assert store.prune() == 1

    def test_prune_frees_nobodys_key(self, store: Store, clock: TravelClock) -> None:
        lock = Lock("key")
        add(store, "a", lock=lock, keep=60.0)
        run(store, "a")
        add(store, "b", lock=lock)
        clock.travel(61)
        assert store.prune() == 1
        assert store.enqueue([new("c", lock=lock)]) == [("b", "duplicate")]
        assert look(store, "b").state is State.READY


class SharedLocks(Bench):
    def test_a_lock_has_one_holder(self, store: Store) -> None:
        assert store.acquire("key", "me", ttl=30.0)
        assert not store.acquire("key", "you", ttl=30.0)
        assert store.acquire("other", "you", ttl=30.0)
        store.release("key", "you")
        assert not store.acquire("key", "you", ttl=30.0)
        store.release("key", "me")
        assert store.acquire("key", "you", ttl=30.0)
        assert not store.acquire("key", "me", ttl=30.0)
        store.release("unknown", "me")

    def test_a_lock_has_as_many_holders_as_slots(self, store: Store) -> None:
        took = [store.acquire("key", owner, ttl=30.0, slots=3) for owner in "abcd"]
        assert took == [True, True, True, False]
        store.release("key", "b")
        assert store.acquire("key", "d", ttl=30.0, slots=3)
        assert not store.acquire("key", "b", ttl=30.0, slots=3)

    def test_a_place_lapses_unless_its_holder_renews(
        self, store: Store, clock: TravelClock
    ) -> None:
        assert store.acquire("key", "me", ttl=30.0)
        clock.travel(20)
        assert store.acquire("key", "me", ttl=30.0)
        clock.travel(20)
        assert not store.acquire("key", "you", ttl=30.0)
        clock.travel(11)
        assert store.acquire("key", "you", ttl=30.0)
        assert not store.acquire("key", "me", ttl=30.0)
        store.release("key", "me")
        assert not store.acquire("key", "me", ttl=30.0)

    def test_places_lapse_one_by_one(self, store: Store, clock: TravelClock) -> None:
        assert store.acquire("key", "a", ttl=10.0, slots=2)
        assert store.acquire("key", "b", ttl=100.0, slots=2)
        clock.travel(11)
        store.prune()
        assert store.acquire("key", "c", ttl=100.0, slots=2)
        assert not store.acquire("key", "d", ttl=100.0, slots=2)

    def test_a_tally_counts_and_vanishes_after_its_first_count(
        self, store: Store, clock: TravelClock
    ) -> None:
        assert store.tally("key", 60.0) == 1
        clock.travel(40)
        assert store.tally("key", 60.0, 5) == 6
        assert store.tally("other", 60.0) == 1
        clock.travel(15)
        store.prune()
        assert store.tally("key", 60.0) == 7
        clock.travel(6)
        assert store.tally("key", 60.0) == 1
        assert store.tally("other", 60.0) == 2
        clock.travel(59)
        assert store.tally("key", 60.0) == 2

    @pytest.mark.parametrize("text", ODD_TEXTS)
    def test_keys_and_owners_are_any_text(self, store: Store, text: str) -> None:
        assert store.acquire(text, text, ttl=30.0)
        assert not store.acquire(text, text + ".", ttl=30.0)
        store.release(text, text)
        assert store.acquire(text, text + ".", ttl=30.0)
        assert [store.tally(text, 30.0), store.tally(text, 30.0)] == [1, 2]
