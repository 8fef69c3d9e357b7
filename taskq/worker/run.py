"""A claim on its way through this process."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from taskq.errors import Interrupt
from taskq.job import Claim, Note

if TYPE_CHECKING:
    from taskq.context import JobContext
    from taskq.options import Options
    from taskq.registry import AnyTask


class Run:
    """A claim held by this process, from claiming to its outcome.

    ``received`` is the monotonic time at which the claim arrived: with ``claim.now`` it
    gives the store's time without asking the store.
    """

    __slots__ = (
        "args",
        "cancel_requested",
        "claim",
        "context",
        "cut",
        "cut_at",
        "ended",
        "interrupt",
        "kwargs",
        "lease",
        "lock",
        "note",
        "options",
        "received",
        "row",
        "started",
        "task",
    )

    def __init__(self, claim: Claim, lease: str, received: float) -> None:
        self.claim = claim
        self.lease = lease
        self.received = received
        self.task: AnyTask | None = None
        self.options: Options | None = None
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}
        self.context: JobContext | None = None
        self.started = 0.0
        """When the function was entered (monotonic); 0: not yet."""
        self.cut_at: float | None = None
        """When it must be interrupted (monotonic)."""
        self.cut: Interrupt | None = None
        """What it was interrupted with, if it was."""
        self.interrupt: Callable[[Interrupt], None] | None = None
        """Raises something into it; set by the lane that runs it."""
        self.cancel_requested = False
        self.ended = False
        """Its outcome is decided; nothing more comes of it."""
        self.note: Note | None = None
        """What it said of itself and was not yet written."""
        self.row = -1
        """Its row in the table of slots."""
        self.lock = threading.Lock()

    def now(self) -> float:
        """The store's time, as far as it is known here."""
        return self.claim.now + (time.monotonic() - self.received)

    def end(self) -> bool:
        """Decides that the outcome is the caller's to tell; False: somebody was first."""
        with self.lock:
            if self.ended:
                return False
            self.ended = True
            return True
