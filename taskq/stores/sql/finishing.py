"""Finish: the one way out of running."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from taskq.job import ENDED, Finished, Outcome, State
from taskq.stores.sql.holding import alive
from taskq.stores.sql.rows import add_lines, forget
from taskq.stores.sql.tx import Row, Tx

_END = (
    "UPDATE taskq_jobs SET state = ?, seq = ?, ended = ?, gone = ?, locked = 0, attempts = ?, "
    "deaths = ?, result = ?, expires = CASE WHEN ? THEN NULL ELSE expires END, "
    "priority = coalesce(?, priority) WHERE num = ?"
)
_MOVE = (
    "UPDATE taskq_jobs SET state = ?, seq = coalesce(?, seq), due = coalesce(?, due), "
    "attempts = ?, deaths = ?, expires = CASE WHEN ? THEN NULL ELSE expires END, "
    "priority = coalesce(?, priority) WHERE num = ?"
)


class _Writes:
    """What the outcomes of a batch change, written together."""

    def __init__(self, tx: Tx, numbers: int) -> None:
        self._tx = tx
        self._number = numbers
        self.ends: list[tuple[Any, ...]] = []
        self.moves: list[tuple[Any, ...]] = []
        self.gone: list[int] = []
        self.payloads: list[tuple[bytes, int]] = []
        self.errors: list[tuple[int, bytes]] = []

    def number(self) -> int:
        self._number += 1
        return self._number - 1

    def add(self, num: int, outcome: Outcome, state: State, keep: float) -> None:
        now = self._tx.now
        if state in ENDED and keep <= 0:
            self.gone.append(num)
            return
        if outcome.error is not None:
            self.errors.append((num, outcome.error))
        if outcome.payload is not None:
            self.payloads.append((outcome.payload, num))
        runs = (outcome.attempts, outcome.deaths)
        rest = (int(outcome.started), outcome.priority, num)
        if state in ENDED:
            result = outcome.result if state is outcome.state else None
            self.ends.append((state.value, self.number(), now, now + keep, *runs, result, *rest))
        elif state is State.READY:
            self.moves.append((state.value, None, None, *runs, *rest))
        elif state is State.RETRYING and outcome.delay <= 0:
            self.moves.append((State.READY.value, self.number(), now, *runs, *rest))
        else:
            due = now + max(outcome.delay, 0.0)
            self.moves.append((state.value, None, due, *runs, *rest))

    def write(self) -> None:
        tx = self._tx
        tx.many(_END, self.ends)
        tx.many(_MOVE, self.moves)
        forget(tx, self.gone)
        tx.many("UPDATE taskq_bodies SET payload = ? WHERE num = ?", self.payloads)
        for num, error in self.errors:
            add_lines(tx, num, "error", [error])


def finish(tx: Tx, lease: str, outcomes: Sequence[Outcome]) -> list[Finished]:
    writes = _Writes(tx, tx.numbers(len(outcomes)))
    holds = alive(tx, lease)
    jobs = {
        row[0]: row
        for row in tx.among(
            "SELECT id, num, state, lease, claims, cancel, keep, keep_failed FROM taskq_jobs "
            "WHERE id IN ($)",
            [outcome.claim.id for outcome in outcomes],
        )
    }
    answers: list[Finished] = []
    written: set[str] = set()
    for outcome in outcomes:
        row = jobs.get(outcome.claim.id)
        answer = _judge(row, lease, outcome, holds, written)
        answers.append(answer)
        if row is None or answer not in ("done", "cancelled"):
            continue
        written.add(outcome.claim.id)
        state = State.CANCELLED if answer == "cancelled" else outcome.state
        writes.add(row[1], outcome, state, row[7] if state is State.FAILED else row[6])
    writes.write()
    return answers


def _judge(
    row: Row | None, lease: str, outcome: Outcome, holds: bool, written: set[str]
) -> Finished:
    if row is None:
        # Nobody else ends a job of a lease that lives: this token did, and the record
        # was not kept.
        return "already" if holds else "lost"
    id, _, state, owner, claims, cancel, _, _ = row
    if owner != lease or claims != outcome.claim.claims:
        return "lost"
    if state != State.RUNNING or id in written:
        return "already"
    if not holds:
        return "lost"
    return "cancelled" if cancel and outcome.state is not State.SUCCEEDED else "done"
