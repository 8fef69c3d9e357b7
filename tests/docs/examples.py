"""Runs the examples of one page: ``python -m tests.docs.examples PAGE``, in an empty folder.

The Python blocks of a page run in order and share their names. A block with a title is written
to a file of that name instead. A comment ``<!-- python … -->`` runs too and is not shown: it
makes what the examples take for granted, and checks what they came to.
"""

from __future__ import annotations

import ast
import asyncio
import os
import re
import sys
import textwrap
import types
from pathlib import Path
from typing import NamedTuple

BLOCK = re.compile(
    r"^(?P<indent> *)```python(?: title=\"(?P<title>[^\"]+)\")?\n(?P<code>.*?)^ *```$"
    r"|^<!-- python\n(?P<hidden>.*?)^-->$",
    re.MULTILINE | re.DOTALL,
)


class Example(NamedTuple):
    """One block: its code, the line it stands on, and the file it is to be, if so."""

    code: str
    line: int
    title: str | None


def examples(page: Path) -> list[Example]:
    """The Python blocks of a page, the hidden ones included."""
    text = page.read_text("utf-8")
    found = []
    for match in BLOCK.finditer(text):
        code = match["hidden"] if match["hidden"] is not None else match["code"]
        group = "hidden" if match["hidden"] is not None else "code"
        line = text.count("\n", 0, match.start(group))
        found.append(Example(textwrap.dedent(code), line, match["title"]))
    return found


def run(page: Path) -> None:
    """Run them all; the first that raises ends it, with its place in the page."""
    module = types.ModuleType("page")
    sys.modules["page"] = module
    sys.path.insert(0, os.getcwd())
    for example in examples(page):
        if example.title is not None:
            Path(example.title).write_text(example.code, "utf-8")
            continue
        # Blank lines before it make the numbers in a traceback those of the page.
        code = compile(
            "\n" * example.line + example.code,
            str(page),
            "exec",
            flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT,
        )
        waits = eval(code, module.__dict__)
        if waits is not None:
            asyncio.run(waits)


if __name__ == "__main__":
    run(Path(sys.argv[1]))
    sys.stdout.flush()
    os._exit(0)  # whatever the examples left running
