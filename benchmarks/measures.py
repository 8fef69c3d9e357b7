"""What is measured, and how. Each measure is a function from a case to its figures."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import counter, processes
from benchmarks.environment import ROOT
from benchmarks.peers.base import Peer, Worker
from benchmarks.places import Memory, Place, Redis, SQLite
from benchmarks.processes import Workers

BIN = Path(sys.prefix) / "bin"


class Failed(Exception):
    """A measurement gave no figure."""


@dataclass(frozen=True)
class Case:
    """One row of a measure: a peer in one setting."""

    measure: str
    peer: Peer
    setting: str = ""
    started: Worker | None = None
    """The worker that it starts."""

    @property
    def worker(self) -> Worker:
        if self.started is None:
            raise LookupError(f"{self.measure} starts no worker")
        return self.started


@dataclass
class Bench:
    """Settings of a run, its folders, and the filled queues that it keeps for later rounds."""

    redis: str
    quick: bool
    folder: Path
    filled: dict[tuple[str, ...], Path] = field(default_factory=dict)
    complaints: set[str] = field(default_factory=set)
    server: str = ""
    serial: int = 0

    def scale(self, full: float, quick: float) -> float:
        return quick if self.quick else full

    def jobs(self, worker: Worker) -> int:
        return max(40, worker.jobs // 4) if self.quick else worker.jobs

    def new_folder(self) -> Path:
        self.serial += 1
        return self.folder / str(self.serial)

    # -- stores ------------------------------------------------------------------------
    @contextmanager
    def place(self, peer: Peer, jobs: Path | None = None) -> Iterator[Place]:
        place: Place
        if peer.store == "redis":
            place = Redis(self.redis, self.new_folder(), jobs)
            self.server = self.server or place.version()
        elif peer.store == "sqlite":
            place = SQLite(self.new_folder(), jobs)
        else:
            place = Memory()
        try:
            yield place
        finally:
            place.stop()

    def full_queue(self, case: Case, task: str, jobs: int) -> Path:
        """A file of jobs, made once and copied for each round."""
        # A client enqueues in the same way in all the tuned settings.
        way = "default" if case.setting == "default" else "tuned"
        key = (case.peer.label, way, task, str(jobs))
        if key not in self.filled:
            with self.place(case.peer) as place:
                path = self.new_folder()
                self.produce(case, place, "fill", task=task, jobs=jobs)
                place.save(path)
            self.filled[key] = path
        return self.filled[key]

    # -- processes -----------------------------------------------------------------------
    def env(self, case: Case, place: Place, *, results: bool = False) -> dict[str, str]:
        env = {key: value for key, value in os.environ.items() if not key.startswith("TASKQ_")}
        return env | {
            "PATH": f"{BIN}:{env.get('PATH', '')}",
            "PYTHONPATH": str(ROOT),
            "BENCH_URL": place.url,
            "BENCH_SETTING": case.setting,
            "BENCH_RESULTS": "1" if results else "0",
        }

    def produce(
        self, case: Case, place: Place, verb: str, env: Mapping[str, str] | None = None, **how: Any
    ) -> Any:
        """Run the client's side in a process of its own; what it found."""
        try:
            done = subprocess.run(
                [
                    sys.executable,
                    "-m",
                    "benchmarks.producer",
                    case.peer.name,
                    verb,
                    json.dumps(how),
                ],
                env=dict(env or self.env(case, place)),
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=120,
            )
        except subprocess.TimeoutExpired:
            raise Failed(f"{verb} took longer than 120 s") from None
        if done.returncode:
            lines = done.stderr.strip().splitlines() or ["no message"]
            raise Failed(f"{verb}: {lines[-1][:200]}")
        return json.loads(done.stdout.strip().splitlines()[-1])

    @contextmanager
    def counted(self, env: dict[str, str], expected: int = 1) -> Iterator[Path]:
        """A folder in shared memory in which the tasks count."""
        shared = Path("/dev/shm")
        folder = Path(tempfile.mkdtemp("", "bench-", shared if shared.is_dir() else None))
        env["BENCH_COUNTER"] = str(folder)
        env["BENCH_PROCESSES"] = str(expected)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    @contextmanager
    def workers(self, case: Case, place: Place, env: Mapping[str, str]) -> Iterator[Workers]:
        worker = case.worker
        words = shlex.split(worker.command.replace("{url}", place.url))
        command = [str(BIN / words[0]), *words[1:]]
        log = self.new_folder().with_suffix(".log")
        workers = Workers([command] * worker.copies, {**env, **worker.env}, ROOT, log)
        try:
            yield workers
        except Failed as failure:
            if workers.alive():
                raise
            raise Failed(f"the worker ended: {workers.last_line()}") from failure
        finally:
            workers.kill()
            if complaint := workers.complaint():
                self.complaints.add(f"{case.peer.label} ({case.setting}): {complaint}")


def wait_for(
    what: Callable[[], bool], workers: Workers, seconds: float, pause: float = 0.01
) -> None:
    until = time.monotonic() + seconds
    while not what():
        if not workers.alive():
            raise Failed("the worker ended")
        if time.monotonic() > until:
            raise Failed(f"not done within {seconds:.0f} s")
        time.sleep(pause)


# -- the measures ------------------------------------------------------------------------------


def enqueue(bench: Bench, case: Case) -> dict[str, float]:
    """Enqueues a second by one process, one call a job."""
    with bench.place(case.peer) as place:
        return {"rate": bench.produce(case, place, "one", seconds=bench.scale(1, 0.5))}


def bulk(bench: Bench, case: Case) -> dict[str, float]:
    """Jobs enqueued a second by one process, 1,000 a call."""
    with bench.place(case.peer) as place:
        return {"rate": bench.produce(case, place, "many", seconds=bench.scale(1, 0.5))}


def drain(bench: Bench, case: Case, usual_task: str = "noop") -> dict[str, float]:
    """Jobs run a second, from a full queue: from the first start to the last end; with taskq to
    the moment at which its store says that the last job has succeeded."""
    worker, peer = case.worker, case.peer
    jobs, task = bench.jobs(worker), worker.task or usual_task
    if peer.store == "memory":
        with bench.place(peer) as place:
            env = bench.env(case, place)
            with bench.counted(env) as folder:
                how = {"task": task, "jobs": jobs, "settings": worker.command}
                stored = bench.produce(case, place, "drain", env, **how)
                return _rates(counter.read(folder), jobs, stored)
    with bench.place(peer, bench.full_queue(case, task, jobs)) as place:
        env = bench.env(case, place)
        with bench.counted(env, worker.processes) as folder:
            succeeded = peer.succeeded(place.url)
            with bench.workers(case, place, env) as workers:
                wait_for(lambda: counter.read(folder).done >= jobs, workers, 90)
                stored = None
                if succeeded:
                    wait_for(lambda: succeeded() >= jobs, workers, 30, 0.001)
                    stored = time.monotonic_ns()
                return _rates(counter.read(folder), jobs, stored)


def _rates(count: counter.Count, jobs: int, stored: int | None) -> dict[str, float]:
    if count.done != jobs:
        raise Failed(f"{count.done} tasks ran for {jobs} jobs")
    figures = {"rate": jobs / ((stored or count.last) - count.first) * 1e9}
    if stored:
        figures["last end to stored, ms"] = (stored - count.last) / 1e6
    return figures


def sleep(bench: Bench, case: Case) -> dict[str, float]:
    """As drain, of tasks that sleep for 10 ms, 50 at a time: 5,000 a second at best."""
    return drain(bench, case, "sleep")


def latency(bench: Bench, case: Case) -> dict[str, float]:
    """On an idle queue: from before the enqueue to the start, and to the result's arrival."""
    worker, seconds = case.worker, bench.scale(2, 0.8)
    how: dict[str, Any] = {
        "jobs": int(seconds / worker.pause),
        "questions": int(seconds / worker.pause / 2),
        "pause": worker.pause,
    }
    with bench.place(case.peer) as place:
        env = bench.env(case, place, results=True)
        with bench.counted(env) as folder:
            if case.peer.store == "memory":
                asked = bench.produce(case, place, "latency", env, **how, settings=worker.command)
            else:
                with bench.workers(case, place, env):
                    asked = bench.produce(case, place, "latency", env, **how)
            started = counter.samples(folder)
    return {
        "start p50": percentile(started, 50),
        "start p99": percentile(started, 99),
        "result p50": percentile(asked, 50),
        "result p99": percentile(asked, 99),
    }


def percentile(nanoseconds: list[int], percent: int) -> float:
    """In milliseconds, by nearest rank."""
    ordered = sorted(nanoseconds)
    rank = -(-percent * len(ordered) // 100)
    return ordered[rank - 1] / 1e6


@contextmanager
def served(
    bench: Bench, case: Case, jobs: int
) -> Iterator[tuple[Place, Workers, Callable[[], None]]]:
    """A worker that is started on an empty queue, and a function that has it run some jobs."""
    with bench.place(case.peer) as place:
        env = bench.env(case, place)
        with bench.counted(env) as folder, bench.workers(case, place, env) as workers:

            def warm() -> None:
                bench.produce(case, place, "fill", task="noop", jobs=jobs)
                wait_for(lambda: counter.read(folder).done >= jobs, workers, 60)

            yield place, workers, warm


def memory(bench: Bench, case: Case) -> dict[str, float]:
    """PSS of all the processes of a worker that has run 100 jobs, in MiB, and their number."""
    with served(bench, case, 100) as (_, workers, warm):
        warm()
        time.sleep(0.7)
        pids = workers.pids()
        return {"MiB": processes.memory(pids), "processes": len(pids)}


def idle(bench: Bench, cases: list[Case]) -> list[dict[str, float]]:
    """What idle workers cost a second: commands of Redis, CPU of the worker (in ms).

    They do nothing, so they do it all at the same time, each with a server of its own.
    """
    seconds = bench.scale(30, 10)  # taskq's upkeep has a period of thirty
    figures: list[dict[str, float]] = [{} for _ in cases]
    with _all_served(bench, cases, figures) as running:
        time.sleep(3)  # for what they do after their last job
        before = {at: _spent(*it) for at, it in running.items()}
        time.sleep(seconds)
        for at, (place, workers) in running.items():
            if not workers.alive():
                figures[at] = {"failed": 1}
                continue
            cpu, commands, reads = (
                now - then for now, then in zip(_spent(place, workers), before[at], strict=True)
            )
            figures[at]["cpu ms"] = cpu / seconds * 1000
            if isinstance(place, Redis):  # the question itself was one of them
                figures[at]["commands"] = (commands - 1) / seconds
                figures[at]["reads"] = (reads - 1) / seconds
    return figures


@contextmanager
def _all_served(
    bench: Bench, cases: list[Case], figures: list[dict[str, float]]
) -> Iterator[dict[int, tuple[Place, Workers]]]:
    with ExitStack() as stack:
        running: dict[int, tuple[Place, Workers]] = {}
        for at, case in enumerate(cases):
            place, workers, warm = stack.enter_context(served(bench, case, 20))
            try:
                warm()
            except Failed as failure:
                figures[at] = {"failed": 1}
                bench.complaints.add(f"{case.peer.label} ({case.setting}), idle: {failure}")
            else:
                running[at] = (place, workers)
        yield running


def _spent(place: Place, workers: Workers) -> tuple[float, int, int]:
    commands, reads = place.commands() if isinstance(place, Redis) else (0, 0)
    return processes.cpu(workers.pids()), commands, reads


def imports(bench: Bench, case: Case) -> dict[str, float]:
    """Milliseconds to start Python and import a module with one task, less an empty Python."""
    with bench.place(case.peer) as place:
        folder = bench.new_folder()
        folder.mkdir()
        source = case.peer.module_with_a_task.replace("{url}", place.url)
        (folder / "module_with_a_task.py").write_text(source)

        def run(code: str) -> float:
            begin = time.perf_counter()
            # Without a timeout: waiting with one looks only every 50 ms.
            done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True)
            if done.returncode:
                raise Failed(done.stderr.decode(errors="replace").strip().splitlines()[-1][:200])
            return (time.perf_counter() - begin) * 1000

        run("import module_with_a_task")  # compiles
        times = [
            (run("pass"), run("import module_with_a_task")) for _ in range(int(bench.scale(4, 3)))
        ]
    empty, module = zip(*times, strict=True)
    return {"ms": min(module) - min(empty)}
