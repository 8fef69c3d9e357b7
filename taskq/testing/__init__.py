"""For the tests of those who use taskq: no server, no worker process, nothing to wait for.

Three ways to handle the jobs that the code under test enqueues::

    from taskq.testing import eager, recorded, run_jobs

    with eager(app):                             # each job runs at once, where it is enqueued
        assert send_welcome.delay(7).result() == "sent"

    with recorded(app) as jobs:                  # nothing runs; look at what was enqueued
        sign_up("ada@example.org")
        jobs.assert_enqueued(send_welcome, args=(7,))

    with recorded(app):                          # the real worker runs it, until all is done
        sign_up("ada@example.org")
        ran = run_jobs(app)
        assert ran.succeeded == 1

In each of them jobs live in memory, whatever the app's URL says, for the time of the block;
arguments and results go through the app's codec, and retries through the same decision as in
production. ``with … as jobs: jobs.clock.travel(3600)`` lets an hour pass. Without an app the
only one there is is meant (or the framework's current one).

Under unittest: ``self.jobs = self.enterContext(recorded(app))``. With pytest there are the
fixtures of `taskq.testing.plugin`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from taskq.testing.clock import TravelClock
    from taskq.testing.inline import eager
    from taskq.testing.jobs import EnqueuedJob, Jobs
    from taskq.testing.memory import TickingClock
    from taskq.testing.recording import recorded
    from taskq.testing.running import Ran, arun_jobs, run_jobs

__all__ = [
    "eager",
    "recorded",
    "run_jobs",
    "arun_jobs",
    "Jobs",
    "EnqueuedJob",
    "Ran",
    "TickingClock",
    "TravelClock",
]

_WHERE = {
    "eager": "inline",
    "recorded": "recording",
    "run_jobs": "running",
    "arun_jobs": "running",
    "Ran": "running",
    "Jobs": "jobs",
    "EnqueuedJob": "jobs",
    "TickingClock": "memory",
    "TravelClock": "clock",
}


def __getattr__(name: str) -> Any:
    # Loaded when first asked for: pytest loads the plugin, and with it this package, in every
    # run of every project that has taskq installed.
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    value = getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    globals()[name] = value
    return value
