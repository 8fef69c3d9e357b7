"""Stored bytes that are not a job."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from taskq.job import Moment, State
from taskq.store import MALFORMED, Store
from taskq.testing.clock import TravelClock
from taskq.testing.conformance.tools import Bench, Hand, add, all_pages, look

Spoil = Callable[[str], bytes]


class Malformed(Bench):
    @pytest.fixture
    def spoil(self) -> Spoil:
        """Overwrites a stored job, by its id, with something that can't be read; gives the raw
        bytes that have to be kept. For stores whose records somebody else can write.
        """
        pytest.skip("nobody else writes this store's records")

    def test_a_spoilt_job_is_set_aside_and_those_behind_it_run(
        self, store: Store, clock: TravelClock, spoil: Spoil
    ) -> None:
        add(store, "a", "b", "c")
        raw = spoil("b")
        hand = Hand(store)
        found: list[str] = []
        for _ in range(5):
            found += hand.ids(5)
        assert found == ["a", "c"]
        _is_set_aside(store, raw)

    def test_a_spoilt_job_that_is_scheduled_holds_up_nothing(
        self, store: Store, clock: TravelClock, spoil: Spoil
    ) -> None:
        add(store, "a", "b", "c", due=Moment(5.0))
        raw = spoil("b")
        clock.travel(6)
        hand = Hand(store)
        found: list[str] = []
        for _ in range(5):
            store.promote()
            found += hand.ids(5)
        assert found == ["a", "c"]
        _is_set_aside(store, raw)

    def test_a_spoilt_job_can_be_read_about_and_deleted(self, store: Store, spoil: Spoil) -> None:
        add(store, "a", "b")
        spoil("a")
        Hand(store).ids(5)
        (job,) = all_pages(store, state=State.FAILED)
        assert look(store, job.id) == job
        store.stats()
        assert store.delete([job.id]) == ["deleted"]
        assert all_pages(store, state=State.FAILED) == []


def _is_set_aside(store: Store, raw: bytes) -> None:
    (job,) = all_pages(store, state=State.FAILED)
    assert (job.task, job.payload) == (MALFORMED, raw)
    assert job.errors
