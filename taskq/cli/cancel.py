"""``taskq cancel``: stops jobs."""

from __future__ import annotations

import click

from taskq.cli.answers import tell
from taskq.cli.common import add_json_option, add_source_options, open_app

MEANING = {
    "cancelled": "cancelled",
    "asked": "runs, and was asked to stop",
    "ended": "has ended already",
    "missing": "is not there",
}


@click.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@add_source_options
@add_json_option
def command(ids: tuple[str, ...], as_json: bool) -> None:
    """Cancel jobs.

    Waiting ones are cancelled at once, running ones are asked to stop.

    Exit code 1 if one is not there or has ended already.
    """
    answers = open_app().inspector.cancel(ids)
    tell(ids, answers, MEANING, fine=("cancelled", "asked"), as_json=as_json)
