"""Real worker processes for tests: started as a user starts them, seen and killed by pid."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil


class WorkerProcess:
    """``taskq worker`` as a process group of its own; ``log`` is what it printed so far."""

    def __init__(self, folder: Path, *args: str, env: dict[str, str] | None = None) -> None:
        self._log = folder / f"worker-{os.urandom(4).hex()}.log"
        with self._log.open("wb") as out:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "taskq", "worker", *args],
                cwd=folder,
                env={**os.environ, "PYTHONPATH": str(folder), **(env or {})},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self._log.read_text("utf-8", "replace")

    def children(self) -> list[int]:
        """The pids of its live worker processes."""
        try:
            found = psutil.Process(self.process.pid).children()
            return [c.pid for c in found if c.status() != psutil.STATUS_ZOMBIE]
        except psutil.NoSuchProcess:
            return []

    def terminate(self) -> None:
        self.process.send_signal(signal.SIGTERM)

    def kill_group(self) -> None:
        """kill -9 of the supervisor and all its children at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(10)

    def wait(self, timeout: float = 60.0) -> int:
        """Its exit code."""
        return self.process.wait(timeout)


@contextlib.contextmanager
def worker_process(
    folder: Path, *args: str, env: dict[str, str] | None = None
) -> Iterator[WorkerProcess]:
    """A worker for the time of the block; whatever is left of it at the end is killed."""
    worker = WorkerProcess(folder, *args, env=env)
    try:
        yield worker
    finally:
        worker.kill_group()
