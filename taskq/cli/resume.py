"""``taskq resume``: the end of ``taskq pause``."""

from __future__ import annotations

import click

from taskq.cli.common import add_json_option, add_source_options, open_app
from taskq.cli.output import print_json


@click.command()
@click.argument("queues", metavar="QUEUE...", nargs=-1, required=True)
@add_source_options
@add_json_option
def command(queues: tuple[str, ...], as_json: bool) -> None:
    """Go on with paused queues."""
    inspector = open_app().inspector
    for queue in queues:
        inspector.resume(queue)
        if not as_json:
            click.echo(f"{queue}  {click.style('goes on', fg='green')}")
    if as_json:
        print_json([{"queue": queue, "paused": False} for queue in queues])
