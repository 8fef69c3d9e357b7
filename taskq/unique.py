"""The key of a unique job: its task's name and its bound arguments, in a canonical form."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from typing import Any

from taskq.codec import Codec, Hints
from taskq.errors import InvalidOption
from taskq.job import Lock
from taskq.options import Options, not_negative


def lock_of(
    name: str,
    signature: inspect.Signature,
    hints: Hints,
    options: Options,
    codec: Codec,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
) -> Lock | None:
    """The lock that a call asks for; None if its task is not unique.

    Two calls have the same key if their arguments are equal, however they are written:
    by position or by name, defaults left out or given, mappings and sets in any order.

    """
    unique = options.unique
    if unique is None:
        return None
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    values = bound.arguments
    if unique.by is not None:
        check_by(name, signature, options)
        values = {by: values[by] for by in unique.by}
    text = codec.canonical([name, values], hints)
    key = hashlib.blake2b(text, digest_size=20).hexdigest()
    ttl = None if unique.ttl is None else not_negative("unique", unique.ttl)
    return Lock(key, ttl, unique.until == "start", options.on_duplicate)


def check_by(name: str, signature: inspect.Signature, options: Options) -> None:
    """:raises InvalidOption: ``Unique(by)`` names what is no parameter."""
    if options.unique is None or options.unique.by is None:
        return
    for by in options.unique.by:
        if by not in signature.parameters:
            there = ", ".join(signature.parameters) or "none"
            raise InvalidOption(
                f"Unique(by) names {by!r}, but the parameters of {name} are {there}"
            )
