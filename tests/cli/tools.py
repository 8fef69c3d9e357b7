"""Driving the command line in tests."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from click.testing import CliRunner, Result

from taskq.cli import main


def run(*args: str, env: Mapping[str, str | None] | None = None) -> Result:
    """``taskq …`` in this process. An exception that taskq should have told fails the test."""
    result = CliRunner().invoke(main, args, env=env, prog_name="taskq")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def run_json(*args: str, code: int = 0) -> Any:
    """The document that ``taskq … --json`` prints."""
    result = run(*args, "--json")
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def start(
    folder: Path, *args: str, env: Mapping[str, str] | None = None, **options: Any
) -> subprocess.Popen[str]:
    """``python -m taskq …`` in a folder, as a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "taskq", *args],
        cwd=folder,
        env={**clean_env(), **(env or {})},
        text=True,
        **options,
    )


def call(
    folder: Path, *args: str, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """``python -m taskq …`` until it ends."""
    process = start(folder, *args, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        out, err = process.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        process.kill()
        raise
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def clean_env() -> dict[str, str]:
    """The environment without what steers taskq or its colours."""
    steering = ("TASKQ_", "NO_COLOR", "FORCE_COLOR", "COLUMNS", "TERM")
    return {k: v for k, v in os.environ.items() if not k.startswith(steering)} | {"TERM": "xterm"}


class Shown(NamedTuple):
    """What a command showed on a terminal, and its exit code."""

    text: str
    code: int


def on_terminal(
    folder: Path,
    *args: str,
    columns: int = 80,
    env: Mapping[str, str] | None = None,
    then: Callable[[str, int], bool] = lambda text, fd: True,
    timeout: float = 60.0,
) -> Shown:
    """``python -m taskq …`` on a terminal of so many columns.

    :param then: called with the text so far and the terminal, until it answers True; it may
        write to the terminal (``b"\\x03"`` is Ctrl-C).
    """
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(
        [
            sys.executable,
            "-c",
            # A session of its own, whose terminal this is: so Ctrl-C reaches it.
            "import fcntl, os, sys, termios; fcntl.ioctl(0, termios.TIOCSCTTY, 0); "
            "os.execv(sys.executable, [sys.executable, '-m', 'taskq', *sys.argv[1:]])",
            *args,
        ],
        cwd=folder,
        env={**clean_env(), **(env or {})},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    os.set_blocking(ours, False)
    text, satisfied, end = "", False, time.monotonic() + timeout
    try:
        while True:
            over = process.poll() is not None
            try:
                while data := os.read(ours, 1 << 16):
                    text += data.decode("utf-8", "replace")
            except BlockingIOError:
                pass
            except OSError:  # the other side has closed it
                over = True
            if over:
                return Shown(text.replace("\r\n", "\n"), process.wait(10))
            satisfied = satisfied or then(text, ours)
            assert time.monotonic() < end, f"it did not end in time: {text}"
            time.sleep(0.02)
    finally:
        os.close(ours)
        if process.poll() is None:
            process.kill()
            process.wait()
