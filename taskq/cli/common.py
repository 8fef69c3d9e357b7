"""What the commands share: finding the app, options, errors and exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from io import TextIOWrapper
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

import click

from taskq.errors import (
    ConfigError,
    EncodeError,
    NoAppError,
    NotSupported,
    SchemaError,
    StoreUnavailable,
    TaskAlreadyRegistered,
    TaskNotFound,
    TaskQError,
)

if TYPE_CHECKING:
    from taskq.app import TaskQ

F = TypeVar("F", bound=Callable[..., Any])

FAILED, WRONG, UNREACHED = 1, 2, 3
"""The exit codes besides 0."""

_WRONG = (
    ConfigError,
    EncodeError,
    NoAppError,
    NotSupported,
    SchemaError,
    TaskAlreadyRegistered,
    TaskNotFound,
)

NOT_SHARED = (
    "memory:// keeps its jobs inside the process that made them, so no other process can see or "
    "run them. Run a worker there (with app.worker(): …), or use sqlite:///taskq.db, which needs "
    "no server, or redis://…"
)

WHERE = (
    "Say where the jobs are: --app module:name (or $TASKQ_APP), or --url redis://… (or $TASKQ_URL)."
)


class Failure(click.ClickException):
    """Shown as one red line on standard error; what follows the first line stays plain."""

    exit_code = FAILED

    def __init__(self, message: str) -> None:
        super().__init__(message)
        context = click.get_current_context(silent=True)
        self._color = None if context is None else context.color

    def show(self, file: IO[Any] | None = None) -> None:
        first, newline, rest = self.message.rstrip("\n").partition("\n")
        text = click.style(f"Error: {first}", fg="red") + newline + rest
        click.echo(text, file=file, err=file is None, color=self._color)


class Wrong(Failure):
    """The usage or the configuration is wrong."""

    exit_code = WRONG


class Unreached(Failure):
    """The store was not reached."""

    exit_code = UNREACHED


def failure(error: TaskQError) -> Failure:
    """An error of taskq as the command line tells it."""
    if isinstance(error, StoreUnavailable):
        return Unreached(str(error))
    return Wrong(str(error)) if isinstance(error, _WRONG) else Failure(str(error))


@dataclass(slots=True)
class Source:
    """Where the jobs are, as far as the command line says. None: not said."""

    app: str | None = None
    url: str | None = None


def source() -> Source:
    """That of the command that runs."""
    return click.get_current_context().ensure_object(Source)


def app_name() -> str:
    """The app as ``module:name``, for those that only hand it on.

    :raises click.UsageError: it was not named.
    """
    here = source()
    if here.url is not None:
        raise click.UsageError("A worker takes --app, not --url: the app says where its jobs are.")
    name = here.app or os.environ.get("TASKQ_APP")
    if not name:
        raise click.UsageError(
            "Say which app: --app module:name (or $TASKQ_APP), such as --app shop.tasks:app."
        )
    return name


def open_app() -> TaskQ:
    """The app named; or, where there is but a URL, one without tasks.

    What was said on the command line comes before the environment; last comes the default store
    in the working folder, if it is there (looking must not make an empty one). The app is closed
    when the command ends.

    :raises click.UsageError: nothing was named, or too much.
    :raises ConfigError: it cannot be loaded, or no other process can look into its store.
    """
    # Here, because the worker's supervisor has no use for it.
    from taskq.app import TaskQ, load_app

    here, context = source(), click.get_current_context()
    if here.app and here.url:
        raise click.UsageError("Give --app or --url, not both.")
    name = here.app or (None if here.url else os.environ.get("TASKQ_APP"))
    if name:
        app = load_app(name)
        context.call_on_close(app.close)
    elif here.url or os.environ.get("TASKQ_URL") or Path("taskq.db").is_file():
        app = TaskQ(here.url)
        context.call_on_close(app.forget)
    else:
        raise click.UsageError(WHERE)
    if not app.store.shared:
        raise ConfigError(NOT_SHARED)
    return app


def _remember(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
    here = ctx.find_object(Source)
    if here is None:
        here = ctx.obj = Source()
    if value is not None:
        setattr(here, str(param.name), value)


def _no_colours(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    here: click.Context | None = ctx if value else None
    while here is not None:  # errors are shown by the groups above
        here.color = False
        here = here.parent


_app_option = click.option(
    "--app",
    metavar="MODULE:NAME",
    callback=_remember,
    expose_value=False,
    help="The app, such as shop.tasks:app.  [env var: TASKQ_APP]",
)
_url_option = click.option(
    "--url",
    metavar="URL",
    callback=_remember,
    expose_value=False,
    help="The store alone, such as redis://localhost:6379/0.  [env var: TASKQ_URL]",
)


_colour_option = click.option(
    "--no-color",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_no_colours,
    help="No colours; so does $NO_COLOR. Only terminals ever get any.",
)


def add_source_options(fn: F) -> F:
    """``--app`` and ``--url``, which `open_app` obeys, and ``--no-color``."""
    return _app_option(_url_option(_colour_option(fn)))


def add_app_option(fn: F) -> F:
    """``--app``, for commands that cannot do without it, and ``--no-color``."""
    return _app_option(_colour_option(fn))


def add_json_option(fn: F) -> F:
    """``--json``, as the parameter ``as_json``."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(fn)


def colours_wanted() -> bool:
    """False where the user asked for none; a pipe or a file never gets any anyway."""
    return not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def adapt_streams() -> None:
    """What an output's encoding cannot say is escaped instead of being an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
