"""The sample project's PNG reader and writer, beside Pillow's."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from sample_project import png

PICTURE = Path(png.__file__).with_name("harbour.png")


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def test_reads_what_pillow_reads() -> None:
    mine = png.read(PICTURE)
    with Image.open(PICTURE) as picture:
        assert (mine.width, mine.height) == picture.size
        assert b"".join(mine.rows) == picture.tobytes()


def test_reads_every_kind_of_row(tmp_path: Path) -> None:
    noise = random.Random(1)
    rows = b"".join(bytes([kind]) + noise.randbytes(21) for kind in (0, 1, 2, 3, 4, 4, 3, 2, 1))
    packed = zlib.compress(rows)
    path = tmp_path / "noise.png"
    path.write_bytes(
        png.SIGNATURE
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 7, 9, 8, 2, 0, 0, 0))
        + chunk(b"tEXt", b"Comment\0of no interest")
        + chunk(b"IDAT", packed[:20])
        + chunk(b"IDAT", packed[20:])
        + chunk(b"IEND", b"")
    )
    with Image.open(path) as picture:
        assert b"".join(png.read(path).rows) == picture.tobytes()


def test_writes_what_pillow_reads(tmp_path: Path) -> None:
    picture = png.Picture(2, 2, [b"\xff\0\0\0\xff\0", b"\0\0\xff\x10\x20\x30"])
    path = tmp_path / "four.png"
    png.write(path, picture)
    assert png.read(path) == picture
    with Image.open(path) as other:
        assert other.tobytes() == b"".join(picture.rows)


def test_shrinks_to_means_and_never_grows() -> None:
    picture = png.Picture(4, 2, [bytes(range(12)), bytes(range(100, 112))])
    told: list[tuple[int, int]] = []
    small = png.shrink(picture, 2, lambda *done: told.append(done))
    assert small == png.Picture(2, 1, [bytes([51, 52, 53, 57, 58, 59])])
    assert told == [(1, 1)]
    assert png.shrink(picture, 400) == picture


@pytest.mark.parametrize("data", [b"GIF89a", b""])
def test_what_is_no_png_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "x.png"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"x\.png is no PNG"):
        png.read(path)


def test_other_kinds_of_png_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "grey.png"
    Image.new("L", (3, 3)).save(path)
    with pytest.raises(ValueError, match="not a plain RGB picture"):
        png.read(path)
