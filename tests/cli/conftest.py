"""An app whose jobs the command line looks at, on each store that processes can share."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from taskq import TaskQ, current_job
from taskq.registry import shared
from tests.support.fixtures import redis_server, redis_url  # noqa: F401 - fixtures


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No TASKQ_ variable of the machine's, and no store in the working folder."""
    for name in [name for name in os.environ if name.startswith("TASKQ_")]:
        monkeypatch.delenv(name)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.chdir(tmp_path)
    # A process of its own would know no task that another test module declared without an app.
    monkeypatch.setattr(shared, "_tasks", {})


@pytest.fixture(params=["sqlite", "redis"])
def url(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the jobs are; nobody else's are there."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/jobs.db"
    monkeypatch.setenv("TASKQ_PREFIX", f"cli-{os.urandom(6).hex()}")
    return str(request.getfixturevalue("redis_url"))


@pytest.fixture
def app(url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[TaskQ]:
    """Tasks ``shop.add``, ``shop.boom`` (queue mail, fails) and ``shop.talk``."""
    monkeypatch.setenv("TASKQ_URL", url)
    app = TaskQ(url)

    @app.task(name="shop.add")
    def add(a: int, b: int = 1) -> int:
        return a + b

    @app.task(name="shop.boom", queue="mail", max_retry=0)
    def boom(text: str) -> None:
        raise ValueError(text)

    @app.task(name="shop.later", queue="mail", max_retry=1, backoff=3600)
    def later(text: str) -> None:
        raise ConnectionError(text)

    @app.task(name="shop.talk", tags=["loud"])
    def talk(word: str) -> str:
        job = current_job()
        job.log(f"saying {word}")
        job.progress(1, 2, "half")
        return word.upper()

    yield app
    app.forget()


@pytest.fixture
def drain(app: TaskQ) -> Callable[[], None]:
    """Runs what is ready."""

    def run() -> None:
        with app.worker(burst=True) as worker:
            assert worker.wait(30)

    return run
