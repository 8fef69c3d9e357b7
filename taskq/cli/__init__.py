"""The command line: ``taskq``, also ``python -m taskq``.

``main`` is the group. A command is one module here, named in ``COMMANDS`` and imported when it
is asked for, so that ``taskq worker``, whose process lives long, holds little.
"""

from __future__ import annotations

import copy
import difflib
import importlib
from typing import Any

import click

from taskq.cli.common import Source, adapt_streams, add_source_options, colours_wanted, failure
from taskq.errors import TaskQError

__all__ = ["main", "group_for"]

COMMANDS = (
    "worker",
    "health",
    "stats",
    "queues",
    "workers",
    "jobs",
    "get",
    "enqueue",
    "cancel",
    "retry",
    "pause",
    "resume",
)
"""In the order of the help. Each is ``command`` in ``taskq.cli.<name>``."""

SETTINGS: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Commands(click.Group):
    """A group whose commands are imported when they are needed.

    Errors of taskq become one line and an exit code, see `failure`.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*COMMANDS, *(name for name in self.commands if name not in COMMANDS)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands and cmd_name in COMMANDS:
            command: click.Command = importlib.import_module(f"taskq.cli.{cmd_name}").command
            self.add_command(command, cmd_name)
        return super().get_command(ctx, cmd_name)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for text in args:
            try:
                text.encode()
            except UnicodeEncodeError:
                ctx.fail(f"{text!a} is no text in the encoding of this terminal.")
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and self.get_command(ctx, args[0]) is None:
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), 1)
            if near:
                ctx.fail(f"There is no command {args[0]!r}; did you mean {near[0]}?")
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        adapt_streams()
        if not colours_wanted():
            ctx.color = False
        try:
            return super().invoke(ctx)
        except TaskQError as error:
            raise failure(error) from error


class _CommandsOfApp(Commands):
    """The same commands without the options that say which app."""

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        command = super().get_command(ctx, cmd_name)
        if command is None:
            return None
        command = copy.copy(command)
        command.params = [p for p in command.params if p.name not in ("app", "url")]
        return command


@click.group(
    cls=Commands,
    context_settings=SETTINGS,
    epilog="Exit codes: 0 fine; 1 what was asked for failed or is not there; 2 wrong usage or "
    "configuration; 3 the store was not reached.",
)
@add_source_options
@click.version_option(package_name="taskq", message="%(prog)s %(version)s")
def main() -> None:
    """Background jobs: run workers, look at queues and jobs, set them right.

    Every command needs to know where the jobs are: by --app module:name (or $TASKQ_APP), or by
    --url (or $TASKQ_URL). The worker needs the app. These options may stand before or after the
    command.
    """


def group_for(app: str, name: str = "taskq") -> click.Group:
    """The commands for an app that is known: for frameworks, to hang under a command of theirs.

    :param app: as ``module:name``. The name may be a function without parameters that gives the
        app; worker processes import it and call it too.
    """
    return _CommandsOfApp(
        name=name,
        help="Background jobs: run workers, look at queues and jobs, set them right.",
        context_settings={**SETTINGS, "obj": Source(app=app)},
    )
