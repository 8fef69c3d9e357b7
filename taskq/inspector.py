"""Looking at queues, jobs and workers, and setting them right: what the command line,
dashboards and admin pages use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from taskq.errors import InvalidOption
from taskq.handle import JobInfo, Reader, info_of
from taskq.job import Page, QueueStats, State, WorkerInfo
from taskq.options import OPTIONS, queue_name

if TYPE_CHECKING:
    from typing import Literal

PAGE = 100


class Inspector:
    """From ``app.inspector``. Every call asks the store; nothing is cached."""

    def __init__(self, app: Reader) -> None:
        self._app = app

    def queues(self, names: Sequence[str] | None = None) -> list[QueueStats]:
        """Counts by state, pause and waiting time of the queues, sorted by name."""
        return self._app.store.stats(names)

    def totals(self) -> dict[State, int]:
        """Jobs by state, over all queues."""
        sums = dict.fromkeys(State, 0)
        for stats in self.queues():
            for state, count in stats.counts.items():
                sums[state] += count
        return sums

    def workers(self) -> list[WorkerInfo]:
        """The worker processes that live."""
        return self._app.store.workers()

    def job(self, id: str) -> JobInfo | None:
        """One job; None if there is none."""
        job = self._app.store.get(_ids([id]))[0]
        return None if job is None else info_of(self._app, job)

    def jobs(
        self,
        *,
        queue: str | None = None,
        state: State | str | None = None,
        limit: int | None = None,
    ) -> Iterator[JobInfo]:
        """Jobs page by page: ended ones newest first, others oldest first.

        :param state: a State or its name. :param limit: at most so many; None: all.
        """
        wanted = None if state is None else _state(state)
        if queue is not None:
            queue_name("queue", queue)
        cursor: str | None = None
        left = limit
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            page: Page = self._app.store.browse(
                queue=queue, state=wanted, limit=size, cursor=cursor
            )
            for job in page.jobs:
                yield info_of(self._app, job)
            if left is not None:
                left -= len(page.jobs)
            if page.cursor is None:
                return
            cursor = page.cursor

    def cancel(self, ids: Sequence[str]) -> list[Literal["cancelled", "asked", "ended", "missing"]]:
        """Cancel waiting jobs, ask running ones to stop."""
        return self._app.store.cancel(_ids(ids))

    def retry(
        self, ids: Sequence[str]
    ) -> list[Literal["requeued", "running", "ready", "refused", "missing"]]:
        """Make jobs ready now; ended ones start over with all their attempts."""
        return self._app.store.requeue(_ids(ids))

    def delete(self, ids: Sequence[str]) -> list[Literal["deleted", "running", "missing"]]:
        """Forget jobs that are not running."""
        return self._app.store.delete(_ids(ids))

    def pause(self, queue: str) -> None:
        """Start nothing more from a queue; enqueue goes on. Survives restarts."""
        self._app.store.pause(queue_name("queue", queue), True)

    def resume(self, queue: str) -> None:
        """The end of `pause`."""
        self._app.store.pause(queue_name("queue", queue), False)


def _ids(ids: Sequence[str]) -> Sequence[str]:
    for id in ids:
        OPTIONS["job_id"].check("an id", id)
    return ids


def _state(state: State | str) -> State:
    try:
        return State(state)
    except ValueError:
        names = ", ".join(State)
        raise InvalidOption(f"there is no state {state!r}; there are {names}") from None
