"""Where jobs live: which store belongs to which URL.

A store that is not in the table is found by the entry point group ``taskq.stores``: its
name is the URL's scheme, its object is called as ``factory(url, **settings)`` (settings are
keyword-only parameters).
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import Any, cast

from taskq.errors import ConfigError
from taskq.store import Store

GROUP = "taskq.stores"

STORES: Mapping[str, str] = {
    "memory": "taskq.stores.memory:MemoryStore",
    "sqlite": "taskq.stores.sql:sqlite_store",
    "redis": "taskq.stores.redis:RedisStore",
    "rediss": "taskq.stores.redis:RedisStore",
    "unix": "taskq.stores.redis:RedisStore",
    "valkey": "taskq.stores.redis:RedisStore",
    "valkeys": "taskq.stores.redis:RedisStore",
}
"""URL scheme to factory, as ``module:object``; imported when it is first asked for."""


def open_store(url: str, **settings: Any) -> Store:
    """The store of a URL, such as ``redis://localhost:6379/0`` or ``sqlite:///taskq.db``.

    :param settings: handed to the store as they are (``clock``, ``max_ended`` …).
    :raises ConfigError: nothing is known under the URL's scheme, or it has none; or the store
        has no such setting.
    """
    # Nothing but the scheme is ever shown: the rest may hold a password.
    scheme, separator, _ = url.partition("://")
    scheme = scheme.lower()
    if not separator:
        raise ConfigError(
            f"a store's URL begins with its kind and ://, such as redis://localhost:6379/0; "
            f"known kinds: {', '.join(_known())}"
        )
    target = STORES.get(scheme)
    if target is not None:
        module, _, path = target.partition(":")
        factory: Any = getattr(import_module(module), path)
    else:
        factory = _further(scheme)
    try:
        return cast(Store, factory(url, **settings))
    except TypeError:
        _check_settings(scheme, factory, settings)
        raise


def _further(scheme: str) -> Any:
    """A store that another package brings."""
    for each in _entry_points():
        if each.name == scheme:
            return each.load()
    known = _known()
    # Late, as below: only a mistake needs it, and every producer and worker would pay for it.
    near = import_module("difflib").get_close_matches(scheme, known, n=1)
    hint = f" Did you mean {near[0]}://?" if near else ""
    raise ConfigError(
        f"no store is known for {scheme}:// URLs.{hint} Known kinds: {', '.join(known)}"
    )


def _check_settings(scheme: str, factory: Any, settings: Mapping[str, Any]) -> None:
    parameters = import_module("inspect").signature(factory).parameters.values()
    known = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
    for name in settings:
        if name not in known:
            raise ConfigError(
                f"{scheme}:// stores have no setting {name!r}; they have: {', '.join(known)}"
            ) from None


def _entry_points() -> Any:
    # importlib.metadata takes the package email along: 2 MB for those who need none of it.
    return import_module("importlib.metadata").entry_points(group=GROUP)


def _known() -> list[str]:
    return sorted({*STORES, *(each.name for each in _entry_points())})
