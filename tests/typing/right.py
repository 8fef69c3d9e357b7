"""Right uses. Both type checkers take every line, and reveal what stands behind ``# type:``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import reveal_type

from taskq import (
    Cancel,
    Exponential,
    Fail,
    JobContext,
    Retry,
    Snooze,
    TaskQ,
    Unique,
    current_job,
    task,
)

app = TaskQ("memory://", defaults={"max_retry": 3, "queue": "low"})


@app.task
def double(number: int, *, label: str = "") -> int:
    reveal_type(current_job())  # type: JobContext
    return number * 2


@app.task(queue="mail", max_retry=5, unique=60, timeout=30)
def greet(name: str) -> str:
    return f"hello {name}"


@app.task
async def fetch(url: str) -> bytes:
    return url.encode()


@app.task(
    backoff=Exponential(base=2),
    give_up_on=KeyError,
    retry_on=(OSError, ValueError),
    unique=Unique(by=["url"], ttl=timedelta(minutes=5), until="start"),
    timeout=None,
    keep=timedelta(days=1),
    tags=["web"],
    headers={"trace": "1"},
)
async def crawl(url: str) -> list[str]:
    raise Retry(delay=5, priority=1, args=(url,))


@app.task(backoff=lambda attempt, error: 2.0 * attempt)
def steer(step: int) -> None:
    if step == 1:
        raise Snooze(timedelta(seconds=5), kwargs={"step": 2})
    if step == 2:
        raise Cancel("not wanted")
    raise Fail("no use")


@task
def shared(number: int) -> float:
    return number / 2


@task(queue="low")
async def shared_later(number: int) -> float:
    return number / 2


@app.middleware
@contextmanager
def trace(job: JobContext) -> Iterator[None]:
    reveal_type(job.attempt)  # type: int
    yield


# A direct call runs here and now.
reveal_type(double(1))  # type: int
reveal_type(greet("you"))  # type: str
reveal_type(shared(1))  # type: float

# Enqueued, with the function's own parameters.
reveal_type(double.delay(1, label="x"))  # type: JobHandle[int]
reveal_type(greet.delay("you"))  # type: JobHandle[str]
reveal_type(fetch.delay("/"))  # type: JobHandle[bytes]
reveal_type(crawl.delay("/"))  # type: JobHandle[list[str]]
reveal_type(steer.delay(step=1))  # type: JobHandle[None]
reveal_type(shared.delay(1))  # type: JobHandle[float]
reveal_type(shared_later.delay(1))  # type: JobHandle[float]

# At a time.
reveal_type(double.apply_at(datetime.now(UTC), 1))  # type: JobHandle[int]
reveal_type(double.apply_at(timedelta(hours=1), 1, label="x"))  # type: JobHandle[int]
reveal_type(fetch.apply_at(2.5, "/"))  # type: JobHandle[bytes]

# In Celery's shape, and many.
reveal_type(double.apply_async((1,), {"label": "x"}, countdown=5))  # type: JobHandle[int]
reveal_type(fetch.apply_async(("/",), priority=3))  # type: JobHandle[bytes]
reveal_type(double.delay_many([(1,), {"number": 2}]))  # type: list[JobHandle[int]]

# With options for this call.
fast = double.using(priority=10, queue="fast", expires=60)
reveal_type(fast.delay(1))  # type: JobHandle[int]
reveal_type(fast.using(job_id="a").apply_at(1, 2))  # type: JobHandle[int]
reveal_type(fetch.using(unique=True, on_duplicate="replace").delay("/"))  # type: JobHandle[bytes]
reveal_type(fetch.using(deadline=datetime.now(UTC)).delay_many([("/",)]))  # type: list[JobHandle[bytes]]

# What a handle says.
job = double.delay(1)
reveal_type(job.id)  # type: str
reveal_type(job.state)  # type: State
reveal_type(job.created)  # type: bool | None
reveal_type(job.result(timeout=5))  # type: int
reveal_type(job.exception())  # type: JobFailed | None
reveal_type(job.cancel())  # type: bool
reveal_type(job.done())  # type: bool
reveal_type(job.info())  # type: JobInfo


async def in_asyncio() -> None:
    reveal_type(await fetch("/"))  # type: bytes
    reveal_type(await double.adelay(1))  # type: JobHandle[int]
    reveal_type(await fetch.adelay("/"))  # type: JobHandle[bytes]
    reveal_type(await fetch.aapply_at(5, "/"))  # type: JobHandle[bytes]
    reveal_type(await fetch.aapply_async(("/",)))  # type: JobHandle[bytes]
    reveal_type(await fetch.adelay_many([("/",)]))  # type: list[JobHandle[bytes]]
    reveal_type(await fast.adelay(1))  # type: JobHandle[int]
    later = await fetch.adelay("/")
    reveal_type(await later)  # type: bytes
    reveal_type(await later.aresult(timeout=5))  # type: bytes
    reveal_type(await later.astate())  # type: State
    reveal_type(await later.aexception())  # type: JobFailed | None
    reveal_type(await later.acancel())  # type: bool
    reveal_type(await later.adone())  # type: bool
    reveal_type(await later.ainfo())  # type: JobInfo
