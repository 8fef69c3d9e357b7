"""What a running task tells of itself."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any

import pytest

from taskq import (
    JobHandle,
    TaskQ,
    current_job,
)
from tests.support.wait import until, wait_until


def test_progress_and_log_can_be_read_while_it_runs(app: TaskQ) -> None:
    """RUN-15"""
    release = threading.Event()

    @app.task
    def work() -> None:
        job = current_job()
        job.progress(1, 3, "one")
        job.log("first line")
        job.progress(2, 3)
        job.log("second \udcff line")
        assert release.wait(30)
        job.progress(3, 3, "done")
        job.log("last line")

    with app.worker():
        job = work.delay()
        wait_until(lambda: job.info().progress == {"done": 2, "total": 3})
        wait_until(lambda: len(job.info().log) == 2)
        assert job.running()
        release.set()
        job.result(10)
        info = job.info()
        assert info.progress == {"done": 3, "total": 3, "text": "done"}
        assert info.log == ["first line", "second ? line", "last line"]


def tells(job: JobHandle[Any], number: int) -> bool:
    return job.info().progress == {"done": number}


async def test_progress_of_async_tasks(aapp: TaskQ) -> None:
    """RUN-15"""
    app, release = aapp, threading.Event()

    @app.task
    async def work(number: int) -> None:
        current_job().progress(number)
        await until(release.is_set)

    with app.worker():
        jobs = await work.adelay_many([(number,) for number in range(20)])
        for number, job in enumerate(jobs):
            await until(partial(tells, job, number))
        release.set()
        for job in jobs:
            await job.aresult(10)


@pytest.mark.parametrize("value", [object(), float("nan")], ids=["object", "nan"])
def test_progress_that_cannot_travel_is_the_tasks_error(app: TaskQ, value: Any) -> None:
    @app.task(max_retry=0)
    def work() -> None:
        current_job().progress(value)

    with app.worker():
        raised = work.delay().exception(10)
    assert raised is not None
    assert raised.type == "taskq.errors.EncodeError"
