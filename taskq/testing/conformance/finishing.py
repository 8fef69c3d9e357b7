"""Finish and note: the one way out of running, and who may take it."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from taskq.job import ENDED, MAX_ERRORS, MAX_LOG, Note, Outcome, State
from taskq.store import Store
from taskq.testing.clock import TravelClock
from taskq.testing.conformance.tools import (
    PATIENCE,
    Bench,
    Hand,
    about,
    add,
    all_pages,
    apart,
    into,
    look,
    new,
    run,
    states,
    still_waits,
)

OUTCOMES = [state for state in State if state is not State.RUNNING]
ENDS = sorted(ENDED)


class Finishing(Bench):
    @pytest.mark.parametrize("state", ENDS)
    def test_an_ended_job_keeps_what_its_outcome_says(
        self, store: Store, clock: TravelClock, state: State
    ) -> None:
        add(store, "a")
        hand = Hand(store)
        claim = hand.one()
        clock.travel(7)
        answer = hand.finish(claim, state, attempts=3, deaths=1, result=b"result", error=b"error")
        assert answer == "done"
        job = look(store, "a")
        assert (job.state, job.attempts, job.deaths, job.claims) == (state, 3, 1, 1)
        assert job.errors == [b"error"]
        if state is State.SUCCEEDED:
            assert job.result == b"result"
        assert job.ended_at == about(clock.now())
        assert job.started_at == about(clock.now() - 7)
        clock.travel(60)
        store.promote()
        assert hand.claim(9) == []
        assert store.renew(hand.lease) == []

    def test_a_retry_is_due_after_its_delay(self, store: Store, clock: TravelClock) -> None:
        add(store, "a")
        hand = Hand(store)
        claim = hand.one()
        assert hand.finish(claim, State.RETRYING, delay=10.0, attempts=1, error=b"e1") == "done"
        job = look(store, "a")
        assert (job.state, job.attempts, job.errors) == (State.RETRYING, 1, [b"e1"])
        assert job.due_at == about(clock.now() + 10)
        assert (job.ended_at, job.result) == (None, None)
        clock.travel(9)
        assert store.promote() == (0, about(1))
        assert hand.claim(1) == []
        clock.travel(1.01)
        assert store.promote() == (1, None)
        again = hand.one()
        assert (again.attempts, again.claims) == (1, 2)

    @pytest.mark.parametrize("delay", [0.0, -5.0])
    def test_a_retry_without_delay_is_ready_at_once(self, store: Store, delay: float) -> None:
        add(store, "a")
        hand = Hand(store)
        assert hand.finish(hand.one(), State.RETRYING, delay=delay, attempts=1) == "done"
        assert states(store, "a") == [State.READY]
        assert hand.one().attempts == 1
        assert store.promote() == (0, None)

    def test_a_snooze_is_scheduled_and_due_after_its_delay(
        self, store: Store, clock: TravelClock
    ) -> None:
        add(store, "a")
        hand = Hand(store)
        assert hand.finish(hand.one(), State.SCHEDULED, delay=10.0, attempts=0) == "done"
        job = look(store, "a")
        assert (job.state, job.attempts) == (State.SCHEDULED, 0)
        assert job.due_at == about(clock.now() + 10)
        clock.travel(11)
        assert store.promote().moved == 1
        assert hand.one().attempts == 0

    def test_a_snooze_without_delay_runs_again_after_promote(self, store: Store) -> None:
        add(store, "a")
        hand = Hand(store)
        assert hand.finish(hand.one(), State.SCHEDULED, delay=0.0) == "done"
        store.promote()
        assert hand.one().claims == 2

    def test_a_job_given_back_is_ready(self, store: Store, clock: TravelClock) -> None:
        add(store, "a")
        due = look(store, "a").due_at
        hand = Hand(store)
        clock.travel(5)
        assert hand.finish(hand.one(), State.READY, attempts=0, started=False) == "done"
        job = look(store, "a")
        assert (job.state, job.attempts, job.due_at) == (State.READY, 0, about(due))
        assert job.ended_at is None

    @pytest.mark.parametrize("state", [State.READY, State.RETRYING, State.SCHEDULED])
    def test_an_outcome_may_change_priority_and_arguments(
        self, store: Store, clock: TravelClock, state: State
    ) -> None:
        add(store, "a", payload=b"old")
        hand = Hand(store)
        claim = hand.one()
        assert hand.finish(claim, state, delay=1.0, priority=9, payload=b"new") == "done"
        add(store, "b", priority=8)
        add(store, "c", priority=10)
        clock.travel(2)
        store.promote()
        claims = hand.claim(9)
        assert [(each.id, each.priority) for each in claims] == [("c", 10), ("a", 9), ("b", 8)]
        assert claims[1].payload == look(store, "a").payload == b"new"
        assert look(store, "a").priority == 9

    def test_expires_holds_until_the_job_has_started(
        self, store: Store, clock: TravelClock
    ) -> None:
        add(store, "a", expires=60.0)
        expires = about(clock.now() + 60)
        hand = Hand(store)
        assert hand.finish(hand.one(), State.READY, started=False) == "done"
        assert look(store, "a").expires_at == expires
        claim = hand.one()
        assert claim.expires_at == expires
        assert hand.finish(claim, State.RETRYING, started=True) == "done"
        assert look(store, "a").expires_at is None
        assert hand.one().expires_at is None

    def test_errors_are_kept_oldest_first_and_cut(self, store: Store) -> None:
        add(store, "a")
        hand = Hand(store)
        for n in range(MAX_ERRORS + 5):
            hand.finish(hand.one(), State.RETRYING, attempts=n + 1, error=b"%d" % n)
        hand.finish(hand.one(), State.SUCCEEDED, attempts=99)
        expected = [b"%d" % n for n in range(5, MAX_ERRORS + 5)]
        assert look(store, "a").errors == expected

    def test_each_outcome_of_a_batch_is_judged_by_itself(self, store: Store) -> None:
        add(store, *(f"j{n}" for n in range(6)))
        hand, other = Hand(store), Hand(store)
        claims = hand.claim(4)
        foreign = other.one()
        hand.finish(claims[1])
        store.cancel([claims[3].id])
        outcomes = [
            Outcome(foreign, State.FAILED),
            Outcome(claims[0], State.SUCCEEDED),
            Outcome(claims[1], State.FAILED),
            Outcome(replace(claims[2], claims=9), State.FAILED),
            Outcome(claims[2], State.RETRYING, delay=5.0),
            Outcome(claims[2], State.FAILED),
            Outcome(claims[3], State.FAILED),
        ]
        answers = store.finish(hand.lease, outcomes)
        assert answers == ["lost", "done", "already", "lost", "done", "already", "cancelled"]
        assert states(store, *(f"j{n}" for n in range(6))) == [
            State.SUCCEEDED,
            State.SUCCEEDED,
            State.RETRYING,
            State.CANCELLED,
            State.RUNNING,
            State.READY,
        ]
        assert store.finish(hand.lease, []) == []

    def test_a_batch_of_500(self, store: Store) -> None:
        add(store, *(f"j{n}" for n in range(500)))
        hand = Hand(store)
        outcomes = [Outcome(claim, State.SUCCEEDED, result=b"1") for claim in hand.claim(500)]
        assert store.finish(hand.lease, outcomes) == ["done"] * 500
        assert store.finish(hand.lease, outcomes) == ["already"] * 500

    # -- the token ------------------------------------------------------------------------
    @pytest.mark.parametrize("state", OUTCOMES)
    def test_the_same_token_again_is_answered_already_and_writes_nothing(
        self, store: Store, state: State
    ) -> None:
        add(store, "a")
        hand = Hand(store)
        claim = hand.one()
        assert hand.finish(claim, state, delay=60.0, attempts=1, error=b"e") == "done"
        before = look(store, "a")
        assert hand.finish(claim, state, delay=60.0, attempts=1, error=b"e") == "already"
        assert hand.finish(claim, State.SUCCEEDED, result=b"x") == "already"
        assert look(store, "a") == before
        assert before.state is state

    def test_the_same_token_again_is_answered_already_when_the_record_was_not_kept(
        self, store: Store
    ) -> None:
        add(store, "a", "b", keep=0.0)
        hand = Hand(store)
        a, b = hand.claim(2)
        assert hand.finish(a) == "done"
        assert hand.finish(a) == "already"
        outcomes = [Outcome(a, State.SUCCEEDED), Outcome(b, State.SUCCEEDED)]
        assert store.finish(hand.lease, outcomes) == ["already", "done"]

    def test_an_old_token_is_lost_after_a_reclaim(self, store: Store, clock: TravelClock) -> None:
        add(store, "a")
        old, hand = Hand(store, ttl=30.0), Hand(store, ttl=1e6)
        stale = old.one()
        clock.travel(31)
        (claim,) = hand.reclaim(old)
        before = look(store, "a")
        assert old.finish(stale, result=b"late") == "lost"
        assert look(store, "a") == before
        assert hand.finish(claim, State.RETRYING, delay=5.0) == "done"
        assert old.finish(stale, result=b"late") == "lost"
        assert states(store, "a") == [State.RETRYING]

    def test_an_old_token_writes_nothing_when_the_job_is_claimed_again(self, store: Store) -> None:
        add(store, "a")
        hand, other = Hand(store), Hand(store)
        first = hand.one()
        hand.back([first])
        second = hand.one()
        # It has written before, and it no longer holds: either may be said.
        refused = ("already", "lost")
        assert hand.finish(first, State.FAILED) in refused
        assert states(store, "a") == [State.RUNNING]
        hand.back([second])
        third = other.one()
        assert hand.finish(second, State.FAILED) in refused
        assert look(store, "a").lease == other.lease
        assert other.finish(third, result=b"third") == "done"
        assert hand.finish(second, State.FAILED) in refused
        assert look(store, "a").result == b"third"

    def test_a_token_of_another_lease_or_of_none_is_lost(self, store: Store) -> None:
        add(store, "a")
        hand, other = Hand(store), Hand(store)
        claim = hand.one()
        before = look(store, "a")
        outcomes = [Outcome(claim, State.SUCCEEDED)]
        assert store.finish(other.lease, outcomes) == ["lost"]
        assert store.finish("unknown", outcomes) == ["lost"]
        assert hand.finish(replace(claim, claims=2)) == "lost"
        assert hand.finish(replace(claim, claims=0)) == "lost"
        assert look(store, "a") == before

    def test_a_token_is_lost_when_job_and_lease_are_gone(self, store: Store) -> None:
        add(store, "a", keep=0.0)
        old = Hand(store)
        claim = old.one()
        store.end(old.lease)
        hand = Hand(store)
        (taken,) = hand.reclaim(old)
        assert hand.finish(taken) == "done"
        assert store.get(["a"]) == [None]
        assert old.finish(claim) == "lost"

    # -- cancel -------------------------------------------------------------------------
    @pytest.mark.parametrize("state", OUTCOMES)
    def test_a_job_asked_to_stop_ends_cancelled_unless_it_succeeded(
        self, store: Store, clock: TravelClock, state: State
    ) -> None:
        add(store, "a")
        hand = Hand(store)
        claim = hand.one()
        assert store.cancel(["a"]) == ["asked"]
        assert look(store, "a").cancel_requested
        answer = hand.finish(claim, state, delay=5.0, attempts=1)
        job = look(store, "a")
        if state is State.SUCCEEDED:
            assert (answer, job.state) == ("done", State.SUCCEEDED)
        else:
            assert (answer, job.state) == ("cancelled", State.CANCELLED)
        assert job.ended_at == about(clock.now())
        assert hand.finish(claim, state) == "already"
        clock.travel(60)
        store.promote()
        assert hand.claim(1) == []

    # -- keep -----------------------------------------------------------------------------
    @pytest.mark.parametrize("state", ENDS)
    def test_keep_0_deletes_at_once(self, store: Store, state: State) -> None:
        failed = state is State.FAILED
        add(store, "gone", keep=60.0 * failed, keep_failed=60.0 * (not failed))
        add(store, "kept", keep=60.0 * (not failed), keep_failed=60.0 * failed)
        hand = Hand(store)
        assert [hand.finish(claim, state) for claim in hand.claim(2)] == ["done"] * 2
        assert states(store, "gone", "kept") == [None, state]
        assert [job.id for job in all_pages(store)] == ["kept"]
        (stats,) = store.stats()
        assert {state: n for state, n in stats.counts.items() if n} == {state: 1}

    def test_a_job_not_kept_is_gone_when_a_cancel_ends_it(self, store: Store) -> None:
        into(store, "a", State.SCHEDULED, keep=0.0)
        assert store.cancel(["a"]) == ["cancelled"]
        add(store, "b", keep=0.0)
        hand = Hand(store)
        claim = hand.one()
        store.cancel(["b"])
        assert hand.finish(claim, State.FAILED) == "cancelled"
        assert store.get(["a", "b"]) == [None, None]

    def test_keep_0_holds_for_the_end_not_for_a_retry(self, store: Store) -> None:
        add(store, "a", keep=0.0, keep_failed=0.0)
        hand = Hand(store)
        for state in (State.RETRYING, State.READY):
            assert hand.finish(hand.one(), state) == "done"
            assert states(store, "a") == [State.READY]


class Notes(Bench):
    def test_a_note_writes_what_it_has_and_leaves_the_rest(self, store: Store) -> None:
        add(store, "a", payload=b"old")
        hand = Hand(store)
        claim = hand.one()
        assert store.note(hand.lease, claim, Note(progress=b"10", log=[b"one", b"two"]))
        assert store.note(hand.lease, claim, Note(checkpoint=b"row 5"))
        assert store.note(hand.lease, claim, Note())
        assert store.note(hand.lease, claim, Note(progress=b"", log=[b""]))
        job = look(store, "a")
        assert (job.progress, job.checkpoint, job.payload) == (b"", b"row 5", b"old")
        assert job.log == [b"one", b"two", b""]
        assert store.note(hand.lease, claim, Note(payload=b"new"))
        assert look(store, "a").payload == b"new"
        assert look(store, "a").state is State.RUNNING

    def test_the_next_claim_has_checkpoint_and_arguments_of_the_last(self, store: Store) -> None:
        add(store, "a")
        hand = Hand(store)
        claim = hand.one()
        store.note(hand.lease, claim, Note(checkpoint=b"row 5", payload=b"new", log=[b"x"]))
        hand.finish(claim, State.RETRYING, attempts=1)
        again = hand.one()
        assert (again.checkpoint, again.payload) == (b"row 5", b"new")
        hand.finish(again)
        job = look(store, "a")
        assert (job.checkpoint, job.payload, job.log) == (b"row 5", b"new", [b"x"])

    def test_the_log_is_cut_to_its_last_lines(self, store: Store) -> None:
        add(store, "a")
        hand = Hand(store)
        claim = hand.one()
        lines = [b"%d" % n for n in range(MAX_LOG + 30)]
        for start in range(0, len(lines), 23):
            assert store.note(hand.lease, claim, Note(log=lines[start : start + 23]))
        assert look(store, "a").log == lines[-MAX_LOG:]
        assert store.note(hand.lease, claim, Note(log=[b"x"] * (MAX_LOG * 2)))
        assert look(store, "a").log == [b"x"] * MAX_LOG

    @pytest.mark.parametrize("note", [b"", bytes(range(256)), b"x" * 2**20], ids=len)
    def test_notes_are_opaque_bytes(self, store: Store, note: bytes) -> None:
        add(store, "a")
        hand = Hand(store)
        claim = hand.one()
        assert store.note(hand.lease, claim, Note(note, note, note, [note, note]))
        job = look(store, "a")
        assert (job.progress, job.checkpoint, job.payload) == (note, note, note)
        assert job.log == [note, note]

    def test_a_note_is_fenced(self, store: Store, clock: TravelClock) -> None:
        add(store, "a", "b")
        hand, other = Hand(store, ttl=30.0), Hand(store, ttl=1e6)
        a, b = hand.claim(2)
        note = Note(b"late", b"late", b"late", [b"late"])
        before = store.get(["a", "b"])
        assert not store.note(other.lease, a, note)
        assert not store.note("unknown", a, note)
        assert not store.note(hand.lease, replace(a, claims=2), note)
        assert not store.note(hand.lease, replace(a, id="c"), note)
        assert store.get(["a", "b"]) == before
        hand.finish(a, State.RETRYING, delay=9.0)
        clock.travel(31)
        (taken,) = other.reclaim(hand)
        before = store.get(["a", "b"])
        assert not store.note(hand.lease, a, note)
        assert not store.note(hand.lease, b, note)
        assert store.get(["a", "b"]) == before
        assert store.note(other.lease, taken, note)


class WaitingForTheEnd(Bench):
    def test_wait_returns_at_once_when_one_has_ended_or_is_not_there(self, store: Store) -> None:
        add(store, "a", "b")
        run(store, "a")
        for ids in (["a"], ["b", "a"], ["unknown"], ["b", "unknown"]):
            found = apart(partial(store.wait, ids, 600.0)).result(PATIENCE)
            assert found == store.get(ids)
        assert apart(partial(store.wait, [], 600.0)).result(PATIENCE) == []

    @pytest.mark.parametrize("timeout", [0.0, 0.05])
    def test_wait_returns_after_its_timeout(self, store: Store, timeout: float) -> None:
        add(store, "a", "b")
        found = apart(partial(store.wait, ["a", "b"], timeout)).result(PATIENCE)
        assert found == store.get(["a", "b"])

    @pytest.mark.parametrize("way", ["finish", "not kept", "cancel", "delete", "asked to stop"])
    def test_wait_is_woken_by_every_end(self, store: Store, way: str) -> None:
        add(store, "a", keep=0.0 if way == "not kept" else 60.0)
        store.enqueue([new("b", queue="other")])
        hand = Hand(store)
        claim = hand.one() if way not in ("cancel", "delete") else None
        future = apart(partial(store.wait, ["b", "a"], 600.0))
        assert still_waits(future)
        if claim is None:
            (store.cancel if way == "cancel" else store.delete)(["a"])
        else:
            if way == "asked to stop":
                store.cancel(["a"])
            hand.finish(claim, State.FAILED if way == "asked to stop" else State.SUCCEEDED)
        found = future.result(PATIENCE)
        assert found == store.get(["b", "a"])
        assert found[1] is None or found[1].state.ended

    def test_wait_is_not_ended_by_a_retry(self, store: Store) -> None:
        add(store, "a")
        future = apart(partial(store.wait, ["a"], 600.0))
        hand = Hand(store)
        for state in (State.RETRYING, State.READY):
            hand.finish(hand.one(), state)
            assert still_waits(future)
        hand.finish(hand.one())
        (job,) = future.result(PATIENCE)
        assert job is not None
        assert job.state is State.SUCCEEDED

    def test_many_wait_for_one(self, store: Store) -> None:
        add(store, "a")
        futures = [apart(partial(store.wait, ["a"], 600.0)) for _ in range(5)]
        assert all(still_waits(future) for future in futures)
        run(store, "a")
        assert [[job and job.state for job in each.result(PATIENCE)] for each in futures] == (
            [[State.SUCCEEDED]] * 5
        )
