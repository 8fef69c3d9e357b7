"""Enqueue: what is stored, idempotence, moments, and bytes that come back as they were."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from taskq.errors import NotSupported
from taskq.job import Moment, State
from taskq.store import Store
from taskq.testing.clock import TravelClock
from taskq.testing.conformance.tools import (
    ODD_TEXTS,
    Bench,
    Hand,
    about,
    add,
    all_pages,
    into,
    look,
    new,
    states,
)

EVERY_BYTE = bytes(range(256))
BYTES = [b"", b"\0", EVERY_BYTE, b"\xff\xfe not utf-8 \xc3", b"\r\n", b"x" * 2**20]


class Enqueueing(Bench):
    def test_a_new_job_is_ready_and_stored_as_given(self, store: Store, clock: TravelClock) -> None:
        now = clock.now()
        (answer,) = store.enqueue(
            [
                new(
                    "a",
                    task="shop.tasks.mail",
                    payload=b"[1]",
                    queue="mail",
                    lane="loop",
                    priority=-7,
                    expires=60.0,
                    deadline=Moment(600.0),
                    keep=5.0,
                    keep_failed=50.0,
                )
            ]
        )
        assert answer == ("a", "created")
        job = look(store, "a")
        assert (job.task, job.payload, job.queue) == ("shop.tasks.mail", b"[1]", "mail")
        assert (job.lane, job.priority, job.state) == ("loop", -7, State.READY)
        assert (job.attempts, job.claims, job.deaths) == (0, 0, 0)
        assert (job.enqueued_at, job.due_at) == (about(now), about(now))
        assert (job.expires_at, job.deadline) == (about(now + 60), about(now + 600))
        assert (job.keep, job.keep_failed) == (about(5), about(50))
        assert (job.started_at, job.ended_at, job.unique_key) == (None, None, None)
        assert (job.result, job.progress, job.checkpoint) == (None, None, None)
        assert (job.errors, job.log, job.cancel_requested) == ([], [], False)

    def test_an_empty_batch_does_nothing(self, store: Store) -> None:
        assert store.enqueue([]) == []
        assert store.stats() == []

    def test_a_job_that_is_due_later_is_scheduled(self, store: Store, clock: TravelClock) -> None:
        add(store, "a", due=Moment(60.0))
        add(store, "b", due=Moment(clock.now() + 90.0, absolute=True))
        assert states(store, "a", "b") == [State.SCHEDULED] * 2
        assert look(store, "a").due_at == about(clock.now() + 60)
        assert look(store, "b").due_at == about(clock.now() + 90)
        assert Hand(store).claim(10) == []

    @pytest.mark.parametrize("ago", [0.0, 5.0, 1e8])
    @pytest.mark.parametrize("absolute", [False, True])
    def test_a_moment_that_is_not_in_the_future_means_now(
        self, store: Store, clock: TravelClock, ago: float, absolute: bool
    ) -> None:
        due = Moment(clock.now() - ago, True) if absolute else Moment(-ago)
        add(store, "a", due=due)
        assert states(store, "a") == [State.READY]
        assert look(store, "a").due_at == about(clock.now())

    def test_expires_counts_from_the_due_time(self, store: Store, clock: TravelClock) -> None:
        add(store, "a", due=Moment(100.0), expires=30.0)
        assert look(store, "a").expires_at == about(clock.now() + 130)

    def test_a_deadline_is_a_duration_or_an_instant(self, store: Store, clock: TravelClock) -> None:
        add(store, "a", deadline=Moment(100.0), due=Moment(50.0))
        add(store, "b", deadline=Moment(clock.now() + 70, absolute=True))
        assert look(store, "a").deadline == about(clock.now() + 100)
        assert look(store, "b").deadline == about(clock.now() + 70)

    def test_moments_decades_ahead_and_at_datetime_max(
        self, store: Store, clock: TravelClock
    ) -> None:
        last = datetime.max.replace(tzinfo=UTC).timestamp()
        decades = 80 * 365 * 86400.0
        add(store, "last", due=Moment(last, absolute=True), deadline=Moment(last, absolute=True))
        add(store, "decades", due=Moment(decades), deadline=Moment(decades), expires=decades)
        add(store, "soon", due=Moment(5.0))
        assert look(store, "last").due_at == about(last)
        assert look(store, "last").deadline == about(last)
        assert look(store, "decades").due_at == about(clock.now() + decades)
        hand = Hand(store, ttl=2 * last)
        clock.travel(5.0)
        assert store.promote().moved == 1
        assert hand.ids() == ["soon"]
        found = store.claim(hand.lease, hand.number, ["default"], {"thread": 1})
        assert found.next_due == about(decades - 5)
        clock.travel(decades - 5)
        assert store.promote() == (1, about(last - clock.now()))
        clock.set(last)
        assert store.promote() == (1, None)
        assert hand.ids() == ["decades", "last"]

    @pytest.mark.parametrize("state", State)
    def test_an_id_that_is_there_is_answered_exists_and_nothing_is_written(
        self, store: Store, state: State
    ) -> None:
        into(store, "a", state)
        before = look(store, "a")
        assert before.state is state
        again = new("a", payload=b"other", queue="other", priority=9, due=Moment(7.0))
        assert store.enqueue([again]) == [("a", "exists")]
        assert look(store, "a") == before
        assert [each.queue for each in store.stats()] == ["default"]

    def test_ids_of_one_batch_are_told_apart_as_if_one_came_after_the_other(
        self, store: Store
    ) -> None:
        batch = [new("a", payload=b"1"), new("b"), new("a", payload=b"2"), new("b")]
        answers = store.enqueue(batch)
        assert answers == [("a", "created"), ("b", "created"), ("a", "exists"), ("b", "exists")]
        assert look(store, "a").payload == b"1"
        assert Hand(store).ids() == ["a", "b"]

    def test_a_batch_that_is_sent_again_is_stored_once(self, store: Store) -> None:
        batch = [new(f"j{n}") for n in range(50)]
        assert {answer.status for answer in store.enqueue(batch)} == {"created"}
        assert store.enqueue(batch) == [(job.id, "exists") for job in batch]
        assert Hand(store).ids() == [job.id for job in batch]

    def test_an_id_is_free_again_when_its_record_is_gone(self, store: Store) -> None:
        add(store, "a", payload=b"1")
        store.delete(["a"])
        add(store, "a", payload=b"2")
        claim = Hand(store).one()
        assert (claim.id, claim.payload) == ("a", b"2")

    def test_a_batch_of_5000_and_claims_of_500(self, store: Store) -> None:
        batch = [new(f"j{n}", payload=b"%d" % n) for n in range(5000)]
        assert store.enqueue(batch) == [(job.id, "created") for job in batch]
        hand = Hand(store)
        for start in range(0, 5000, 500):
            claims = hand.claim(500)
            found = [(claim.id, claim.payload) for claim in claims]
            assert found == [(job.id, job.payload) for job in batch[start : start + 500]]
            if start == 0:
                assert {hand.finish(claim) for claim in claims[:3]} == {"done"}
                hand.back(claims[3:4])
                assert hand.ids(1) == ["j3"]
        assert hand.claim(500) == []
        (stats,) = store.stats()
        assert stats.counts[State.RUNNING] == 4997
        assert stats.counts[State.SUCCEEDED] == 3

    @pytest.mark.parametrize("payload", BYTES, ids=lambda each: f"{each[:8]!r}-{len(each)}")
    def test_payloads_and_results_are_opaque_bytes(self, store: Store, payload: bytes) -> None:
        add(store, "a", payload=payload)
        assert look(store, "a").payload == payload
        hand = Hand(store)
        claim = hand.one()
        assert claim.payload == payload
        assert hand.finish(claim, result=payload, error=payload) == "done"
        job = look(store, "a")
        assert job.payload == payload
        assert job.result == payload
        assert job.errors == [payload]

    def test_many_large_payloads_in_one_batch(self, store: Store) -> None:
        batch = [new(f"j{n}", payload=bytes([n]) * 2**20) for n in range(20)]
        assert {answer.status for answer in store.enqueue(batch)} == {"created"}
        claims = Hand(store).claim(20)
        assert [claim.payload == job.payload for claim, job in zip(claims, batch, strict=True)] == (
            [True] * 20
        )

    @pytest.mark.parametrize("text", ODD_TEXTS)
    def test_odd_texts_are_ids_queues_and_names_like_others(self, store: Store, text: str) -> None:
        store.enqueue([new("before", queue="other")])
        (answer,) = store.enqueue([new(text, task=text, queue=text)])
        assert answer == (text, "created")
        job = look(store, text)
        assert (job.task, job.queue) == (text, text)
        assert [job.id for job in all_pages(store, queue=text)] == [text]
        assert [each.queue for each in store.stats()] == sorted(["other", text])
        assert [each.queue for each in store.stats([text])] == [text]
        store.pause(text)
        hand = Hand(store, queues=[text])
        assert hand.ids(10, text) == []
        store.pause(text, False)
        claim = hand.one(text)
        assert (claim.id, claim.task, claim.queue) == (text, text, text)
        assert [tuple(worker.queues) for worker in store.workers()] == [(text,)]
        assert store.renew(hand.lease, [text]) == []
        assert store.cancel([text]) == ["asked"]
        assert store.renew(hand.lease, [text]) == [text]
        assert hand.finish(claim) == "done"
        assert store.requeue([text]) == ["requeued"]
        assert store.delete([text]) == ["deleted"]
        assert states(store, text, "before") == [None, State.READY]

    def test_a_store_that_is_not_transactional_refuses_a_connection(self, store: Store) -> None:
        if store.transactional:
            pytest.skip("this store writes in transactions of the caller's")
        with pytest.raises(NotSupported):
            store.enqueue([new("a")], connection=object())
        assert store.get(["a"]) == [None]
        add(store, "b")
        hand = Hand(store)
        claim = hand.one()
        with pytest.raises(NotSupported):
            store.finish(hand.lease, [], connection=object())
        assert hand.finish(claim) == "done"
