"""kill -9 at random moments: every job that was acknowledged ends succeeded."""

from __future__ import annotations

import os
import random
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from taskq import State, TaskQ
from tests.support.processes import worker_process
from tests.support.wait import wait_until

APP = """
import os, time
from taskq import TaskQ

app = TaskQ({url!r}, prefix={prefix!r}, lease=2, defaults={{"max_deaths": 1000}})


@app.task
def write(number: int, seconds: float) -> int:
    time.sleep(seconds)
    with open({ledger!r}, "ab", buffering=0) as ledger:
        ledger.write(b"%d\\n" % number)
    return number
"""

JOBS = 400
SEED = 20261122


@pytest.fixture(params=["sqlite", "redis"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "redis":
        return str(request.getfixturevalue("redis_url"))
    return f"sqlite:///{tmp_path}/jobs.db"


@pytest.fixture
def shop(store_url: str, tmp_path: Path) -> Iterator[tuple[TaskQ, Path]]:
    """An app whose one task writes its number to a file, in a module of its own."""
    ledger = tmp_path / "ledger"
    ledger.touch()
    prefix = f"crash-{os.urandom(4).hex()}" if store_url.startswith("redis") else None
    text = APP.format(url=store_url, prefix=prefix, ledger=str(ledger))
    (tmp_path / "crashshop.py").write_text(text)
    app = TaskQ(store_url, prefix=prefix)
    yield app, ledger
    app.forget()


def enqueue(app: TaskQ, rand: random.Random) -> list[str]:
    handles = [
        app.enqueue("crashshop.write", number, rand.uniform(0.0, 0.03)) for number in range(JOBS)
    ]
    return [handle.id for handle in handles]


def ended(app: TaskQ, ids: list[str]) -> int:
    return sum(1 for job in app.store.get(ids) if job is not None and job.state.ended)


def check(app: TaskQ, ids: list[str], ledger: Path, most_doubled: int) -> None:
    states = Counter(job.state for job in app.store.get(ids) if job is not None)
    assert states == {State.SUCCEEDED: JOBS}
    written = Counter(int(line) for line in ledger.read_text().split())
    assert set(written) == set(range(JOBS)), "a job was lost"
    doubled = sum(count - 1 for count in written.values())
    # Only what ran when its worker was killed may run twice.
    assert doubled <= most_doubled


@pytest.mark.crash
def test_children_killed_at_random_lose_nothing(shop: tuple[TaskQ, Path], tmp_path: Path) -> None:
    """CRS-01, CRS-03: the supervisor replaces a killed child, its jobs run again."""
    app, ledger = shop
    rand = random.Random(SEED)
    ids = enqueue(app, rand)
    kills, threads = 5, 4
    with worker_process(
        tmp_path, "--app", "crashshop:app", "-p", "2", "-c", str(threads)
    ) as worker:
        for number in range(kills):
            goal = JOBS * (number + 1) // (kills + 2)
            wait_until(lambda goal=goal: ended(app, ids) >= goal, 60, lambda: worker.log)
            wait_until(lambda: len(worker.children()) == 2, 30, lambda: worker.log)
            os.kill(rand.choice(worker.children()), signal.SIGKILL)
        wait_until(lambda: ended(app, ids) == JOBS, 60, lambda: worker.log)
        worker.terminate()
        assert worker.wait() == 0, worker.log
    check(app, ids, ledger, kills * threads)


@pytest.mark.crash
def test_whole_group_killed_and_started_again_loses_nothing(
    shop: tuple[TaskQ, Path], tmp_path: Path
) -> None:
    """CRS-03, CRS-05: nobody is left to tell; the lease lapses, the next worker recovers."""
    app, ledger = shop
    rand = random.Random(SEED + 1)
    ids = enqueue(app, rand)
    kills, threads = 2, 4
    for number in range(kills):
        with worker_process(tmp_path, "--app", "crashshop:app", "-c", str(threads)) as worker:
            goal = JOBS * (number + 1) // (kills + 2)
            wait_until(lambda goal=goal: ended(app, ids) >= goal, 60, lambda: worker.log)
            worker.kill_group()
    with worker_process(tmp_path, "--app", "crashshop:app", "-c", str(threads)) as worker:
        wait_until(lambda: ended(app, ids) == JOBS, 90, lambda: worker.log)
        worker.terminate()
        assert worker.wait() == 0, worker.log
    check(app, ids, ledger, kills * threads)
