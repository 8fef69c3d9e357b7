"""Logging: the job's fields on every record, plain and JSON, and nobody else's logging touched."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from taskq import log

JOB = {"job_id": "01a2", "task": "mail.send", "queue": "mail", "attempt": 2}


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    logger, root = logging.getLogger("taskq"), logging.getLogger()
    before = list(logger.handlers), logger.level, logger.propagate
    there = list(root.handlers)
    yield
    assert [h for h in root.handlers if h not in there] == [], "the root logger was touched"
    logger.handlers[:], logger.level, logger.propagate = before


@contextmanager
def running(fields: dict[str, object]) -> Iterator[None]:
    token = log.job_fields.set(fields)
    try:
        yield
    finally:
        log.job_fields.reset(token)


@pytest.fixture
def out() -> io.StringIO:
    return io.StringIO()


def test_plain_lines_name_the_job(out: io.StringIO) -> None:
    log.setup("INFO", stream=out)
    logger = logging.getLogger("taskq.worker")
    logger.info("before")
    with running(JOB):
        logger.warning("it is %s", "warm")
    before, within = out.getvalue().splitlines()
    assert before.endswith("INFO    taskq.worker  before")
    assert within.endswith("WARNING taskq.worker  it is warm  [mail.send 01a2 #2]")


def test_json_lines_are_json_and_hold_the_fields(out: io.StringIO) -> None:
    log.setup("INFO", "json", out)
    with running(JOB):
        try:
            raise ValueError('a "quoted"\nline')
        except ValueError:
            logging.getLogger("taskq.worker").exception("it failed: ü")
    text = out.getvalue()
    assert text.count("\n") == 1
    line = json.loads(text)
    assert {name: line[name] for name in JOB} == JOB
    assert (line["level"], line["logger"], line["message"]) == (
        "error",
        "taskq.worker",
        "it failed: ü",
    )
    assert 'ValueError: a "quoted"' in line["exception"]
    assert line["time"].endswith("Z")


def test_outside_of_a_job_the_fields_are_absent(out: io.StringIO) -> None:
    log.setup("INFO", "json", out)
    logging.getLogger("taskq").info("idle")
    assert set(json.loads(out.getvalue())) == {"time", "level", "logger", "message"}


def test_fields_given_with_the_record_count_more_than_those_of_the_job(out: io.StringIO) -> None:
    log.setup("INFO", "json", out)
    with running(JOB):
        logging.getLogger("taskq").info("other", extra={"job_id": "ffff"})
    assert json.loads(out.getvalue())["job_id"] == "ffff"


def test_the_filter_serves_handlers_of_the_application(out: io.StringIO) -> None:
    handler = logging.StreamHandler(out)
    handler.addFilter(log.JobFilter())
    handler.setFormatter(logging.Formatter("%(message)s %(task)s|%(job_id)s"))
    logger = logging.getLogger("shop")
    logger.addHandler(handler)
    logger.propagate = False
    try:
        logger.warning("out")
        with running(JOB):
            logger.warning("in")
    finally:
        logger.removeHandler(handler)
        logger.propagate = True
    assert out.getvalue().splitlines() == ["out |", "in mail.send|01a2"]


def test_a_second_setup_replaces_the_first(out: io.StringIO) -> None:
    log.setup("INFO", stream=io.StringIO())
    log.setup("WARNING", stream=out)
    logger = logging.getLogger("taskq.worker")
    logger.info("not told")
    logger.warning("told once")
    assert len(out.getvalue().splitlines()) == 1


def test_handlers_of_the_application_stay(out: io.StringIO) -> None:
    own = logging.StreamHandler(out)
    logging.getLogger("taskq").addHandler(own)
    log.setup("INFO", stream=io.StringIO())
    assert own in logging.getLogger("taskq").handlers


@pytest.mark.parametrize("format", ["plain", "json"])
def test_a_message_that_is_no_text_is_written_all_the_same(
    format: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """RUN-06: lone surrogates cannot be written in UTF-8; the line is not lost."""
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, "utf-8")
    log.setup("INFO", "json" if format == "json" else "plain", stream)
    logging.getLogger("taskq").error("failed with %s", "\udcff zany")
    stream.flush()
    assert b"zany" in raw.getvalue()
    assert "Logging error" not in capfd.readouterr().err
