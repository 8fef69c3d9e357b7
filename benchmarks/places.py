"""Where the jobs of one measurement live: a Redis server of its own, or a new SQLite file.

Speaks to Redis by a socket, so that the runner needs no client library.
"""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import Protocol


class Place(Protocol):
    """A store, new and empty or filled with jobs that were saved before."""

    url: str

    def save(self, path: Path) -> None:
        """Keep the jobs in a file, to begin other measurements with."""
        ...

    def stop(self) -> None: ...


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Redis:
    """One redis-server (or valkey-server) that saves nothing by itself."""

    def __init__(self, binary: str, folder: Path, jobs: Path | None = None) -> None:
        folder.mkdir(parents=True)
        if jobs:
            shutil.copy(jobs, folder / "dump.rdb")
        self.folder = folder
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        # fmt: off
        self.process = subprocess.Popen(
            [
                binary, "--bind", "127.0.0.1", "--port", str(self.port), "--save", "",
                "--appendonly", "no", "--dir", str(folder), "--dbfilename", "dump.rdb",
                "--logfile", str(folder / "redis.log"),
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )
        # fmt: on
        self._connection: socket.socket | None = None
        until = time.monotonic() + 20
        while not self._ready():
            if self.process.poll() is not None or time.monotonic() > until:
                self.stop()
                raise RuntimeError(f"{binary} did not start; see {folder}/redis.log")
            time.sleep(0.01)

    def _ready(self) -> bool:
        try:
            return self.command("PING") == "PONG"
        except (OSError, RuntimeError):  # not listening yet, or still loading the jobs
            self._disconnect()
            return False

    def command(self, *words: str) -> str:
        """One command; the answer as text. RuntimeError for an error."""
        if self._connection is None:
            self._connection = socket.create_connection(("127.0.0.1", self.port), timeout=30)
        parts = [f"*{len(words)}\r\n"] + [f"${len(word)}\r\n{word}\r\n" for word in words]
        self._connection.sendall("".join(parts).encode())
        with self._connection.makefile("rb") as reader:
            head = reader.readline().decode().rstrip()
            if head[:1] == "-":
                raise RuntimeError(head[1:])
            if head[:1] == "$":
                return reader.read(int(head[1:]) + 2)[:-2].decode()
            if not head:
                raise ConnectionError("the server closed the connection")
            return head[1:]

    def info(self, section: str) -> dict[str, str]:
        lines = self.command("INFO", section).splitlines()
        return dict(line.split(":", 1) for line in lines if ":" in line)

    def commands(self) -> tuple[int, int]:
        """How many commands the server has run, those inside scripts and transactions too; and
        how often it read from a client (about the commands that were sent to it)."""
        info = self.info("stats")
        return int(info["total_commands_processed"]), int(info["total_reads_processed"])

    def version(self) -> str:
        info = self.info("server")
        if "valkey_version" in info:
            return f"valkey-server {info['valkey_version']}"
        return f"redis-server {info['redis_version']}"

    def save(self, path: Path) -> None:
        self.command("SAVE")
        shutil.copy(self.folder / "dump.rdb", path)

    def _disconnect(self) -> None:
        if self._connection:
            self._connection.close()
            self._connection = None

    def stop(self) -> None:
        self._disconnect()
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


class SQLite:
    """One database file."""

    def __init__(self, folder: Path, jobs: Path | None = None) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self.path = folder / "taskq.db"
        self.url = f"sqlite:///{self.path}"
        if jobs:
            for file in jobs.iterdir():
                shutil.copy(file, folder)

    def save(self, path: Path) -> None:
        # The write-ahead log goes with it, should it still be there.
        path.mkdir()
        for file in self.folder.glob("taskq.db*"):
            shutil.copy(file, path)

    def stop(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


class Memory:
    """Nothing to keep: the jobs live and end with the process."""

    url = "memory://"

    def save(self, path: Path) -> None:
        raise NotImplementedError("the jobs of a memory store can't be saved")

    def stop(self) -> None:
        pass
