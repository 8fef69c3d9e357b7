"""``taskq stats``: how many jobs there are, by state."""

from __future__ import annotations

import click

from taskq.cli.common import add_json_option, add_source_options, open_app
from taskq.cli.output import Column, Table, number, print_json, span, state_cell
from taskq.job import State


@click.command()
@add_source_options
@add_json_option
def command(as_json: bool) -> None:
    """Count the jobs by state."""
    app = open_app()
    queues = app.inspector.queues()
    workers = app.inspector.workers()
    jobs = {state: sum(queue.counts.get(state, 0) for queue in queues) for state in State}
    oldest = max((q.oldest_ready for q in queues if q.oldest_ready is not None), default=None)
    paused = [queue.queue for queue in queues if queue.paused]
    if as_json:
        print_json(
            {
                "store": app.store.url,
                "jobs": jobs,
                "total": sum(jobs.values()),
                "oldest_ready": oldest,
                "queues": [queue.queue for queue in queues],
                "paused": paused,
                "workers": len(workers),
                "running": sum(worker.running for worker in workers),
            }
        )
        return
    click.echo(click.style(app.store.url, dim=True))
    click.echo()
    table = Table(Column("STATE"), Column("JOBS", right=True), Column(""))
    for state, count in jobs.items():
        waits = "" if state is not State.READY or oldest is None else f"oldest: {span(oldest)}"
        table.add(state_cell(state), number(count), waits)
    table.show()
    click.echo()
    names = f"{len(queues):,} {'queue' if len(queues) == 1 else 'queues'}"
    if paused:
        names += f" ({len(paused):,} paused)"
    running = sum(worker.running for worker in workers)
    if workers:
        those = f"{len(workers):,} {'worker' if len(workers) == 1 else 'workers'}"
        click.echo(f"{names}, {those} running {running:,} {'job' if running == 1 else 'jobs'}")
    else:
        click.echo(f"{names}, " + click.style("no worker lives", fg="yellow"))
