"""``taskq jobs``: jobs in a list."""

from __future__ import annotations

from datetime import datetime

import click

from taskq.cli.common import add_json_option, add_source_options, open_app
from taskq.cli.output import (
    Column,
    Table,
    ago,
    arguments,
    clean,
    cut,
    hint,
    print_json,
    span,
    state_cell,
    utc_now,
)
from taskq.handle import JobInfo
from taskq.job import State

LONGEST = 200
"""Of arguments, where no terminal's width cuts them."""


@click.command()
@click.option(
    "--state",
    type=click.Choice([state.value for state in State]),
    metavar="STATE",
    help=f"Only those that are {', '.join(State)}.",
)
@click.option("-q", "--queue", metavar="NAME", help="Only those of a queue.")
@click.option(
    "--limit",
    type=click.IntRange(min=0),
    metavar="N",
    default=50,
    help="At most so many; 0: all.  [default: 50]",
)
@add_source_options
@add_json_option
def command(state: str | None, queue: str | None, limit: int, as_json: bool) -> None:
    """List jobs.

    Ended ones come newest first, others oldest first.
    """
    app = open_app()
    # One more than asked for tells whether there are more.
    wanted = limit + 1 if limit and not as_json else limit or None
    found = list(app.inspector.jobs(queue=queue, state=state, limit=wanted))
    if as_json:
        print_json([job.to_dict() for job in found])
        return
    shown = found[:limit] if limit else found
    if not shown:
        kind = f"{state} job" if state else "job"
        click.echo(f"There is no {kind}{f' in the queue {clean(queue)}' if queue else ''}.")
        return
    now = utc_now()
    # Of jobs that failed the error matters most, of others where they are.
    queue_goes, what_goes = (2, 3) if state in (State.FAILED, State.RETRYING) else (3, 2)
    table = Table(
        Column("ID"),
        Column("TASK", least=10),
        *([] if queue else [Column("QUEUE", least=6, drop=queue_goes)]),
        *([] if state else [Column("STATE")]),
        Column("TRY", right=True, drop=1),
        Column("WHEN"),
        Column("WHAT", least=12, drop=what_goes),
    )
    for job in shown:
        table.add(
            job.id,
            job.task,
            *([] if queue else [job.queue]),
            *([] if state else [state_cell(job.state)]),
            str(job.attempt or ""),
            _when(job, now),
            _what(job),
        )
    table.show()
    if len(found) > len(shown):
        hint(f"The first {len(shown):,}; there are more (--limit 0 shows all).")


def _when(job: JobInfo, now: datetime) -> str:
    """The time that matters most in the job's state."""
    if job.state is State.RUNNING and job.started_at is not None:
        return f"for {span((now - job.started_at).total_seconds())}"
    if job.state.ended:
        return ago(job.ended_at, now)
    return ago(job.due_at, now)


def _what(job: JobInfo) -> str:
    if job.errors and job.state in (State.FAILED, State.RETRYING):
        last = job.errors[-1]
        return f"{last.type}: {last.message}"
    if job.unreadable:
        return f"unreadable: {job.unreadable}"
    if job.progress and job.state is State.RUNNING:
        return progress_text(job)
    return cut(arguments(job.args, job.kwargs), LONGEST)


def progress_text(job: JobInfo) -> str:
    """``30 of 100, resizing``"""
    told = job.progress or {}
    done, total, text = told.get("done"), told.get("total"), told.get("text")
    parts = [f"{done} of {total}" if total is not None else f"{done}"]
    return ", ".join([*parts, str(text)] if text else parts)
