"""``taskq worker``: starts the supervisor, and shows what it serves.

This process imports neither the application nor its tasks: its children do.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

import click

from taskq.cli.common import NOT_SHARED, Wrong, add_app_option, app_name
from taskq.cli.output import Cell, clean, cut, fields, width
from taskq.config import Config
from taskq.errors import ConfigError
from taskq.log import setup

if TYPE_CHECKING:
    from taskq.worker.supervisor import Plan

logger = logging.getLogger("taskq.worker")

INDENT = 14
"""Columns before the tasks in the banner."""
TASK_LINES = 3
"""Lines of task names in the banner."""
LEAST_ROWS = 1100
"""Of the table of running jobs: the app may set more slots than are known here."""
NO_TASKS = "%s has no tasks; does it import the modules that declare them?"


@click.command()
@add_app_option
@click.option(
    "-q",
    "--queues",
    multiple=True,
    metavar="NAMES",
    help="Queues to serve: 'critical,default' in this order, one after the other; "
    "'critical=6,default=3' by weight, so that none starves. All that the tasks name if not given.",
)
@click.option("--exclude", multiple=True, metavar="NAMES", help="Queues not to serve.")
@click.option("--strict", is_flag=True, help="With weights: keep to their order, highest first.")
@click.option(
    "-c",
    "--concurrency",
    type=int,
    metavar="N",
    help="Threads of each process, for def tasks.  [default: the app's setting, 10]",
)
@click.option(
    "--async-concurrency",
    type=int,
    metavar="N",
    help="Coroutines of each process, for async def tasks.  [default: the app's setting, 1000]",
)
@click.option(
    "-p",
    "--processes",
    type=int,
    metavar="N",
    help="Worker processes.  [default: $TASKQ_PROCESSES, 1]",
)
@click.option("--burst", is_flag=True, help="End when no job is ready any more.")
@click.option(
    "--grace",
    type=float,
    metavar="SECONDS",
    help="How long running jobs may take to finish when it stops; then they are given back.  "
    "[default: $TASKQ_GRACE, 25]",
)
@click.option(
    "--log-level",
    type=click.Choice(["debug", "info", "warning", "error", "critical"], case_sensitive=False),
    help="[default: $TASKQ_LOG_LEVEL, info]",
)
@click.option(
    "--log-format",
    type=click.Choice(["plain", "json"]),
    help="Lines for people, or one JSON object a line.  [default: $TASKQ_LOG_FORMAT, plain]",
)
def command(
    queues: tuple[str, ...],
    exclude: tuple[str, ...],
    strict: bool,
    concurrency: int | None,
    async_concurrency: int | None,
    processes: int | None,
    burst: bool,
    grace: float | None,
    log_level: str | None,
    log_format: str | None,
) -> None:
    """Run jobs until told to stop.

    SIGTERM or Ctrl-C: it takes no more jobs, lets running ones finish within the grace, gives
    the rest back (no attempt is used), and ends with exit code 0. A second one: now. A worker
    process that dies is replaced and its jobs run again.
    """
    started = time.monotonic()
    app = app_name()
    config = Config.load(
        {
            "concurrency": concurrency,
            "async_concurrency": async_concurrency,
            "processes": processes,
            "grace": grace,
            "log_level": log_level,
            "log_format": log_format,
        }
    )
    # After all that can be refused at once: these imports take a while.
    from taskq.worker.queues import parse_queues
    from taskq.worker.supervisor import CannotStart, Plan, Supervisor

    names = parse_queues(",".join(queues)) if queues else None
    if strict and names is None:
        raise click.UsageError("--strict needs -q: the queues in their order, or with weights.")
    setup(config.log_level, config.log_format)
    plan = Plan(
        app=app,
        processes=config.processes,
        queues=names,
        exclude=_names(exclude),
        concurrency=concurrency,
        async_concurrency=async_concurrency,
        strict=strict,
        burst=burst,
        grace=config.grace,
        log_level=config.log_level,
        log_format=config.log_format,
        rows=max(LEAST_ROWS, config.concurrency + config.async_concurrency),
    )

    def on_ready(ready: dict[str, Any]) -> None:
        if ready["url"].startswith("memory:"):
            raise ConfigError(NOT_SHARED)
        show(ready, plan, time.monotonic() - started)

    supervisor = Supervisor(plan, on_ready)
    try:
        with _quiet_ends():
            code = supervisor.run()
    except CannotStart as error:
        raise Wrong(str(error)) from error
    logger.info("stopped")
    click.get_current_context().exit(code)


@contextlib.contextmanager
def _quiet_ends() -> Iterator[None]:
    """Signals before and after the supervisor's run, which has handlers of its own.

    Before, there is nothing yet to stop. Afterwards, when all is over, one more (an impatient
    Ctrl-C) must not spoil the exit code.
    """
    over = False

    def told(number: int, frame: FrameType | None) -> None:
        if not over:
            raise SystemExit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, told)
    try:
        yield
    finally:
        over = True
        for number in (signal.SIGTERM, signal.SIGINT):
            # Python's own handlers would be undone when the interpreter ends, before the process.
            signal.signal(number, signal.SIG_IGN)


def _names(given: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.strip() for name in ",".join(given).split(",") if name.strip())


def show(ready: dict[str, Any], plan: Plan, took: float) -> None:
    """What is served, and where: a screen for people, one line for a log."""
    each = f"{ready['concurrency']:,} threads + {ready['async_concurrency']:,} coroutines"
    processes = f"{plan.processes} {'process' if plan.processes == 1 else 'processes'}"
    tasks = ready["tasks"]
    if plan.log_format == "plain" and sys.stderr.isatty():
        _banner(ready, plan, f"{processes} × ({each})", took)
    else:
        logger.info(
            "taskq %s serves %s of %s with %s of %s, %d tasks",
            ready["version"], ready["queues"], ready["url"], processes, each, len(tasks),
        )  # fmt: skip
    if not tasks:
        logger.warning(NO_TASKS, plan.app)


def _banner(ready: dict[str, Any], plan: Plan, size: str, took: float) -> None:
    how = "all that its tasks name, in turn"
    if isinstance(plan.queues, list) or plan.strict:
        how = "in this order"
    elif plan.queues is not None:
        how = "by weight"
    room = shutil.get_terminal_size().columns
    title = click.style(f"taskq {ready['version']}", bold=True)
    rows: list[tuple[str, Cell | str]] = [
        ("app", plan.app),
        ("store", ready["url"]),
        ("queues", Cell(f"{ready['queues']}  ({how})", "cyan")),
        ("workers", f"{size}, supervised by {os.getpid()}"),
    ]
    names = ready["tasks"]
    lines = _task_lines(names, room - INDENT)
    title_of_tasks = "1 task" if len(names) == 1 else f"{len(names):,} tasks"
    rows += [(title_of_tasks if at == 0 else "", line) for at, line in enumerate(lines)]
    if plan.burst:
        rows.append(("burst", "ends when no job is ready any more"))
    stop = f"Ctrl-C stops it: running jobs get {plan.grace:g} s; a second one ends them now."
    # All at once: the children write their log to the same terminal.
    text = f"\n{title}  ready in {took:.1f} s\n\n{fields(rows)}\n\n{click.style(stop, dim=True)}\n"
    click.echo(text, err=True)


def _task_lines(names: list[str], room: int) -> list[str]:
    """The names, on a few lines; the last says how many are not shown."""
    lines: list[str] = []
    for at, name in enumerate(names):
        name = clean(name) + ("," if at + 1 < len(names) else "")
        more = f" … {len(names) - at:,} more"
        last = len(lines) == TASK_LINES
        if lines and width(f"{lines[-1]} {name}{more if last else ''}") <= room:
            lines[-1] += f" {name}"
        elif last:
            lines[-1] += more
            break
        else:
            lines.append(cut(name, room))
    return lines
