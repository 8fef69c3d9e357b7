"""Short ways to make jobs, and to run Python in another process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from taskq.job import Claim, Job, NewJob, Outcome, State, WorkerInfo, new_id
from taskq.stores.sql import SqlStore

PROLOGUE = """
import os, sys, threading, time
from taskq.job import *
from taskq.stores.sql import sqlite_store
store = sqlite_store(sys.argv[1])
"""


def new(id: str | None = None, **options: Any) -> NewJob:
    options.setdefault("task", "tests.task")
    options.setdefault("payload", b"payload")
    return NewJob(id or new_id(), **options)


def worker(store: SqlStore) -> str:
    return store.open(WorkerInfo("host", 1), 30.0)


def claim(store: SqlStore, lease: str, number: int = 1, limit: int = 100) -> list[Claim]:
    return store.claim(lease, number, ["default"], {"thread": limit, "loop": limit}).claims


def succeed(store: SqlStore, lease: str, claims: list[Claim], **where: Any) -> list[str]:
    outcomes = [Outcome(each, State.SUCCEEDED, attempts=1, result=b"1") for each in claims]
    return list(store.finish(lease, outcomes, **where))


def look(store: SqlStore, id: str) -> Job:
    (job,) = store.get([id])
    assert job is not None
    return job


def python(script: str, path: Path, *args: str) -> subprocess.Popen[str]:
    """Run a script in another process; it has ``store``, which is in the file."""
    return subprocess.Popen(
        [sys.executable, "-c", PROLOGUE + script, str(path), *args],
        stdout=subprocess.PIPE,
        text=True,
    )
