"""The standard library's values that JSON has no form for, and the text that stands for each.

``WRITERS`` gives for a type its tag and the function that makes the tag's content;
``READERS`` gives for a tag the function that makes the value again; ``FROM_PLAIN`` reads a
type from what another language would write without a tag. Writers and readers raise
ValueError with the reason.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path, PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

# ISO 8601, then as in RFC 9557 the key of the zone, then whether it is the second of two
# equal local times: "2026-10-25T02:30:00+01:00[Europe/Berlin][fold=1]".
_ZONE = r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+)*"
_MOMENT = re.compile(rf"([^\[\]]+)(?:\[({_ZONE})\])?(\[fold=1\])?")


def _text(content: object) -> str:
    if type(content) is not str:
        raise ValueError("is not a text")
    return content


def _suffix(value: datetime | time) -> str:
    zone = value.tzinfo
    text = ""
    if isinstance(zone, ZoneInfo) and zone.key is not None:
        if re.fullmatch(_ZONE, zone.key) is None:
            raise ValueError("has a time zone whose key is not one of the IANA database")
        text = f"[{zone.key}]"
    elif zone is not None:
        offset = value.utcoffset()
        if offset is None or offset.microseconds:
            # fromisoformat takes an offset of less than a second for none at all.
            raise ValueError(
                f"has a time zone ({type(zone).__qualname__}) that gives no offset of whole "
                "seconds; use zoneinfo"
            )
    return f"{text}[fold=1]" if value.fold else text


def _split(content: object) -> tuple[str, ZoneInfo | None, int]:
    match = _MOMENT.fullmatch(_text(content))
    if match is None:
        raise ValueError("is not in ISO 8601 form")
    iso, key, fold = match.groups()
    zone = None
    if key is not None:
        try:
            zone = ZoneInfo(key)
        except (LookupError, ValueError, OSError) as error:
            raise ValueError(
                f"has the time zone {key[:60]!r}, which this machine does not know "
                "(the package tzdata brings them all)"
            ) from error
    return iso, zone, 1 if fold else 0


def _write_datetime(value: datetime) -> str:
    return value.isoformat() + _suffix(value)


def _read_datetime(content: object) -> datetime:
    iso, zone, fold = _split(content)
    try:
        told = datetime.fromisoformat(iso).replace(fold=fold)
        if zone is None:
            return told
        local = told.replace(tzinfo=zone)
        if told.tzinfo is None or local.utcoffset() == told.utcoffset():
            return local
        # The zone's rules differ from the writer's: the instant counts, not the local time.
        return told.astimezone(zone)
    except OverflowError as error:
        raise ValueError("is out of range") from error


def _read_date(content: object) -> date:
    return date.fromisoformat(_text(content))


def _write_time(value: time) -> str:
    return value.isoformat() + _suffix(value)


def _read_time(content: object) -> time:
    iso, zone, fold = _split(content)
    told = time.fromisoformat(iso).replace(fold=fold)
    return told if zone is None else told.replace(tzinfo=zone)


def _write_timedelta(value: timedelta) -> list[int]:
    # Three whole numbers, since a number of seconds cannot hold every microsecond.
    return [value.days, value.seconds, value.microseconds]


def _read_timedelta(content: object) -> timedelta:
    try:
        if isinstance(content, list) and len(content) == 3:
            days, seconds, microseconds = content
            if {type(days), type(seconds), type(microseconds)} == {int}:
                return timedelta(days, seconds, microseconds)
        elif type(content) in (int, float):
            return timedelta(seconds=content)  # type: ignore[arg-type]  # narrowed by type()
    except OverflowError as error:
        raise ValueError("is out of range") from error
    raise ValueError("is neither a number of seconds nor [days, seconds, microseconds]")


def _read_decimal(content: object) -> Decimal:
    if type(content) is float:
        content = repr(content)
    try:
        if type(content) in (str, int):
            return Decimal(content)  # type: ignore[arg-type]  # narrowed by type()
    except ArithmeticError as error:
        raise ValueError("is not a decimal number") from error
    raise ValueError("is neither a text nor a number")


def _read_uuid(content: object) -> UUID:
    return UUID(_text(content))


def _write_bytes(value: bytes) -> str:
    return base64.b64encode(value).decode()


def _read_bytes(content: object) -> bytes:
    return base64.b64decode(_text(content), validate=True)


def _read_path(content: object) -> Path:
    return Path(_text(content))


def _read_pure_posix(content: object) -> PurePosixPath:
    return PurePosixPath(_text(content))


def _read_pure_windows(content: object) -> PureWindowsPath:
    return PureWindowsPath(_text(content))


WRITERS: dict[type, tuple[str, Callable[[Any], Any]]] = {
    datetime: ("$datetime", _write_datetime),
    date: ("$date", date.isoformat),
    time: ("$time", _write_time),
    timedelta: ("$timedelta", _write_timedelta),
    Decimal: ("$decimal", str),
    UUID: ("$uuid", str),
    bytes: ("$bytes", _write_bytes),
    PosixPath: ("$path", str),
    WindowsPath: ("$path", str),
    PurePosixPath: ("$posixpath", str),
    PureWindowsPath: ("$windowspath", str),
}

READERS: dict[str, Callable[[object], Any]] = {
    "$datetime": _read_datetime,
    "$date": _read_date,
    "$time": _read_time,
    "$timedelta": _read_timedelta,
    "$decimal": _read_decimal,
    "$uuid": _read_uuid,
    "$bytes": _read_bytes,
    "$path": _read_path,
    "$posixpath": _read_pure_posix,
    "$windowspath": _read_pure_windows,
}

FROM_PLAIN: dict[type, Callable[[object], Any]] = {
    datetime: _read_datetime,
    date: _read_date,
    time: _read_time,
    timedelta: _read_timedelta,
    Decimal: _read_decimal,
    UUID: _read_uuid,
    Path: _read_path,
    PosixPath: _read_path,
    WindowsPath: _read_path,
    PurePath: _read_path,
    PurePosixPath: _read_pure_posix,
    PureWindowsPath: _read_pure_windows,
}
