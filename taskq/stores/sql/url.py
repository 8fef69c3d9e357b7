"""An SQLite store from a URL or a path."""

from __future__ import annotations

import os
import sqlite3
from functools import partial
from urllib.parse import parse_qsl, quote, unquote

from taskq.clock import Clock
from taskq.errors import ConfigError
from taskq.stores.sql.dialects import SQLite
from taskq.stores.sql.store import SqlStore

_SCHEME = "sqlite:"
_EXAMPLES = "sqlite:///relative.db or sqlite:////absolute/path.db"


def sqlite_store(
    where: str | os.PathLike[str],
    *,
    clock: Clock | None = None,
    max_ended: int = 100_000,
    budget: float = 2.0,
) -> SqlStore:
    """A store in an SQLite file, which is made at the first use.

    :param where: ``sqlite:///relative.db``, ``sqlite:////absolute.db`` or a path; a relative one
        is of the working folder of this moment. With ``?synchronous=normal`` commits are many
        times faster, and the last ones may be lost with the power (never with the process).
    :param clock, max_ended, budget: as for :class:`SqlStore`.
    :raises ConfigError: a URL that is none of these.
    """
    text = os.fspath(where)
    is_url = text[: len(_SCHEME)].lower() == _SCHEME
    path, synchronous = _parse(text) if is_url else (text, "full")
    if path in ("", ":memory:"):
        raise ConfigError(
            f"{text!r} is a database in memory, which every connection would have its own of; "
            f"for jobs that live in this process use memory://, for a file {_EXAMPLES}"
        )
    if "\0" in path:
        raise ConfigError(f"{text!r}: a path holds no NUL")
    path = os.path.abspath(path)
    return SqlStore(
        partial(_connect, path),
        SQLite(synchronous),
        url=f"sqlite:///{quote(path)}",
        clock=clock,
        max_ended=max_ended,
        budget=budget,
    )


def _connect(path: str) -> sqlite3.Connection:
    return sqlite3.connect(
        path, isolation_level=None, check_same_thread=False, cached_statements=256
    )


def _parse(url: str) -> tuple[str, str]:
    """The path and how it is synchronized."""
    address, _, query = url[len(_SCHEME) :].partition("?")
    if address in ("", "//", "///"):
        return "", "full"
    if not address.startswith("///") or "#" in url:
        raise ConfigError(f"{url!r} is not the URL of an SQLite file; write {_EXAMPLES}")
    try:
        path = unquote(address[3:], errors="strict")
        options = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError as error:
        raise ConfigError(f"{url!r}: {error}") from None
    synchronous = "full"
    for name, value in options:
        if name != "synchronous":
            raise ConfigError(f"{url!r}: unknown option {name!r}; known is synchronous")
        synchronous = value
    return path, synchronous
