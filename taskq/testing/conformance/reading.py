"""Reading and control: get, browse, stats, cancel, requeue, delete; clients and their life."""

from __future__ import annotations

import pytest

from taskq.job import ENDED, Job, Moment, Note, State
from taskq.store import Store
from taskq.testing.clock import TravelClock
from taskq.testing.conformance.tools import (
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

ENDS = sorted(ENDED)
WAITS = [State.SCHEDULED, State.READY, State.RETRYING]


def ids(jobs: list[Job]) -> list[str]:
    return [job.id for job in jobs]


def fill(store: Store, clock: TravelClock, count: int) -> dict[str, tuple[str, State]]:
    """Jobs in all states over three queues, each enqueued and ended at a time of its own."""
    hand = Hand(store, ttl=1e9)
    made: dict[str, tuple[str, State]] = {}
    order = list(State)
    for n in range(count):
        id, queue, state = f"j{n:04}", f"q{n % 3}", order[n * 7 % len(order)]
        made[id] = (queue, state)
        due = Moment(1e6) if state is State.SCHEDULED else None
        # Ready jobs are of a lane that nobody claims.
        lane = "loop" if state is State.READY else "thread"
        store.enqueue([new(id, queue=queue, due=due, lane=lane, keep=1e9, keep_failed=1e9)])
        if state not in (State.SCHEDULED, State.READY):
            claim = hand.one(queue)
            if state is not State.RUNNING:
                hand.finish(claim, state, delay=1e6 + n)
        clock.travel(1)
    return made


class Reading(Bench):
    def test_get_answers_in_the_order_asked(self, store: Store) -> None:
        add(store, "a", "b", "c")
        found = store.get(["c", "unknown", "a", "", "c"])
        assert [job and job.id for job in found] == ["c", None, "a", None, "c"]
        assert store.get([]) == []

    def test_a_job_that_was_given_out_is_a_snapshot(self, store: Store) -> None:
        add(store, "a")
        hand = Hand(store)
        before = look(store, "a")
        before.errors.append(b"mine")
        claim = hand.one()
        store.note(hand.lease, claim, Note(log=[b"1"]))
        noted = look(store, "a")
        noted.log.append(b"mine")
        hand.finish(claim, State.FAILED, error=b"e")
        assert before.state is State.READY
        assert noted.state is State.RUNNING
        assert (look(store, "a").errors, look(store, "a").log) == ([b"e"], [b"1"])

    def test_get_of_many(self, store: Store) -> None:
        batch = [new(f"j{n}") for n in range(1500)]
        store.enqueue(batch)
        asked = [job.id for job in reversed(batch)]
        assert [job and job.id for job in store.get(asked)] == asked

    # -- browse --------------------------------------------------------------------------
    def test_browse_of_nothing(self, store: Store) -> None:
        assert store.browse() == ([], None)
        assert store.browse(queue="none", state=State.READY) == ([], None)

    def test_browse_gives_every_job_once_by_queue_and_state(
        self, store: Store, clock: TravelClock
    ) -> None:
        made = fill(store, clock, 240)
        for queue in (None, "q0", "q1", "q2", "none"):
            for state in (None, *State):
                expected = [
                    id
                    for id, (of, its) in made.items()
                    if queue in (None, of) and state in (None, its)
                ]
                for limit in (7, 100):
                    found = all_pages(store, limit, queue=queue, state=state)
                    assert sorted(ids(found)) == expected
                    assert {job.state for job in found} <= ({state} if state else set(State))
                if state is not None:
                    # Ended ones newest first, others oldest first.
                    assert ids(found) == (expected[::-1] if state.ended else expected)

    def test_browse_gives_whole_jobs(self, store: Store) -> None:
        add(store, "a", "b")
        run(store, "a", State.FAILED, error=b"e", attempts=2)
        assert {job.id: job for job in all_pages(store)} == {
            "a": look(store, "a"),
            "b": look(store, "b"),
        }

    def test_a_page_that_ends_with_the_last_job_may_be_followed_by_nothing(
        self, store: Store
    ) -> None:
        add(store, *(f"j{n}" for n in range(14)))
        assert ids(all_pages(store, 7)) == [f"j{n}" for n in range(14)]
        assert ids(all_pages(store, 1, state=State.READY)) == [f"j{n}" for n in range(14)]
        assert ids(store.browse(limit=50).jobs) == [f"j{n}" for n in range(14)]
        assert store.browse(limit=50).cursor is None

    @pytest.mark.parametrize("state", [None, State.READY, State.FAILED])
    def test_jobs_that_stay_are_given_once_while_others_come_and_go(
        self, store: Store, clock: TravelClock, state: State | None
    ) -> None:
        total = 60
        for n in range(total):
            add(store, f"j{n}")
            if state is State.FAILED:
                run(store, f"j{n}", State.FAILED)
            clock.travel(1)
        seen: list[str] = []
        cursor: str | None = None
        gone: set[str] = set()
        for round_ in range(1000):
            page = store.browse(state=state, limit=4, cursor=cursor)
            seen += ids(page.jobs)
            if page.cursor is None:
                break
            cursor = page.cursor
            # One that was seen, one that was not, and the one the cursor stands on.
            victims = {seen[0], f"j{(round_ * 17) % total}", seen[-1]}
            store.delete(sorted(victims))
            gone |= victims
            add(store, f"new{round_}")
            if state is State.FAILED:
                store.cancel([f"new{round_}"])
            clock.travel(1)
        else:
            pytest.fail("paging does not come to an end")
        assert len(seen) == len(set(seen))
        assert {f"j{n}" for n in range(total)} - gone <= set(seen)

    @pytest.mark.parametrize("cursor", ["", "nonsense", "-", "🦄", "{}", "../..", "x" * 5000])
    def test_browse_refuses_a_cursor_that_is_not_its_own(self, store: Store, cursor: str) -> None:
        add(store, *(f"j{n}" for n in range(5)))
        for state in (None, State.READY, State.FAILED):
            with pytest.raises(ValueError, match=r".+"):
                store.browse(cursor=cursor, state=state)

    # -- stats ---------------------------------------------------------------------------
    def test_stats_add_up(self, store: Store, clock: TravelClock) -> None:
        made = fill(store, clock, 120)
        stats = store.stats()
        assert [each.queue for each in stats] == ["q0", "q1", "q2"]
        for each in stats:
            for state in State:
                expected = sum(1 for place in made.values() if place == (each.queue, state))
                assert each.counts.get(state, 0) == expected, (each.queue, state)
        assert not any(each.paused for each in stats)

    def test_stats_follow_a_job_through_its_life(self, store: Store, clock: TravelClock) -> None:
        def counts() -> dict[State, int]:
            (stats,) = store.stats()
            return {state: n for state, n in stats.counts.items() if n}

        add(store, "a", due=Moment(5.0))
        assert counts() == {State.SCHEDULED: 1}
        clock.travel(6)
        store.promote()
        assert counts() == {State.READY: 1}
        hand = Hand(store)
        claim = hand.one()
        assert counts() == {State.RUNNING: 1}
        hand.finish(claim, State.RETRYING, delay=5.0)
        assert counts() == {State.RETRYING: 1}
        store.cancel(["a"])
        assert counts() == {State.CANCELLED: 1}
        store.requeue(["a"])
        assert counts() == {State.READY: 1}
        hand.one()
        store.end(hand.lease)
        other = Hand(store)
        (claim,) = other.reclaim(hand)
        assert counts() == {State.RUNNING: 1}
        other.finish(claim, State.FAILED)
        assert counts() == {State.FAILED: 1}
        store.delete(["a"])
        assert counts() == {}

    def test_stats_of_the_queues_asked_for_sorted_by_name(self, store: Store) -> None:
        for queue in ("b", "a", "c"):
            add(store, f"in {queue}", queue=queue)
        store.pause("c")
        assert [each.queue for each in store.stats()] == ["a", "b", "c"]
        asked = store.stats(["c", "never", "a"])
        assert [(each.queue, each.paused) for each in asked] == [
            ("a", False),
            ("c", True),
            ("never", False),
        ]
        assert sum(asked[2].counts.values()) == 0
        assert asked[2].oldest_ready is None
        assert store.stats([]) == []
        assert [each.queue for each in store.stats()] == ["a", "b", "c"]

    def test_oldest_ready_is_how_long_the_first_ready_job_waits(
        self, store: Store, clock: TravelClock
    ) -> None:
        def oldest() -> float | None:
            (stats,) = store.stats(["default"])
            return stats.oldest_ready

        assert oldest() is None
        add(store, "a")
        clock.travel(10)
        add(store, "b", lane="loop")
        clock.travel(5)
        assert oldest() == about(15)
        hand = Hand(store)
        hand.one()
        assert oldest() == about(5)
        (claim,) = hand.claim(limits={"loop": 1})
        assert oldest() is None
        hand.finish(claim, State.RETRYING, delay=0.0)
        clock.travel(3)
        assert oldest() == about(3)
        store.cancel(["b"])
        assert oldest() is None

    # -- cancel --------------------------------------------------------------------------
    @pytest.mark.parametrize("state", WAITS)
    def test_cancel_of_a_waiting_job_is_at_once(
        self, store: Store, clock: TravelClock, state: State
    ) -> None:
        into(store, "a", state)
        assert store.cancel(["a"]) == ["cancelled"]
        job = look(store, "a")
        assert (job.state, job.ended_at) == (State.CANCELLED, about(clock.now()))
        clock.travel(1e6)
        store.promote()
        assert Hand(store).claim(9) == []
        assert store.cancel(["a"]) == ["ended"]

    def test_cancel_answers_each_by_itself(self, store: Store) -> None:
        into(store, "running", State.RUNNING)
        into(store, "ended", State.FAILED)
        add(store, "ready")
        asked = ["missing", "ended", "ready", "running", "running", "ready"]
        assert store.cancel(asked) == ["missing", "ended", "cancelled", "asked", "asked", "ended"]
        assert states(store, "running", "ended") == [State.RUNNING, State.FAILED]
        assert store.cancel([]) == []

    # -- requeue -------------------------------------------------------------------------
    @pytest.mark.parametrize("state", ENDS)
    def test_requeue_of_an_ended_job_starts_it_afresh(
        self, store: Store, clock: TravelClock, state: State
    ) -> None:
        add(store, "a", expires=50.0, deadline=Moment(90.0))
        run(store, "a", state, attempts=4, deaths=2, result=b"r", error=b"e", started=False)
        clock.travel(500)
        assert store.requeue(["a"]) == ["requeued"]
        job = look(store, "a")
        assert (job.state, job.attempts, job.deaths) == (State.READY, 0, 0)
        assert (job.result, job.expires_at, job.deadline) == (None, None, None)
        assert (job.ended_at, job.errors, job.claims) == (None, [b"e"], 1)
        assert job.due_at == about(clock.now())
        claim = Hand(store).one()
        assert (claim.claims, claim.expires_at, claim.deadline) == (2, None, None)

    def test_requeue_of_a_cancelled_job_forgets_the_cancel(self, store: Store) -> None:
        add(store, "a", "b")
        hand = Hand(store)
        claim = hand.one()
        store.cancel(["a", "b"])
        hand.finish(claim, State.FAILED)
        assert store.requeue(["a", "b"]) == ["requeued"] * 2
        assert not look(store, "a").cancel_requested
        assert not look(store, "b").cancel_requested
        claims = hand.claim(2)
        assert store.renew(hand.lease) == []
        assert [hand.finish(each, State.FAILED) for each in claims] == ["done"] * 2
        assert states(store, "a", "b") == [State.FAILED] * 2

    @pytest.mark.parametrize("state", [State.SCHEDULED, State.RETRYING])
    def test_requeue_of_a_waiting_job_makes_it_ready_now(
        self, store: Store, clock: TravelClock, state: State
    ) -> None:
        into(store, "a", state, deadline=Moment(1e6))
        before = look(store, "a")
        assert store.requeue(["a"]) == ["requeued"]
        job = look(store, "a")
        assert (job.state, job.attempts) == (State.READY, before.attempts)
        assert (job.errors, job.deadline) == (before.errors, before.deadline)
        hand = Hand(store)
        claim = hand.one()
        clock.travel(5000)
        assert store.promote() == (0, None)
        assert hand.finish(claim) == "done"

    def test_requeue_answers_each_by_itself(self, store: Store) -> None:
        into(store, "running", State.RUNNING)
        into(store, "failed", State.FAILED)
        add(store, "ready")
        asked = ["missing", "ready", "running", "failed", "failed"]
        assert store.requeue(asked) == ["missing", "ready", "running", "requeued", "ready"]
        assert store.requeue([]) == []
        assert Hand(store).ids() == ["ready", "failed"]

    # -- delete --------------------------------------------------------------------------
    @pytest.mark.parametrize("state", [*WAITS, *ENDS])
    def test_delete_forgets_a_job_that_does_not_run(
        self, store: Store, clock: TravelClock, state: State
    ) -> None:
        into(store, "a", state)
        add(store, "b")
        assert store.delete(["a"]) == ["deleted"]
        assert states(store, "a") == [None]
        assert ids(all_pages(store)) == ["b"]
        (stats,) = store.stats()
        assert {state: n for state, n in stats.counts.items() if n} == {State.READY: 1}
        clock.travel(1e7)
        assert store.promote() == (0, None)
        assert store.prune() == 0
        assert Hand(store).ids() == ["b"]
        assert store.delete(["a"]) == ["missing"]

    def test_delete_answers_each_by_itself(self, store: Store) -> None:
        hand = into(store, "running", State.RUNNING)
        add(store, "a")
        asked = ["missing", "running", "a", "a"]
        assert store.delete(asked) == ["missing", "running", "deleted", "missing"]
        assert store.delete([]) == []
        assert states(store, "running") == [State.RUNNING]
        assert hand is not None
        assert [each.running for each in store.workers()] == [1]


class Life(Bench):
    def test_a_store_says_what_it_is(self, store: Store) -> None:
        assert isinstance(store, Store)
        assert isinstance(store.url, str)
        for flag in (store.shared, store.transactional, store.blocking):
            assert isinstance(flag, bool)

    def test_ping(self, store: Store) -> None:
        store.ping()
        store.ping()

    def test_a_closed_store_may_be_used_again(self, store: Store) -> None:
        add(store, "a")
        store.close()
        store.close()
        assert states(store, "a") == [State.READY]
        assert Hand(store).ids() == ["a"]

    def test_clients_see_the_same_jobs(
        self, store: Store, make_store: MakeStore, clock: TravelClock
    ) -> None:
        if not store.shared:
            pytest.skip("this store has no other clients")
        other = make_store(clock)
        add(store, "a", "b")
        hand = Hand(other)
        assert hand.ids(1) == ["a"]
        assert store.cancel(["a"]) == ["asked"]
        assert other.renew(hand.lease) == ["a"]
        other.close()
        assert store.renew(hand.lease) == ["a"]
        assert states(store, "a", "b") == [State.RUNNING, State.READY]
        assert [each.lease for each in store.workers()] == [hand.lease]
