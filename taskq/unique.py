"""The key of a unique job: its task's name and its bound arguments, in a canonical form."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Mapping
from typing import Any

from taskq.codec import Call, Codec, Hints
from taskq.errors import InvalidOption
from taskq.job import Lock
from taskq.options import Options, not_negative

_UNORDERED = {"$set", "$frozenset", "$dict"}


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

    :param codec: one that does not sign.
    """
    unique = options.unique
    if unique is None:
        return None
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    if unique.by is None:
        call = Call(bound.args, bound.kwargs)
    else:
        check_by(name, signature, options)
        call = Call((), {by: bound.arguments[by] for by in unique.by})
    tree = _sorted(json.loads(codec.encode_call(call, hints)))
    text = json.dumps([name, tree], sort_keys=True, separators=(",", ":"))
    key = hashlib.blake2b(text.encode("ascii"), digest_size=20).hexdigest()
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


def _sorted(tree: Any) -> Any:
    if isinstance(tree, dict):
        made = {key: _sorted(value) for key, value in tree.items()}
        if len(made) == 1 and made.keys() <= _UNORDERED:
            (tag, items), *_ = made.items()
            return {tag: sorted(items, key=lambda item: json.dumps(item, sort_keys=True))}
        return made
    if isinstance(tree, list):
        return [_sorted(item) for item in tree]
    return tree
