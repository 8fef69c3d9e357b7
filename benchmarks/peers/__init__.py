"""The queues that are measured, one file each.

A file says in ``REQUIRES`` what pip has to install (a plain list, read without importing the
file) and in ``PEERS`` what is measured. A new peer is a new file here and nothing else.
"""

from __future__ import annotations

import ast
import importlib
from pathlib import Path

from benchmarks.peers.base import Peer

FOLDER = Path(__file__).parent
NAMES = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem not in ("__init__", "base"))


def requirements(name: str) -> list[str]:
    """What the peer's file says that it needs."""
    for node in ast.parse((FOLDER / f"{name}.py").read_text()).body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "REQUIRES":
            return list(ast.literal_eval(node.value))
    raise LookupError(f"benchmarks/peers/{name}.py has no REQUIRES = [...]")


def load(name: str) -> list[Peer]:
    """The peers of one file."""
    peers: list[Peer] = importlib.import_module(f"benchmarks.peers.{name}").PEERS
    return peers
