"""Starts and ends worker processes, and says what a tree of them costs (from Linux's /proc)."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


class Workers:
    """The workers of one measurement, with all the processes that they start."""

    def __init__(
        self, commands: Sequence[Sequence[str]], env: Mapping[str, str], cwd: Path, log: Path
    ) -> None:
        self.log = log
        with log.open("ab") as output:
            self.roots = [
                subprocess.Popen(
                    command,
                    env=dict(env),
                    cwd=cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
                for command in commands
            ]

    def alive(self) -> bool:
        return all(root.poll() is None for root in self.roots)

    def pids(self) -> list[int]:
        """Every process of the trees."""
        return [pid for root in self.roots for pid in tree(root.pid)]

    def kill(self) -> None:
        """End them all at once: what a measurement leaves in its store is thrown away."""
        # Stopped first, so that no supervisor starts another child meanwhile.
        for root in self.roots:
            if root.poll() is None:
                root.send_signal(signal.SIGSTOP)
        for pid in self.pids():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        for root in self.roots:
            root.wait()

    def last_line(self) -> str:
        """The last line of their log."""
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1].strip()[:200] if lines else "no message"

    def complaint(self) -> str:
        """The last line of the log, when a worker wrote a traceback."""
        text = self.log.read_text(errors="replace")
        return self.last_line() if "Traceback (most recent call last)" in text else ""


def tree(root: int) -> list[int]:
    """A process and its descendants that live."""
    children: dict[int, list[int]] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                stat = Path(entry.path, "stat").read_text()
            except OSError:  # it ended meanwhile
                continue
            # The name may hold blanks and brackets, so read behind its last bracket.
            parent = int(stat.rpartition(")")[2].split()[1])
            children.setdefault(parent, []).append(int(entry.name))
    found = [root] if Path(f"/proc/{root}").exists() else []
    for pid in found:  # grows while it is walked
        found += children.get(pid, ())
    return found


def memory(pids: Sequence[int]) -> float:
    """PSS of processes in MiB: pages that several share are split between them."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
    return total / 1024


def cpu(pids: Sequence[int]) -> float:
    """Seconds of CPU that the living threads of these processes have used."""
    total = 0
    for pid in pids:
        try:
            tasks = list(os.scandir(f"/proc/{pid}/task"))
        except OSError:
            continue
        for task in tasks:
            try:
                total += int(Path(task.path, "schedstat").read_text().split()[0])
            except OSError:
                continue
    return total / 1e9
