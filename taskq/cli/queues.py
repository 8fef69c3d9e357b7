"""``taskq queues``: what waits in each queue, and whether anybody serves it."""

from __future__ import annotations

from dataclasses import asdict

import click

from taskq.cli.common import add_json_option, add_source_options, open_app
from taskq.cli.output import COLOURS, Cell, Column, Table, hint, number, print_json, span
from taskq.job import QueueStats, State

SHOWN = (State.READY, State.RUNNING, State.SCHEDULED, State.RETRYING, State.SUCCEEDED, State.FAILED)


@click.command()
@click.argument("names", metavar="[QUEUE]...", nargs=-1)
@add_source_options
@add_json_option
def command(names: tuple[str, ...], as_json: bool) -> None:
    """Show the queues, and who serves them.

    For each its jobs by state, how long the oldest ready one has been waiting, how many workers
    serve it, and whether it is paused.
    """
    app = open_app()
    queues = app.inspector.queues(list(names) or None)
    serving = [set(worker.queues) for worker in app.inspector.workers()]
    served = {q.queue: sum(q.queue in names for names in serving) for q in queues}
    if as_json:
        print_json([_plain(queue, served[queue.queue]) for queue in queues])
        return
    if not queues:
        click.echo("There is no queue yet: the first job makes one.")
        return
    table = Table(
        Column("QUEUE", least=16),
        *(Column(s.upper(), right=True, drop=int(s is State.SUCCEEDED)) for s in SHOWN),
        Column("OLDEST", right=True),
        Column("WORKERS", right=True),
        Column(""),
    )
    for queue in queues:
        waits = "" if queue.oldest_ready is None else span(queue.oldest_ready)
        table.add(
            queue.queue,
            *(number(queue.counts.get(state, 0), COLOURS[state]) for state in SHOWN),
            waits,
            number(served[queue.queue]),
            Cell("paused", "yellow") if queue.paused else "",
        )
    table.show()
    alone = [q.queue for q in queues if q.counts.get(State.READY, 0) and not served[q.queue]]
    if alone:
        hint(f"Jobs are ready, and no worker serves: {', '.join(alone)}.")


def _plain(queue: QueueStats, workers: int) -> dict[str, object]:
    counts = {state: queue.counts.get(state, 0) for state in State}
    return {**asdict(queue), "counts": counts, "workers": workers}
