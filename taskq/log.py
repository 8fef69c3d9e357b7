"""Logging under the logger ``taskq``; the root logger is never touched.

While a job runs, ``job_fields`` holds its id, task, queue and attempt. :class:`JobFilter`
puts them on every record that is made meanwhile, the application's own ones included.
"""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Mapping
from contextvars import ContextVar
from typing import Literal, TextIO

NO_FIELDS: Mapping[str, object] = {}
job_fields: ContextVar[Mapping[str, object]] = ContextVar("taskq_job_fields", default=NO_FIELDS)

FIELDS = ("job_id", "task", "queue", "attempt")


class JobFilter(logging.Filter):
    """Adds ``job_id``, ``task``, ``queue`` and ``attempt`` of the running job to a record.

    Put it on a handler of your own to have them in your own format; outside of a job
    they are empty strings.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        fields = job_fields.get()
        for name in FIELDS:
            if not hasattr(record, name):
                setattr(record, name, fields.get(name, ""))
        return True


class PlainFormatter(logging.Formatter):
    """``12:00:01 INFO    taskq.worker  text  [send_welcome 01a2… #1]``

    What a terminal would obey (escape sequences, line feeds in a message) is shown escaped, so
    an exception's text cannot forge lines.
    """

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s  %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:
        record.message = printable(record.message)
        text = super().formatMessage(record)
        job_id = getattr(record, "job_id", "")
        if not job_id:
            return text
        task, attempt = getattr(record, "task", ""), getattr(record, "attempt", "")
        run = f" #{attempt}" if attempt != "" else ""
        return printable(f"{text}  [{task} {job_id}{run}]")


def printable(text: str) -> str:
    """The text with everything escaped that is not a printable character."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class JsonFormatter(logging.Formatter):
    """One JSON object a line, with the job's fields where there is a job."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line: dict[str, object] = {
            "time": f"{stamp}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        for name in FIELDS:
            value = getattr(record, name, "")
            if value != "":
                line[name] = value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def setup(
    level: str | int = "INFO",
    format: Literal["plain", "json"] = "plain",
    stream: TextIO | None = None,
) -> None:
    """Let the logger ``taskq`` write to a stream (standard error by default).

    Called by the command line; an application that sets up logging itself need not.
    A second call replaces the handler of the first.
    """
    logger = logging.getLogger("taskq")
    for handler in [h for h in logger.handlers if getattr(h, "_taskq", False)]:
        logger.removeHandler(handler)
    new = logging.StreamHandler(stream or sys.stderr)
    new._taskq = True  # type: ignore[attr-defined]  # marks it as ours, see above
    new.setFormatter(JsonFormatter() if format == "json" else PlainFormatter())
    new.addFilter(JobFilter())
    logger.addHandler(new)
    logger.setLevel(level)
    logger.propagate = False
