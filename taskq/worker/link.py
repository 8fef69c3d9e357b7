"""The pipe between a supervisor and its child: JSON objects, one a line."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

Message = dict[str, Any]


MOST_UNSENT = 1 << 20


class Link:
    """One end. Sending never fails and never waits: an end that is gone is noticed by reading,
    and what the other end does not take now is sent by a later `flush`."""

    def __init__(self, end: socket.socket) -> None:
        self._socket = end
        self._lock = threading.Lock()
        self._rest = b""
        self._unsent = bytearray()

    def fileno(self) -> int:
        return self._socket.fileno()

    def send(self, **message: Any) -> None:
        with self._lock:
            # An end that takes nothing for so long is dead or stopped; others see to that.
            if len(self._unsent) < MOST_UNSENT:
                self._unsent += json.dumps(message).encode() + b"\n"
        self.flush()

    def flush(self) -> None:
        """Send what has not been sent."""
        with self._lock:
            try:
                while self._unsent:
                    del self._unsent[: self._socket.send(self._unsent, socket.MSG_DONTWAIT)]
            except OSError:
                pass  # full, or gone; whoever reads learns of the latter and acts

    def read(self, *, wait: bool = True) -> list[Message] | None:
        """The messages that have come; None: the other end is gone.

        :param wait: for a first one; else there may be none.
        """
        try:
            data = self._socket.recv(1 << 16, 0 if wait else socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not data:
            return None
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [json.loads(line) for line in lines]

    def __iter__(self) -> Iterator[Message]:
        """The messages as they come, until the other end is gone."""
        while (messages := self.read()) is not None:
            yield from messages

    def close(self) -> None:
        self._socket.close()
