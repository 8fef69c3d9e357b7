"""Every store against a small model, through any sequence of calls that Hypothesis thinks of."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from taskq.errors import LeaseLost
from taskq.job import LANES, Claim, Lock, Moment, NewJob, Note, Outcome, State, WorkerInfo
from taskq.testing.clock import TravelClock
from tests.store.conftest import FakePlace, NewPlace, Place
from tests.store.model import Model, told

MAX_ENDED = 4
PLENTY = 1000

queues = st.sampled_from(["default", "mail"])
keys = st.sampled_from(["k1", "k2"])
some = st.integers(0, 1000)
"""Picks one of those that there are."""
maybe_seconds = st.sampled_from([None, None, 10.0, 60.0])
small_bytes = st.sampled_from([None, None, b"", b"x", b"\0\xff"])

locks = st.builds(
    Lock,
    key=keys,
    ttl=maybe_seconds,
    until_start=st.booleans(),
    on_duplicate=st.sampled_from(["return", "raise", "replace"]),
)
dues = st.none() | st.builds(Moment, st.sampled_from([-5.0, 0.0, 5.0, 10.0, 10.0, 60.0]))
deadlines = st.none() | st.builds(Moment, st.sampled_from([5.0, 60.0]))
descriptions = st.fixed_dictionaries(
    {
        "queue": queues,
        "lane": st.sampled_from(LANES),
        "priority": st.sampled_from([0, 0, 0, -1, 5]),
        "due": dues,
        "expires": maybe_seconds,
        "deadline": deadlines,
        "keep": st.sampled_from([0.0, 20.0, 1000.0]),
        "keep_failed": st.sampled_from([0.0, 20.0, 1000.0]),
        "lock": st.one_of(st.none(), locks),
    }
)
endings = st.fixed_dictionaries(
    {
        "state": st.sampled_from([state for state in State if state is not State.RUNNING]),
        "delay": st.sampled_from([0.0, 0.0, 5.0, 30.0]),
        "attempts": st.integers(0, 3),
        "deaths": st.integers(0, 2),
        "started": st.booleans(),
        "error": small_bytes,
        "priority": st.sampled_from([None, None, 0, 7]),
        "payload": small_bytes,
    }
)

orders = st.sampled_from([["default", "mail"], ["mail", "default"], ["mail"], ["default"], []])
limits = st.sampled_from(
    [{"thread": 3, "loop": 3}, {"thread": 1}, {"loop": 1}, {"thread": 2, "loop": 0}, {}]
)
olds = st.sampled_from([0, 0, 0, 1, 1, 2])
"""How far a number is behind the next one."""


def _outcome(claim: Claim, way: dict[str, Any]) -> Outcome:
    result = b"result" if way["state"] is State.SUCCEEDED else None
    return Outcome(claim, result=result, **way)


class StoreMachine(RuleBasedStateMachine):
    def new_place(self) -> Place:
        raise NotImplementedError

    def __init__(self) -> None:
        super().__init__()
        self.clock = TravelClock()
        self.store = self.new_place().open(self.clock, max_ended=MAX_ENDED)
        self.model = Model(self.clock.now(), MAX_ENDED)
        self.ids: list[str] = []
        self.leases: list[str] = []
        self.claims: list[tuple[str, Claim]] = []
        self.open_lease(ttl=1000.0)

    def teardown(self) -> None:
        """What is left comes in the order that the model says."""
        for queue in ("default", "mail"):
            self.store.pause(queue, False)
        self.model.paused.clear()
        self.open_lease(ttl=1000.0)
        self._claim(self.leases[-1], 1, ["mail", "default"], {"thread": PLENTY, "loop": PLENTY})
        self.agree()
        self.store.close()

    # -- producing ---------------------------------------------------------------------
    @rule(batch=st.lists(st.tuples(descriptions, st.booleans(), some), min_size=1, max_size=4))
    def enqueue(self, batch: list[tuple[dict[str, Any], bool, int]]) -> None:
        jobs = []
        for description, known, index in batch:
            there = sorted(self.model.records)
            if known and there:
                id = there[index % len(there)]
            else:
                id = f"j{len(self.ids)}"
                self.ids.append(id)
            jobs.append(NewJob(id, "task", b"%d" % len(self.ids), **description))
        expected = [self.model.enqueue(job) for job in jobs]
        assert self.store.enqueue(jobs) == expected

    # -- leases ------------------------------------------------------------------------
    @rule(ttl=st.sampled_from([20.0, 1000.0]))
    def open_lease(self, ttl: float) -> None:
        lease = self.store.open(WorkerInfo("host", 1), ttl)
        self.model.open(lease, ttl)
        self.leases.append(lease)

    @rule(index=some, running=st.lists(some, max_size=4))
    def renew(self, index: int, running: list[int]) -> None:
        lease = self._lease(index)
        ids = [f"j{each % 9}" for each in running]
        asked = self.store.renew(lease, ids)
        assert (None if asked is None else set(asked)) == self.model.renew(lease, ids)

    @rule(index=some)
    def end(self, index: int) -> None:
        lease = self._lease(index)
        self.store.end(lease)
        self.model.end(lease)

    @rule(index=some, old=olds, order=orders, limits=limits)
    def claim(self, index: int, old: int, order: list[str], limits: Any) -> None:
        lease = self._lease(index)
        self._claim(lease, self._number(lease) - old, order, limits)

    @rule(order=orders, limits=limits, ways=st.lists(endings, min_size=1, max_size=3))
    def work(self, order: list[str], limits: Any, ways: list[dict[str, Any]]) -> None:
        """Claim and finish in one step, for more of both."""
        lease = next((each for each in self.leases if self.model.alive(each)), None)
        if lease is None:
            self.open_lease(1000.0)
            lease = self.leases[-1]
        before = len(self.claims)
        self._claim(lease, self._number(lease), order, limits)
        outcomes = [
            (lease, _outcome(claim, way))
            for (_, claim), way in zip(self.claims[before:], ways, strict=False)
        ]
        self._finish(lease, outcomes)

    def _claim(self, lease: str, number: int, order: list[str], limits: Any) -> None:
        try:
            repeated = self.model.again(lease, number) is not None
            expected = self.model.claim(lease, number, order, limits)
        except LeaseLost:
            with pytest.raises(LeaseLost):
                self.store.claim(lease, number, order, limits)
            return
        found = self.store.claim(lease, number, order, limits)
        for lane in LANES:
            claims = [(each.id, each.claims) for each in found.claims if each.lane == lane]
            if repeated:
                # What was claimed before comes in any order.
                assert sorted(claims) == sorted(expected[lane])
            else:
                assert claims == expected[lane]
        assert found.next_due == self.model.next_due()
        self._keep(lease, found.claims)

    @rule(index=some, dead=some, old=olds, limit=st.integers(1, 3))
    def reclaim(self, index: int, dead: int, old: int, limit: int) -> None:
        lease, other = self._lease(index), self._lease(dead)
        number = self._number(lease) - old
        if not self.model.alive(lease):
            with pytest.raises(LeaseLost):
                self.store.reclaim(lease, number, [other], limit)
            return
        found = self.store.reclaim(lease, number, [other], limit)
        expected = self.model.reclaim(lease, number, other, limit, found)
        assert sorted((claim.id, claim.claims, claim.ran) for claim in found) == sorted(expected)
        self._keep(lease, found)

    # -- finishing ---------------------------------------------------------------------
    @precondition(lambda self: self.claims)
    @rule(
        which=st.lists(st.tuples(some, endings), min_size=1, max_size=4),
        recent=st.integers(1, 6),
        foreign=st.sampled_from([False] * 9 + [True]),
        index=some,
    )
    def finish(
        self, which: list[tuple[int, dict[str, Any]]], recent: int, foreign: bool, index: int
    ) -> None:
        claims = self.claims[-recent:] if recent < 6 else self.claims
        picked = [claims[number % len(claims)] for number, _ in which]
        outcomes = [
            (owner, _outcome(claim, way))
            for (owner, claim), (_, way) in zip(picked, which, strict=True)
        ]
        self._finish(self._lease(index) if foreign else picked[0][0], outcomes)

    def _finish(self, lease: str, outcomes: list[tuple[str, Outcome]]) -> None:
        answers = self.store.finish(lease, [outcome for _, outcome in outcomes])
        assert len(answers) == len(outcomes)
        for answer, (owner, outcome) in zip(answers, outcomes, strict=True):
            assert answer in self.model.finish(lease, outcome, owner)

    @precondition(lambda self: self.claims)
    @rule(
        number=some,
        progress=small_bytes,
        checkpoint=small_bytes,
        payload=small_bytes,
        log=st.lists(st.sampled_from([b"", b"line"]), max_size=3),
    )
    def note(self, number: int, log: list[bytes], **changes: bytes | None) -> None:
        lease, claim = self.claims[number % len(self.claims)]
        note = Note(log=log, **changes)
        assert self.store.note(lease, claim, note) == self.model.note(lease, claim, note)

    # -- upkeep ------------------------------------------------------------------------
    @rule(seconds=st.sampled_from([1.0, 5.0, 10.0, 21.0, 60.0]))
    def travel(self, seconds: float) -> None:
        self.clock.travel(seconds)
        self.model.now = self.clock.now()

    @rule(limit=st.sampled_from([1, 2, PLENTY]))
    def promote(self, limit: int) -> None:
        moved = self.model.promote(limit)
        assert self.store.promote(limit) == (moved, self.model.next_due())

    @rule()
    def lapsed(self) -> None:
        found = {each.lease: each.ended for each in self.store.lapsed()}
        for lease, its in self.model.leases.items():
            if not self.model.lapsed(lease):
                assert lease not in found
            elif self.model.held(lease):
                assert found[lease] == its.ended
        assert set(found) <= set(self.model.leases)

    @rule()
    def prune(self) -> None:
        assert self.store.prune(PLENTY) == self.model.prune(PLENTY)
        # A lapsed lease without jobs is among the leftovers that may be dropped.
        for lease in list(self.model.leases):
            if self.model.lapsed(lease) and not self.model.held(lease):
                self.store.end(lease)
                self.model.end(lease)

    # -- control -----------------------------------------------------------------------
    @precondition(lambda self: self.ids)
    @rule(verb=st.sampled_from(["cancel", "requeue", "delete"]), which=st.lists(some, max_size=3))
    def control(self, verb: str, which: list[int]) -> None:
        ids = [self.ids[number % len(self.ids)] for number in which]
        expected = [getattr(self.model, verb)(id) for id in ids]
        assert getattr(self.store, verb)(ids) == expected

    @rule(queue=queues, paused=st.booleans())
    def pause(self, queue: str, paused: bool) -> None:
        self.store.pause(queue, paused)
        (self.model.paused.add if paused else self.model.paused.discard)(queue)

    @rule(
        key=keys,
        owner=st.sampled_from(["a", "b", "c"]),
        ttl=st.sampled_from([10.0, 60.0]),
        slots=st.integers(1, 2),
        release=st.booleans(),
    )
    def lock(self, key: str, owner: str, ttl: float, slots: int, release: bool) -> None:
        if release:
            self.store.release(key, owner)
            self.model.release(key, owner)
            return
        took = self.store.acquire(key, owner, ttl=ttl, slots=slots)
        assert took == self.model.acquire(key, owner, ttl, slots)

    @rule(key=keys, ttl=st.sampled_from([10.0, 60.0]), amount=st.integers(1, 5))
    def tally(self, key: str, ttl: float, amount: int) -> None:
        assert self.store.tally(key, ttl, amount) == self.model.tally(key, ttl, amount)

    @rule(
        queue=st.one_of(st.none(), queues),
        state=st.one_of(st.none(), st.sampled_from(State)),
        limit=st.integers(1, 5),
    )
    def browse(self, queue: str | None, state: State | None, limit: int) -> None:
        found: list[str] = []
        cursor = None
        while True:
            page = self.store.browse(queue=queue, state=state, limit=limit, cursor=cursor)
            found += [job.id for job in page.jobs]
            cursor = page.cursor
            if cursor is None:
                break
        expected = {each: self.model.browse(queue, each) for each in State}
        if state is None:
            assert sorted(found) == sorted(id for ids in expected.values() for id in ids)
        elif state.ended:
            assert found == expected[state]
        else:
            assert sorted(found) == sorted(expected[state])

    # -- what always holds ---------------------------------------------------------------
    @invariant()
    def agree(self) -> None:
        for id, job in zip(self.ids, self.store.get(self.ids), strict=True):
            assert told(job) == told(self.model.job(id))
        stats = self.store.stats()
        assert [each.queue for each in stats] == sorted(self.model.queues)
        for each in stats:
            counts = {state: each.counts.get(state, 0) for state in State}
            assert counts == self.model.counts(each.queue)
            assert each.paused == (each.queue in self.model.paused)
        assert {each.lease: each.running for each in self.store.workers()} == {
            lease: len(self.model.held(lease))
            for lease in self.model.leases
            if not self.model.lapsed(lease)
        }

    # -- picking -----------------------------------------------------------------------
    def _lease(self, index: int) -> str:
        """One of the latest leases: living, lapsed or ended."""
        recent = self.leases[-4:]
        return recent[index % len(recent)]

    def _number(self, lease: str) -> int:
        known = self.model.leases.get(lease)
        return 1 if known is None else known.number + 1 if known.number > 0 else 1

    def _keep(self, lease: str, claims: list[Claim]) -> None:
        known = {(owner, claim.id, claim.claims) for owner, claim in self.claims}
        self.claims += [
            (lease, claim) for claim in claims if (lease, claim.id, claim.claims) not in known
        ]


@pytest.mark.slow
def test_every_store_does_as_the_model(new_place: NewPlace) -> None:
    class Machine(StoreMachine):
        def new_place(self) -> Place:
            return new_place()

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=10 if isinstance(new_place(), FakePlace) else 50,
            stateful_step_count=80,
            deadline=None,
            derandomize=True,
            phases=[Phase.explicit, Phase.generate],  # shrinking takes minutes
            suppress_health_check=list(HealthCheck),
        ),
    )
