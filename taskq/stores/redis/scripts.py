"""The Lua scripts: each is the prelude and one file of ``lua/``, joined here."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from taskq.stores.redis.keys import Keys

Argument = bytes | str | int
Command = tuple[Argument, ...]


class Script(NamedTuple):
    """A script as the server knows it."""

    name: str
    source: str
    sha: str
    keys: tuple[str, ...]
    """The names of its first keys, from the line ``-- keys:`` at its head."""


def _load() -> dict[str, Script]:
    # Not importlib.resources, which takes zipfile and 2 MB along.
    folder = Path(__file__).with_name("lua")
    parts = _parts(folder.joinpath("_prelude.lua").read_text("utf-8"))
    scripts = {}
    for file in folder.iterdir():
        name, _, kind = file.name.partition(".")
        if kind == "lua" and not name.startswith("_"):
            scripts[name] = _join(name, parts, file.read_text("utf-8"))
    return scripts


def _parts(prelude: str) -> list[tuple[str, set[str]]]:
    """The parts of the prelude, each with the names that it gives: those that are not indented."""
    parts = []
    for block in prelude.split("\n\n"):
        part = _bare(block)
        if part:
            names = _DEFINED.findall(block)
            parts.append((part, {name for found in names for name in _NAME.findall(found)}))
    return parts


_DEFINED = re.compile(r"^local (?:function )?([\w, ]+)", re.MULTILINE)
_NAME = re.compile(r"[A-Za-z_]\w*")


def _join(name: str, parts: Sequence[tuple[str, set[str]]], text: str) -> Script:
    """A script with those parts of the prelude that it needs: each costs time at every call."""
    keys = text.partition("\n")[0].removeprefix("-- keys:").split()
    source = _bare(text)
    for part, given in reversed(parts):
        if given & set(_NAME.findall(source)):
            source = f"{part}\n{source}"
    lines = [f"local {key.upper()} = KEYS[{n}]" for n, key in enumerate(keys, 1)]
    source = "\n".join([*lines, f"local MORE = {len(keys)}", source])
    return Script(name, source, hashlib.sha1(source.encode()).hexdigest(), tuple(keys))  # noqa: S324  # the name that Redis gives a script


def _bare(text: str) -> str:
    """Without comments and indents: the server keeps the source as long as it runs."""
    lines = (line.strip() for line in text.splitlines())
    return "\n".join(line for line in lines if line and not line.startswith("--"))


SCRIPTS = _load()
SOURCES = {script.sha: script.source for script in SCRIPTS.values()}


class Calls:
    """Makes the commands that run the scripts on the keys of one prefix."""

    def __init__(self, keys: Keys) -> None:
        self._heads = {
            name: (script.sha, len(script.keys), keys.named(script.keys))
            for name, script in SCRIPTS.items()
        }

    def head(self, name: str, keys: Sequence[bytes]) -> Command:
        """The beginning of a command, up to the time."""
        sha, count, fixed = self._heads[name]
        return ("EVALSHA", sha, count + len(keys), *fixed, *keys)

    def __call__(
        self, name: str, now: str, *arguments: Argument, keys: Sequence[bytes] = ()
    ) -> Command:
        """The command that runs a script.

        :param now: the time in milliseconds, or empty for the server's own.
        :param keys: the keys after those that it always has.
        """
        return (*self.head(name, keys), now, *arguments)
