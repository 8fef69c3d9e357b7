"""``taskq retry``: makes jobs ready again."""

from __future__ import annotations

from collections import Counter

import click

from taskq.app import TaskQ
from taskq.cli.answers import tell
from taskq.cli.common import FAILED, add_json_option, add_source_options, open_app
from taskq.cli.output import clean, print_json
from taskq.job import State

MEANING = {
    "requeued": "is ready again",
    "ready": "is ready already",
    "running": "runs",
    "refused": "has a unique key that another job holds by now",
    "missing": "is not there",
}
STATES = [state.value for state in State if state not in (State.READY, State.RUNNING)]
BATCH = 500


@click.command()
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option(
    "--all", "every", is_flag=True, help="All that failed, or those chosen by --state and --queue."
)
@click.option(
    "--state",
    type=click.Choice(STATES),
    metavar="STATE",
    help=f"Which ones, with --all: {', '.join(STATES)}.  [default: failed]",
)
@click.option("-q", "--queue", metavar="NAME", help="Only those of a queue, with --all.")
@add_source_options
@add_json_option
def command(
    ids: tuple[str, ...], every: bool, state: str | None, queue: str | None, as_json: bool
) -> None:
    """Make jobs ready to run again.

    Ended ones start over with all their attempts; scheduled and retrying ones need not wait any
    longer.

    Exit code 1 if one is not there or cannot be made ready.
    """
    if every == bool(ids):
        raise click.UsageError("Name the jobs by their ids, or say --all.")
    if not every and (state or queue):
        raise click.UsageError("--state and --queue choose jobs for --all.")
    app = open_app()
    if every:
        _retry_all(app, State(state or State.FAILED), queue, as_json)
        return
    answers = app.inspector.retry(ids)
    tell(ids, answers, MEANING, fine=("requeued", "ready"), as_json=as_json)


def _retry_all(app: TaskQ, state: State, queue: str | None, as_json: bool) -> None:
    # All ids first: what fails again meanwhile is not retried once more.
    ids = _ids(app, state, queue)
    counts: Counter[str] = Counter()
    for at in range(0, len(ids), BATCH):
        counts.update(app.inspector.retry(ids[at : at + BATCH]))
    # A job that went on by itself meanwhile is none that was refused.
    if as_json:
        print_json({"found": len(ids), **{answer: counts[answer] for answer in MEANING}})
    elif not ids:
        where = f" in the queue {clean(queue)}" if queue else ""
        click.echo(f"There is no {state} job{where}.")
    else:
        click.echo(f"{_jobs(counts['requeued'])} ready again.")
        if counts["refused"]:
            text = f"{_jobs(counts['refused'])} refused: other jobs hold their unique keys by now."
            click.secho(text, fg="red", err=True)
    if counts["refused"]:
        click.get_current_context().exit(FAILED)


def _ids(app: TaskQ, state: State, queue: str | None) -> list[str]:
    ids: list[str] = []
    cursor: str | None = None
    while True:
        page = app.store.browse(queue=queue, state=state, limit=BATCH, cursor=cursor)
        ids += [job.id for job in page.jobs]
        cursor = page.cursor
        if cursor is None:
            return ids


def _jobs(count: int) -> str:
    return f"{count:,} job is" if count == 1 else f"{count:,} jobs are"
