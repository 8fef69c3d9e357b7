"""Opens the shop: starts a worker, enqueues, watches, and tells what happened."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from decimal import Decimal
from io import TextIOWrapper
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import click

from sample_project.screen import Screen, Watched, summary
from taskq import State

PICTURE = Path(__file__).with_name("harbour.png")
LOOK = 0.08
"""Seconds between looks at the jobs."""
PATIENCE = 60.0
"""Seconds after which something must be wrong."""
COMMAND = ("-m", "taskq", "worker", "--app", "sample_project.shop:app", "--concurrency", "4")


@click.command()
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the shop keeps its jobs and files.  [default: a new temporary folder]",
)
def main(folder: Path | None) -> None:
    """A small shop on SQLite: it hands its work to a worker process, and shows what comes of it.

    Exit code 0: everything went as it was meant to.
    """
    for stream in (sys.stdout, sys.stderr):
        # Where a terminal has no such character, a question mark will do.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        click.get_current_context().color = False
    here = (folder or Path(tempfile.mkdtemp(prefix="harbour-shop-"))).resolve()
    here.mkdir(parents=True, exist_ok=True)
    # As in any deployment: the worker and the shop find the same settings in the environment.
    os.environ["TASKQ_URL"] = f"sqlite:///{quote(str(here / 'taskq.db'))}"
    os.environ["SHOP_FOLDER"] = str(here)
    # Not at the head of this file: the app reads these settings when it is made.
    from sample_project import shop

    click.echo(f"\n{click.style('The Harbour Shop', bold=True)}\n")
    _tell("jobs", os.environ["TASKQ_URL"])
    with _worker(here / "worker.log") as worker:
        _tell("worker", f"python {shlex.join(COMMAND)}")
        _until(lambda: bool(shop.app.inspector.workers()), worker)
        jobs = _enqueue(here)
        click.echo(f"\n{len(jobs)} jobs enqueued. The worker runs them:\n")
        screen = Screen(jobs)
        _until(screen.show, worker)
        screen.end()
    _report(jobs, here)
    if not _as_meant(jobs):
        click.secho("\nThis is not what was meant to happen.", fg="red", err=True)
        sys.exit(1)


def _tell(title: str, text: str) -> None:
    click.echo(f"  {click.style(f'{title:8}', dim=True)}{text}")


class Worker(NamedTuple):
    """The process that runs the jobs, and where it writes its log."""

    process: subprocess.Popen[bytes]
    log: Path


@contextmanager
def _worker(log: Path) -> Iterator[Worker]:
    """A worker, started as one would in production, and stopped gracefully in the end."""
    with log.open("ab") as file:
        process = subprocess.Popen(
            [sys.executable, *COMMAND], stdin=subprocess.DEVNULL, stdout=file, stderr=file
        )
    try:
        yield Worker(process, log)
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait()


def _until(true: Callable[[], bool], worker: Worker) -> None:
    """Wait for something that the worker brings about.

    :raises click.ClickException: it ended, or takes too long.
    """
    end = time.monotonic() + PATIENCE
    while not true():
        if worker.process.poll() is not None or time.monotonic() > end:
            what = "it takes too long" if worker.process.poll() is None else "the worker ended"
            text = worker.log.read_text(encoding="utf-8", errors="replace")
            raise click.ClickException(f"{what}. The worker's log:\n\n{text[-3000:]}")
        time.sleep(LOOK)


def _enqueue(here: Path) -> list[Watched]:
    from sample_project import shop  # as above

    exports = here / "exports"
    exports.mkdir(exist_ok=True)
    for name in ("orders-2019.csv", "orders-2020.csv"):
        (exports / name).write_text("old\n", encoding="utf-8")
        os.utime(exports / name, (0, 0))
    (exports / "orders-today.csv").write_text("new\n", encoding="utf-8")

    people = [("Ada", "ada@shop.example"), ("Grace", "grace@shop.example")]
    customers = [shop.Customer(name, email) for name, email in people]
    mails = shop.send_welcome.delay_many([(customer,) for customer in customers])
    return [
        *(Watched.of(f"to {one.name}", job) for one, job in zip(customers, mails, strict=True)),
        Watched.of("harbour.png", shop.make_thumbnail.delay(PICTURE, width=160)),
        Watched.of("May 2026", shop.sales_report.delay(date(2026, 5, 1))),
        Watched.of("order 1042", shop.charge.delay(1042, Decimal("59.90"))),
        Watched.of("order 1042", shop.ship.delay(1042)),
        Watched.of("sailcloth", shop.check_stock.delay("sailcloth")),
        Watched.of("order 1007", shop.refund.delay(1007)),
        Watched.of("in 2 seconds", shop.clean_up.apply_at(2, older_than=timedelta(days=365))),
    ]


def _report(jobs: list[Watched], here: Path) -> None:
    for line in summary(jobs):
        click.echo(f"  {line}")
    failed = [job for job in jobs if job.info.state is State.FAILED]
    click.echo()
    _tell("files", str(here))
    for path in [*sorted(here.glob("*/*")), here / "worker.log"]:
        name = str(path.relative_to(here))
        click.echo(f"          {name:30} {_size(path.stat().st_size)}")
    if failed:
        click.echo("\n  What failed is kept in the archive. Look at it:\n")
        url = shlex.quote(os.environ["TASKQ_URL"])
        click.echo(f"    export TASKQ_URL={url}")
        click.echo("    taskq jobs --state failed")
        click.echo(f"    taskq get {failed[0].job.id}")
    click.echo()


def _size(count: int) -> str:
    text = f"{count:,} bytes" if count < 2000 else f"{count / 1000:,.0f} kB"
    return click.style(f"{text:>12}", dim=True)


def _as_meant(jobs: list[Watched]) -> bool:
    """Nothing failed but what had to, and the payment came at its third attempt."""
    states = {job.name: job.info.state for job in jobs}
    attempts = {job.name: job.info.attempt for job in jobs}
    others = {state for name, state in states.items() if name != "refund"}
    return (
        states["refund"] is State.FAILED and others == {State.SUCCEEDED} and attempts["charge"] == 3
    )
