"""``taskq workers``: the worker processes that live."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime

import click

from taskq.cli.common import add_json_option, add_source_options, open_app
from taskq.cli.output import Column, Table, ago, number, print_json, span, utc_now
from taskq.job import WorkerInfo


@click.command()
@add_source_options
@add_json_option
def command(as_json: bool) -> None:
    """Show the worker processes that live.

    Where each of them is, what it serves and how many jobs it runs.
    """
    workers = open_app().inspector.workers()
    workers.sort(key=lambda worker: (worker.host, worker.pid))
    if as_json:
        print_json([_plain(worker) for worker in workers])
        return
    if not workers:
        click.echo("No worker lives.")
        return
    now = utc_now()
    table = Table(
        Column("HOST", least=10),
        Column("PID", right=True),
        Column("QUEUES", least=12),
        Column("RUNNING", right=True),
        Column("THREADS", right=True),
        Column("COROUTINES", right=True, drop=2),
        Column("UP", right=True),
        Column("SEEN", right=True),
        Column("VERSION", drop=1),
    )
    for worker in workers:
        table.add(
            worker.host,
            str(worker.pid),
            ", ".join(worker.queues),
            number(worker.running, "blue"),
            number(worker.concurrency),
            number(worker.async_concurrency),
            span(now.timestamp() - worker.started_at),
            ago(_time(worker.seen_at), now),
            worker.version,
        )
    table.show()


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def _plain(worker: WorkerInfo) -> dict[str, object]:
    times = {"started_at": _time(worker.started_at), "seen_at": _time(worker.seen_at)}
    return {**asdict(worker), **times}
