"""``taskq get``: everything about one job."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import click

from taskq.cli.common import Failure, add_json_option, add_source_options, open_app
from taskq.cli.jobs import progress_text
from taskq.cli.output import (
    COLOURS,
    Cell,
    ago,
    arguments,
    clean,
    clean_lines,
    fields,
    local,
    plain,
    print_json,
    span,
    utc_now,
)
from taskq.errors import CodecError
from taskq.handle import JobInfo, info_of
from taskq.job import State


@click.command()
@click.argument("id")
@add_source_options
@add_json_option
def command(id: str, as_json: bool) -> None:
    """Show all about one job.

    Its state, times, arguments, result, errors and log.
    """
    app = open_app()
    job = app.store.get([id])[0]
    if job is None:
        raise Failure(
            f"there is no job {clean(id)}: there never was, or its record is no longer kept"
        )
    info = info_of(app, job)
    result, unreadable = None, ""
    if info.state is State.SUCCEEDED:
        try:
            result = app.read_result(job)
        except CodecError as error:
            unreadable = str(error)
    if as_json:
        print_json({**info.to_dict(), "result": result})
    else:
        _show(info, repr(plain(result)) if not unreadable else f"unreadable: {unreadable}")


def _show(job: JobInfo, result: str) -> None:
    now = utc_now()
    state = click.style(job.state.value, fg=COLOURS[job.state], bold=True)
    asked = ", asked to stop" if job.cancel_requested and job.state is State.RUNNING else ""
    click.echo(f"{click.style(clean(job.task), bold=True)}  {state}{asked}\n")
    called = f"unreadable: {job.unreadable}" if job.unreadable else arguments(job.args, job.kwargs)
    rows = fields(
        [
            ("id", job.id),
            ("queue", job.queue),
            ("priority", str(job.priority) if job.priority else ""),
            ("attempt", str(job.attempt) if job.attempt else ""),
            ("deaths", f"{job.deaths} (its worker died)" if job.deaths else ""),
            ("arguments", called),
            ("tags", ", ".join(job.tags)),
            ("enqueued", _moment(job.enqueued_at, now)),
            ("due", "" if job.due_at == job.enqueued_at else _moment(job.due_at, now)),
            ("started", _moment(job.started_at, now)),
            ("ended", _moment(job.ended_at, now)),
            ("took", _took(job)),
            ("deadline", _moment(job.deadline, now)),
            ("progress", progress_text(job) if job.progress else ""),
            ("result", result if job.state is State.SUCCEEDED else ""),
        ]
    )
    click.echo(rows)
    if job.errors:
        _show_errors(job)
    if job.log:
        click.echo("\n  log")
        for line in job.log:
            click.echo(f"    {clean(line)}")


def _moment(then: datetime | None, now: datetime) -> str:
    return "" if then is None else f"{local(then)}  ({ago(then, now)})"


def _took(job: JobInfo) -> str:
    if job.started_at is None or job.ended_at is None:
        return ""
    return span((job.ended_at - job.started_at).total_seconds())


def _show_errors(job: JobInfo) -> None:
    """One line an attempt, and the traceback of the last one."""
    click.echo("\n  errors" if len(job.errors) > 1 else "\n  error")
    now = utc_now().timestamp()
    rows: list[tuple[str, Any]] = []
    for error in job.errors:
        when = f"{span(max(0.0, now - error.at))} ago: " if error.at else ""
        why = f" ({error.reason})" if error.reason else ""
        rows.append(
            (f"  #{error.attempt}", Cell(f"{when}{error.type}: {error.message}{why}", "red"))
        )
    click.echo(fields(rows))
    for line in clean_lines(job.errors[-1].traceback):
        click.secho(f"    {line}", dim=True)
