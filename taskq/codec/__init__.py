"""The codec: a call and its result as bytes, and back.

The format is JSON (RFC 8259, UTF-8, compact), so any language can make a job. A call is an
object; keys that would be empty are left out::

    {"a": [7, "abc"],                      positional arguments
     "k": {"x": 1},                        keyword arguments
     "h": {"trace": "..."},                headers: texts by name
     "t": ["nightly"],                     tags: texts
     "o": {"timeout": 30}}                 options of this call

Any other value (a result, progress) is the JSON of the value alone. Values that JSON has no
form for are objects with one key, a tag::

    {"$datetime": "2026-10-25T02:30:00+01:00[Europe/Berlin][fold=1]"}
                                           ISO 8601; the zone's key and the fold if there are
    {"$date": "2026-10-25"}  {"$time": "02:30:00"}
    {"$timedelta": [1, 3600, 5]}           days, seconds, microseconds; or a number of seconds
    {"$decimal": "1.10"}  {"$uuid": "..."}  {"$bytes": "<base64>"}
    {"$path": "a/b"}  {"$posixpath": "a/b"}  {"$windowspath": "a\\\\b"}
    {"$tuple": [...]}  {"$set": [...]}  {"$frozenset": [...]}
    {"$dict": [[key, value], ...]}         a dict with keys that are not texts, or with one
                                           key that begins with a dollar sign
    {"$enum": ["shop.models:Color", "RED"]}        a member; a combination of flags: its number
    {"$object": ["shop.models:Order", {"id": 7}]}  a dataclass, NamedTuple, attrs class or
                                           pydantic model; of the latter also, third, the
                                           names of the fields that were set, if not all
    {"$pickle": "<base64>"}                only where both sides ask for it
    {"$as_is": ...}                        a whole result that its annotation shall not change

A class is never imported: it is found by its name among those that the annotations mention
and those that were registered. Where an annotation asks for a type and the message holds
plain JSON (an object for a dataclass, a text for a datetime, seconds for a timedelta), the
value is built from it, so nobody has to write tags by hand.

A signed message begins with ``hmac-sha256:``, 64 hexadecimal digits and a colon; the JSON
follows. The digits are the HMAC of the context (such as the task's name), a zero byte and
the JSON.
"""

from taskq.codec.hints import Hints
from taskq.codec.messages import Call, Codec

__all__ = ["Call", "Codec", "Hints"]
