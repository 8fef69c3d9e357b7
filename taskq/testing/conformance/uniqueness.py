"""Unique keys: who holds one, for how long, and what a duplicate meets."""

from __future__ import annotations

from typing import Literal

import pytest

from taskq.job import Lock, Moment, State
from taskq.store import Store
from taskq.testing.clock import TravelClock
from taskq.testing.conformance.tools import (
    ODD_TEXTS,
    Bench,
    Hand,
    about,
    add,
    into,
    look,
    new,
    run,
    states,
)

LOCK = Lock("key")
REPLACE = Lock("key", on_duplicate="replace")


def holder(store: Store) -> str | None:
    """Who holds the key, found by trying to take it (the trial is taken back)."""
    (answer,) = store.enqueue([new("trial", lock=LOCK)])
    if answer.status == "created":
        assert store.delete(["trial"]) == ["deleted"]
        return None
    assert answer.status == "duplicate"
    assert store.get(["trial"]) == [None]
    return answer.id


class Uniqueness(Bench):
    @pytest.mark.parametrize("on_duplicate", ["return", "raise"])
    @pytest.mark.parametrize("state", [State.SCHEDULED, State.READY, State.RUNNING, State.RETRYING])
    def test_a_duplicate_is_answered_with_the_holder_and_nothing_is_written(
        self, store: Store, state: State, on_duplicate: Literal["return", "raise"]
    ) -> None:
        into(store, "a", state, lock=LOCK)
        before = look(store, "a")
        assert before.unique_key == "key"
        lock = Lock("key", on_duplicate=on_duplicate)
        assert store.enqueue([new("b", lock=lock, payload=b"other")]) == [("a", "duplicate")]
        assert store.get(["b"]) == [None]
        assert look(store, "a") == before

    def test_duplicates_within_one_batch(self, store: Store) -> None:
        batch = [new("a", lock=LOCK), new("b", lock=LOCK), new("c"), new("d", lock=Lock("other"))]
        assert store.enqueue(batch) == [
            ("a", "created"),
            ("a", "duplicate"),
            ("c", "created"),
            ("d", "created"),
        ]
        assert Hand(store).ids() == ["a", "c", "d"]

    def test_the_holder_enqueued_again_is_answered_exists(self, store: Store) -> None:
        add(store, "a", lock=LOCK)
        assert store.enqueue([new("a", lock=LOCK)]) == [("a", "exists")]
        assert store.enqueue([new("a", lock=REPLACE)]) == [("a", "exists")]

    @pytest.mark.parametrize("key", ODD_TEXTS)
    def test_keys_are_any_text(self, store: Store, key: str) -> None:
        add(store, "a", lock=Lock(key))
        add(store, "b", lock=Lock(key + "."))
        assert store.enqueue([new("c", lock=Lock(key))]) == [("a", "duplicate")]
        assert look(store, "a").unique_key == key

    # -- replace ---------------------------------------------------------------------
    @pytest.mark.parametrize("state", [State.SCHEDULED, State.READY, State.RETRYING])
    def test_replace_keeps_the_id_and_overwrites_the_rest(
        self, store: Store, clock: TravelClock, state: State
    ) -> None:
        into(store, "a", state, lock=LOCK, expires=9.0, deadline=Moment(9999.0))
        claims = look(store, "a").claims
        replacement = new(
            "b",
            task="tests.other",
            payload=b"new",
            queue="new",
            lane="loop",
            priority=5,
            due=Moment(60.0),
            expires=20.0,
            deadline=Moment(500.0),
            keep=1.0,
            keep_failed=2.0,
            lock=REPLACE,
        )
        assert store.enqueue([replacement]) == [("a", "replaced")]
        assert store.get(["b"]) == [None]
        job = look(store, "a")
        now = clock.now()
        assert (job.task, job.payload, job.queue) == ("tests.other", b"new", "new")
        assert (job.lane, job.priority, job.state) == ("loop", 5, State.SCHEDULED)
        assert (job.attempts, job.deaths) == (0, 0)
        assert job.claims == claims
        assert job.due_at == about(now + 60)
        assert job.expires_at == about(now + 80)
        assert job.deadline == about(now + 500)
        assert (job.keep, job.keep_failed) == (about(1), about(2))
        assert holder(store) == "a"
        assert Hand(store).claim(10, "default", "new", limits={"thread": 9, "loop": 9}) == []
        clock.travel(60)
        assert store.promote() == (1, None)
        (claim,) = Hand(store).claim(10, "default", "new", limits={"thread": 9, "loop": 9})
        assert (claim.id, claim.payload, claim.claims) == ("a", b"new", claims + 1)
        assert {each.queue: each.counts[State.RUNNING] for each in store.stats(["new"])} == {
            "new": 1
        }

    def test_replace_can_take_expiry_and_deadline_away(self, store: Store) -> None:
        add(store, "a", lock=LOCK, expires=9.0, deadline=Moment(9.0))
        assert store.enqueue([new("b", lock=REPLACE)]) == [("a", "replaced")]
        job = look(store, "a")
        assert (job.expires_at, job.deadline) == (None, None)

    def test_a_scheduled_job_replaced_by_one_due_now_is_ready_and_promoted_no_more(
        self, store: Store, clock: TravelClock
    ) -> None:
        add(store, "a", lock=LOCK, due=Moment(60.0))
        assert store.enqueue([new("b", lock=REPLACE)]) == [("a", "replaced")]
        assert states(store, "a") == [State.READY]
        clock.travel(100)
        assert store.promote() == (0, None)
        assert Hand(store).ids() == ["a"]
        assert Hand(store).ids() == []

    def test_a_replaced_job_arrives_anew(self, store: Store) -> None:
        add(store, "a", lock=LOCK)
        add(store, "b", "c")
        assert store.enqueue([new("z", lock=REPLACE)]) == [("a", "replaced")]
        assert Hand(store).ids() == ["b", "c", "a"]

    def test_replace_again_and_again_leaves_one_job(self, store: Store) -> None:
        add(store, "a", lock=LOCK, due=Moment(10.0))
        for n in range(50):
            replacement = new(f"z{n}", lock=REPLACE, due=Moment(n % 3), payload=b"%d" % n)
            assert store.enqueue([replacement]) == [("a", "replaced")]
        store.enqueue([new("z", lock=REPLACE, payload=b"last")])
        (claim,) = Hand(store).claim(100)
        assert (claim.id, claim.payload) == ("a", b"last")
        (stats,) = store.stats()
        assert {state: n for state, n in stats.counts.items() if n} == {State.RUNNING: 1}

    def test_replace_without_a_holder_creates(self, store: Store) -> None:
        assert store.enqueue([new("a", lock=REPLACE)]) == [("a", "created")]
        assert holder(store) == "a"

    def test_a_running_holder_is_busy(self, store: Store) -> None:
        into(store, "a", State.RUNNING, lock=LOCK)
        before = look(store, "a")
        assert store.enqueue([new("b", lock=REPLACE, payload=b"other")]) == [("a", "busy")]
        assert store.get(["b"]) == [None]
        assert look(store, "a") == before

    def test_a_job_ends_as_before_after_it_was_replaced(self, store: Store) -> None:
        add(store, "a", lock=LOCK)
        store.enqueue([new("b", lock=REPLACE)])
        run(store, "a")
        assert holder(store) is None

    # -- how long ----------------------------------------------------------------------
    def test_the_lock_ends_with_its_ttl_and_the_job_goes_on(
        self, store: Store, clock: TravelClock
    ) -> None:
        add(store, "a", lock=Lock("key", ttl=60.0))
        clock.travel(59)
        assert holder(store) == "a"
        clock.travel(2)
        add(store, "b", lock=LOCK)
        assert holder(store) == "b"
        assert Hand(store).ids() == ["a", "b"]

    @pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.CANCELLED])
    def test_a_job_whose_lock_lapsed_does_not_free_the_lock_of_the_next(
        self, store: Store, clock: TravelClock, state: State
    ) -> None:
        add(store, "a", lock=Lock("key", ttl=60.0))
        clock.travel(61)
        add(store, "b", lock=LOCK, due=Moment(60.0))
        run(store, "a", state)
        assert holder(store) == "b"
        assert store.delete(["a"]) == ["deleted"]
        assert holder(store) == "b"

    def test_a_ttl_counts_while_the_job_is_scheduled(
        self, store: Store, clock: TravelClock
    ) -> None:
        add(store, "a", lock=Lock("key", ttl=60.0), due=Moment(100.0))
        clock.travel(61)
        assert holder(store) is None
        assert states(store, "a") == [State.SCHEDULED]

    def test_replace_does_not_touch_a_job_whose_lock_lapsed(
        self, store: Store, clock: TravelClock
    ) -> None:
        add(store, "a", lock=Lock("key", ttl=60.0))
        clock.travel(61)
        assert store.enqueue([new("b", lock=REPLACE)]) == [("b", "created")]
        assert Hand(store).ids() == ["a", "b"]

    def test_until_start_ends_with_the_first_claim(self, store: Store) -> None:
        add(store, "a", lock=Lock("key", until_start=True))
        assert holder(store) == "a"
        hand = Hand(store)
        claim = hand.one()
        assert holder(store) is None
        add(store, "b", lock=LOCK)
        assert hand.finish(claim, State.RETRYING, delay=0.0) == "done"
        assert holder(store) == "b"
        run(store, "b")
        assert holder(store) is None
        run(store, "a")

    @pytest.mark.parametrize(
        "state", [State.SUCCEEDED, State.FAILED, State.CANCELLED, State.EXPIRED]
    )
    @pytest.mark.parametrize("keep", [0.0, 60.0])
    def test_every_end_frees_the_key(self, store: Store, state: State, keep: float) -> None:
        add(store, "a", lock=LOCK, keep=keep, keep_failed=keep)
        run(store, "a", state)
        assert holder(store) is None

    @pytest.mark.parametrize("state", [State.SCHEDULED, State.READY, State.RETRYING])
    def test_cancel_and_delete_of_a_waiting_job_free_the_key(
        self, store: Store, state: State
    ) -> None:
        into(store, "a", state, lock=LOCK)
        assert store.cancel(["a"]) == ["cancelled"]
        assert holder(store) is None
        store.delete(["a"])
        into(store, "b", state, lock=LOCK)
        assert store.delete(["b"]) == ["deleted"]
        assert holder(store) is None

    def test_a_cancel_while_it_runs_frees_the_key_when_it_ends(self, store: Store) -> None:
        add(store, "a", lock=LOCK)
        hand = Hand(store)
        claim = hand.one()
        store.cancel(["a"])
        assert holder(store) == "a"
        assert hand.finish(claim, State.RETRYING, delay=9.0) == "cancelled"
        assert holder(store) is None

    def test_the_key_is_kept_by_retrying_snoozing_giving_back_and_reclaim(
        self, store: Store, clock: TravelClock
    ) -> None:
        add(store, "a", lock=LOCK)
        hand = Hand(store, ttl=1e6)
        for state in (State.RETRYING, State.SCHEDULED, State.READY):
            assert hand.finish(hand.one(), state, delay=60.0) == "done"
            assert holder(store) == "a"
            clock.travel(61)
            store.promote()
            assert holder(store) == "a"
        hand.one()
        store.end(hand.lease)
        other = Hand(store)
        (claim,) = other.reclaim(hand)
        assert holder(store) == "a"
        assert other.finish(claim) == "done"
        assert holder(store) is None

    # -- requeue -------------------------------------------------------------------------
    @pytest.mark.parametrize(
        "state", [State.SUCCEEDED, State.FAILED, State.CANCELLED, State.EXPIRED]
    )
    def test_requeue_is_refused_when_another_job_holds_the_key(
        self, store: Store, state: State
    ) -> None:
        add(store, "a", lock=LOCK)
        run(store, "a", state)
        add(store, "b", lock=LOCK)
        before = look(store, "a")
        assert store.requeue(["a"]) == ["refused"]
        assert look(store, "a") == before
        run(store, "b")
        assert store.requeue(["a"]) == ["requeued"]
        assert store.requeue(["b"]) == ["refused"]

    def test_a_requeued_job_holds_its_key_again(self, store: Store) -> None:
        add(store, "a", lock=LOCK)
        run(store, "a")
        assert store.requeue(["a"]) == ["requeued"]
        assert holder(store) == "a"
        run(store, "a")
        assert holder(store) is None

    def test_requeue_of_a_waiting_job_keeps_its_key(self, store: Store) -> None:
        into(store, "a", State.RETRYING, lock=LOCK)
        assert store.requeue(["a"]) == ["requeued"]
        assert holder(store) == "a"
