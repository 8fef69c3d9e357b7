"""The mode in which nothing runs, until ``run_jobs`` does it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from taskq.testing.clock import TravelClock
from taskq.testing.jobs import Jobs
from taskq.testing.memory import RecordingStore, TickingClock, app_or_current, swapped

if TYPE_CHECKING:
    from taskq.app import TaskQ


@contextmanager
def recorded(app: TaskQ | None = None, *, clock: TravelClock | None = None) -> Iterator[Jobs]:
    """A block in which jobs are enqueued, and none runs::

        with recorded(app) as jobs:
            sign_up("ada@example.org")
        jobs.assert_enqueued(send_welcome, args=("ada@example.org",))

    The jobs are stored in memory, whatever the app's URL says, so everything that a store does
    at an enqueue holds: unique jobs, ids of one's own, due times. Inside of the block they can
    be looked at and cancelled as ever, and `run_jobs` runs them.

    :param app: None: the only app, or the framework's current one.
    :param clock: the time of the block's jobs; None: a `TickingClock`.
    """
    app = app_or_current(app, "recorded()")
    store = RecordingStore(app, clock or TickingClock())
    with swapped(app, store):
        yield store.jobs
