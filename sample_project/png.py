"""Reading, shrinking and writing PNG pictures in plain Python: 8 bits a channel, RGB.

Enough for the shop's thumbnails, and an honest piece of work for a background job: a library
such as Pillow does it a hundred times faster.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

SIGNATURE = b"\x89PNG\r\n\x1a\n"
CHANNELS = 3


class Picture(NamedTuple):
    """Rows of pixels, top to bottom; three bytes (red, green, blue) a pixel."""

    width: int
    height: int
    rows: list[bytes]


def read(path: Path) -> Picture:
    """:raises ValueError: it is no PNG, or one of another kind than RGB with 8 bits."""
    data = path.read_bytes()
    if not data.startswith(SIGNATURE):
        raise ValueError(f"{path.name} is no PNG")
    at, packed, header = len(SIGNATURE), b"", b""
    while at < len(data):
        size, kind = struct.unpack_from(">I4s", data, at)
        body = data[at + 8 : at + 8 + size]
        if kind == b"IHDR":
            header = body
        elif kind == b"IDAT":
            packed += body
        at += size + 12  # with the length, the kind and the checksum
    width, height, depth, colours, _, _, interlaced = struct.unpack(">IIBBBBB", header)
    if (depth, colours, interlaced) != (8, 2, 0):
        raise ValueError(f"{path.name} is not a plain RGB picture with 8 bits a channel")
    return Picture(width, height, _unfiltered(zlib.decompress(packed), width * CHANNELS, height))


def _unfiltered(data: bytes, size: int, height: int) -> list[bytes]:
    """Each row is stored as differences from its neighbours, in one of five ways."""
    rows: list[bytes] = []
    above = bytearray(size)
    for start in range(0, height * (size + 1), size + 1):
        kind, row = data[start], bytearray(data[start + 1 : start + 1 + size])
        for i in range(size) if kind else ():
            left = row[i - CHANNELS] if i >= CHANNELS else 0
            if kind == 1:
                guess = left
            elif kind == 2:
                guess = above[i]
            elif kind == 3:
                guess = (left + above[i]) // 2
            else:
                guess = _paeth(left, above[i], above[i - CHANNELS] if i >= CHANNELS else 0)
            row[i] = (row[i] + guess) & 0xFF
        rows.append(bytes(row))
        above = row
    return rows


def _paeth(left: int, up: int, corner: int) -> int:
    """Whichever is nearest to left + up - corner."""
    by_left, by_up, by_corner = abs(up - corner), abs(left - corner), abs(left + up - 2 * corner)
    if by_left <= by_up and by_left <= by_corner:
        return left
    return up if by_up <= by_corner else corner


def shrink(
    picture: Picture, width: int, row_done: Callable[[int, int], None] = lambda done, of: None
) -> Picture:
    """The picture at another width, no larger than its own: each new pixel is the mean of those
    it stands for.

    :param row_done: told after each row how many are done, and of how many.
    """
    width = min(width, picture.width)
    height = max(1, picture.height * width // picture.width)
    columns = [x * picture.width // width for x in range(width + 1)]
    rows: list[bytes] = []
    for y in range(height):
        first, last = y * picture.height // height, (y + 1) * picture.height // height
        row = bytearray()
        for start, end in pairwise(columns):
            for channel in range(CHANNELS):
                part = slice(start * CHANNELS + channel, end * CHANNELS, CHANNELS)
                total = sum(sum(source[part]) for source in picture.rows[first:last])
                row.append(total // ((end - start) * (last - first)))
        rows.append(bytes(row))
        row_done(y + 1, height)
    return Picture(width, height, rows)


def write(path: Path, picture: Picture) -> None:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", picture.width, picture.height, 8, 2, 0, 0, 0)
    body = zlib.compress(b"".join(b"\0" + row for row in picture.rows), 9)
    path.write_bytes(
        SIGNATURE + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")
    )
