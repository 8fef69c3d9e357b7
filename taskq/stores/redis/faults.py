"""What went wrong between taskq and a Redis server, in taskq's own errors; and repeating."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable
from typing import TypeVar

from taskq.errors import StoreError, StoreUnavailable

A = TypeVar("A")
R = TypeVar("R")

# What an error reply begins with. Older servers wrap the error of a command in a script:
# "ERR Error running script (call to f_…): @user_script:7: -OOM command not allowed …".
_CODE = re.compile(r"(?:^|: -?)([A-Z]{3,})\b")

_TEXTS = {
    "OOM": "Redis is out of memory: it has reached its maxmemory and refuses to store more",
    "LOADING": "Redis is loading its data and answers nothing yet",
    "READONLY": "Redis is a replica that takes no writes",
    "MASTERDOWN": "Redis is a replica that has lost its master",
    "MISCONF": "Redis refuses writes because it could not save its data to disk",
    "NOREPLICAS": "Redis refuses writes because it has too few replicas",
    "BUSY": "Redis is busy with a script that does not end",
    "TRYAGAIN": "Redis is moving keys between its nodes",
    "CLUSTERDOWN": "the Redis cluster is down",
    "WRONGPASS": "Redis refused the user name or the password",
    "NOAUTH": "Redis asks for a password and the URL has none: redis://:password@host",
    "NOPERM": "the Redis user may not do what taskq needs",
    "MOVED": "Redis is a node of a cluster, and the keys are on another one",
    "CROSSSLOT": "Redis is a node of a cluster, and the keys are on another one",
}
_TRANSIENT = {
    "OOM",
    "LOADING",
    "READONLY",
    "MASTERDOWN",
    "MISCONF",
    "NOREPLICAS",
    "BUSY",
    "TRYAGAIN",
    "CLUSTERDOWN",
}

WORTH_ANOTHER_TRY = {"LOADING", "READONLY", "MASTERDOWN", "TRYAGAIN", "CLUSTERDOWN"}
"""Codes of what may be over within the budget of a call."""


class Refusal(Exception):
    """An error reply of the server."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        found = [code for code in _CODE.findall(text) if code != "ERR"]
        self.code = next((code for code in found if code in _TEXTS), found[0] if found else "ERR")
        if "unauthenticated" in text:
            # It takes only short commands before a password.
            self.code = "NOAUTH"
        self.text = text

    @classmethod
    def untrusted(cls, why: str) -> Refusal:
        """The server's certificate is not what it should be."""
        return cls(
            f"the certificate is not trusted ({why}); ssl_ca_certs= in the URL names the file "
            f"of a CA of your own"
        )

    def error(self, server: str) -> StoreError:
        """The same as an error of taskq's."""
        if "max number of clients reached" in self.text:
            return StoreUnavailable(f"{server}: Redis has as many clients as its maxclients")
        told = _TEXTS.get(self.code)
        message = f"{server}: {self.text}" if told is None else f"{server}: {told} ({self.text})"
        return StoreUnavailable(message) if self.code in _TRANSIENT else StoreError(message)


class Broken(Exception):
    """No connection, or none any more.

    :param sent: the command may have reached the server.
    """

    def __init__(self, text: str, sent: bool = False) -> None:
        super().__init__(text)
        self.sent = sent


class Late(Broken):
    """No answer in time."""


def reason(error: OSError) -> str:
    """An error of a socket, in a few words."""
    if isinstance(error, TimeoutError | BlockingIOError):
        return "no answer in time"
    return error.strerror or str(error) or type(error).__name__


class Budget:
    """The time a call may take with all its repeats, and how long to pause between them."""

    def __init__(self, seconds: float, start: float | None = None) -> None:
        self._until = (time.monotonic() if start is None else start) + seconds
        self._pause = 0.02

    def left(self) -> float:
        return self._until - time.monotonic()

    def pause(self) -> float | None:
        """How long to wait before the next try (jittered, growing); None: time is up."""
        pause = self._pause * (0.5 + random.random())
        self._pause = min(self._pause * 2, 0.5)
        return pause if pause < self.left() else None


def repeating(
    seconds: float, repeat: bool, server: str, attempt: Callable[[float, A], R], what: A
) -> R:
    """Call ``attempt(seconds left, what)`` until it succeeds or the time is up.

    The only place where a sync call is repeated. The first try has all of the time.

    :param repeat: it may be sent again although it may have been done.
    """
    start, left, budget = time.monotonic(), seconds, None
    while True:
        try:
            return attempt(left, what)
        except (Broken, Refusal) as problem:
            budget = budget or Budget(seconds, start)
            pause = budget.pause() if again(problem, repeat) else None
            if pause is None:
                raise final(problem, server) from problem
        time.sleep(pause)
        left = max(budget.left(), 0.001)


def again(problem: Broken | Refusal, repeat: bool) -> bool:
    """Another try makes sense."""
    if isinstance(problem, Broken):
        return repeat or not problem.sent
    return problem.code in WORTH_ANOTHER_TRY


def final(problem: Broken | Refusal, server: str) -> StoreError:
    if isinstance(problem, Refusal):
        return problem.error(server)
    return StoreUnavailable(f"{server}: {problem}")
