"""``taskq pause``: starts nothing more from queues."""

from __future__ import annotations

import click

from taskq.cli.common import add_json_option, add_source_options, open_app
from taskq.cli.output import print_json


@click.command()
@click.argument("queues", metavar="QUEUE...", nargs=-1, required=True)
@add_source_options
@add_json_option
def command(queues: tuple[str, ...], as_json: bool) -> None:
    """Start no more jobs from queues.

    Jobs that run go on, new ones can be enqueued. It holds until 'resume', also when workers or
    the store are restarted.
    """
    inspector = open_app().inspector
    for queue in queues:
        inspector.pause(queue)
        if not as_json:
            click.echo(f"{queue}  {click.style('paused', fg='yellow')}")
    if as_json:
        print_json([{"queue": queue, "paused": True} for queue in queues])
