"""Fixtures for pytest. They are there when taskq is installed; nothing has to be imported.

``taskq_app``
    The app that the others use. Override it in ``conftest.py`` if there is more than one::

        @pytest.fixture
        def taskq_app():
            from shop.jobs import app
            return app

``taskq_eager``
    Every job runs at once, where it is enqueued; gives the `taskq.testing.Jobs`.
``taskq_recorded``
    Nothing runs; gives the `taskq.testing.Jobs` to make assertions about.
``taskq_run_jobs``
    As ``taskq_recorded``, and gives `taskq.testing.run_jobs` for the app: a call runs what was
    enqueued with the real worker.
``taskq_clock``
    The clock of the other fixtures, which travels: ``taskq_clock.travel(3600)``.

The jobs of each test are in memory and are gone after it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta

    from taskq.app import TaskQ
    from taskq.testing.jobs import Jobs
    from taskq.testing.memory import TickingClock
    from taskq.testing.running import Ran

# Nothing of taskq is imported above: this module is loaded in every run of pytest.


class RunJobs(Protocol):
    """What ``taskq_run_jobs`` gives; the parameters are those of `taskq.testing.run_jobs`."""

    def __call__(
        self,
        *,
        timeout: float = ...,
        until: Callable[[], bool] | None = ...,
        travel: bool | float | timedelta = ...,
        raise_errors: bool = ...,
        concurrency: int = ...,
    ) -> Ran: ...


@pytest.fixture
def taskq_app() -> TaskQ:
    """The app under test: the only one there is, or the framework's current one. Override it
    if there are several, or if it has to be imported first."""
    from taskq.testing.memory import app_or_current

    return app_or_current(None, "taskq_app()")


@pytest.fixture
def taskq_clock() -> TickingClock:
    """The clock of the other fixtures: the machine's, and ``travel(seconds)`` lets time pass."""
    from taskq.testing import TickingClock

    return TickingClock()


@pytest.fixture
def taskq_eager(taskq_app: TaskQ, taskq_clock: TickingClock) -> Iterator[Jobs]:
    """Every job of the test runs at once, where it is enqueued; see `taskq.testing.eager`."""
    from taskq.testing import eager

    with eager(taskq_app, clock=taskq_clock) as jobs:
        yield jobs


@pytest.fixture
def taskq_recorded(taskq_app: TaskQ, taskq_clock: TickingClock) -> Iterator[Jobs]:
    """No job of the test runs; what was enqueued can be looked at, and asserted. See
    `taskq.testing.recorded`."""
    from taskq.testing import recorded

    with recorded(taskq_app, clock=taskq_clock) as jobs:
        yield jobs


@pytest.fixture
def taskq_run_jobs(taskq_app: TaskQ, taskq_recorded: Jobs) -> RunJobs:
    """Call it to run what the test has enqueued so far, with the real worker; see
    `taskq.testing.run_jobs`."""
    from functools import partial

    from taskq.testing import run_jobs

    return partial(run_jobs, taskq_app)
