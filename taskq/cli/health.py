"""``taskq health``: for probes and alarms."""

from __future__ import annotations

import click

from taskq.cli.common import FAILED, Failure, add_json_option, add_source_options, open_app
from taskq.cli.output import print_json
from taskq.errors import StoreError


@click.command()
@click.option("--no-workers", is_flag=True, help="Only ask the store.")
@add_source_options
@add_json_option
def command(no_workers: bool, as_json: bool) -> None:
    """Tell whether all is well, for probes.

    Exit code 0 if the store answers and at least one worker lives, else 1 and one line that
    says what is wrong.
    """
    app = open_app()
    workers: int | None = None
    try:
        app.store.ping()
        if not no_workers:
            workers = len(app.inspector.workers())
        problem = "no worker lives" if workers == 0 else ""
    except StoreError as error:
        problem = str(error)
    if as_json:
        print_json(
            {"ok": not problem, "store": app.store.url, "workers": workers, "problem": problem}
        )
        if problem:
            click.get_current_context().exit(FAILED)
    elif problem:
        raise Failure(f"{problem} ({app.store.url})")
    else:
        count = (
            "" if workers is None else f", {workers:,} {'worker' if workers == 1 else 'workers'}"
        )
        click.echo(f"{click.style('ok', fg='green')}: {app.store.url} answers{count}")
