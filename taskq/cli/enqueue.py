"""``taskq enqueue``: a job by the task's name."""

from __future__ import annotations

import json
from typing import Any

import click

from taskq.app import TaskQ
from taskq.cli.common import Failure, Wrong, add_json_option, add_source_options, open_app
from taskq.cli.output import hint, plain, print_json
from taskq.errors import JobError
from taskq.handle import JobHandle
from taskq.options import moment, overlay
from taskq.registry import AnyTask


@click.command()
@click.argument("name")
@click.argument("arguments", metavar="[JSON]", default="[]")
@click.option("--kwargs", metavar="JSON", help="Keyword arguments, besides positional ones.")
@click.option("--in", "delay", type=float, metavar="SECONDS", help="Not before so many seconds.")
@click.option("-q", "--queue", metavar="NAME", help="Another queue than the task's.")
@click.option("--priority", type=int, help="-100 to 100; higher first.")
@click.option("--id", "job_id", metavar="ID", help="An id of your own; twice the same runs once.")
@click.option(
    "--wait",
    type=float,
    metavar="SECONDS",
    help="Wait for the result and print it as JSON; exit code 1 if the job fails or takes longer.",
)
@add_source_options
@add_json_option
def command(
    name: str,
    arguments: str,
    kwargs: str | None,
    delay: float | None,
    queue: str | None,
    priority: int | None,
    job_id: str | None,
    wait: float | None,
    as_json: bool,
) -> None:
    """Enqueue a job and print its id.

    JSON holds the arguments: a list for positional ones, an object for keyword ones. With --app,
    task and arguments are checked first; with a --url alone they travel as they are.

    \b
    taskq enqueue shop.tasks.send_welcome '[7]'
    taskq enqueue shop.tasks.send_welcome '{"user_id": 7}' --in 60
    """
    args, keywords = _read(arguments, kwargs)
    given = {"queue": queue, "priority": priority, "job_id": job_id}
    options = {name: value for name, value in given.items() if value is not None}
    app = open_app()
    handle = _submit(app, name, args, keywords, options, delay)
    if not as_json:
        click.echo(handle.id)
    if handle.created is False:
        hint("That job was there already; nothing new was stored.")
    result, problem = None, ""
    if wait is not None:
        try:
            result = handle.result(timeout=wait)
        except (JobError, TimeoutError) as error:
            problem = str(error)
    if as_json:
        told = {"id": handle.id, "created": handle.created}
        print_json(told if wait is None else {**told, "result": result, "error": problem or None})
    elif wait is not None and not problem:
        click.echo(json.dumps(plain(result)))
    if problem:
        raise Failure(problem)


def _submit(
    app: TaskQ,
    name: str,
    args: list[Any],
    kwargs: dict[str, Any],
    options: dict[str, Any],
    delay: float | None,
) -> JobHandle[Any]:
    task = _task(app, name)
    due = None if delay is None else moment("--in", delay)
    try:
        return app.submit(
            task, overlay(app.options_of(task), options, "call"), tuple(args), kwargs, due
        )
    except TypeError as error:
        raise Wrong(f"{name}: {error}") from error


def _task(app: TaskQ, name: str) -> AnyTask:
    """The task; where the app is not known, one that takes whatever it is given.

    :raises TaskNotFound: the app is known, and has no such task.
    """
    if next(iter(app.tasks), None) is not None:
        return app.tasks.get(name)

    @app.task(name=name)
    def unknown(*args: Any, **kwargs: Any) -> None:
        """Only its name travels; a worker that knows it runs it."""

    return app.tasks.get(unknown.name)


def _read(arguments: str, kwargs: str | None) -> tuple[list[Any], dict[str, Any]]:
    first = _json("JSON", arguments)
    if not isinstance(first, list | dict):
        raise click.BadParameter(
            f"a list of positional arguments or an object of keyword ones, such as "
            f"'[{json.dumps(first)}]'; not {json.dumps(first)[:60]}",
            param_hint="JSON",
        )
    more = {} if kwargs is None else _json("--kwargs", kwargs)
    if not isinstance(more, dict):
        raise click.BadParameter("an object, such as '{\"user_id\": 7}'", param_hint="--kwargs")
    if isinstance(first, list):
        return first, more
    twice = sorted(first.keys() & more.keys())
    if twice:
        raise click.BadParameter(f"{', '.join(twice)}: given twice", param_hint="--kwargs")
    return [], {**first, **more}


def _json(where: str, text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(
            f"not JSON: {error}. Quote it for the shell: '[7, \"text\"]'", param_hint=where
        ) from error
