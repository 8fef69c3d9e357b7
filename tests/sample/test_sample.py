"""``python -m sample_project``, as somebody runs it who has just installed taskq."""

from __future__ import annotations

import csv
import email
import email.policy
import os
import pty
import re
import select
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
from PIL import Image

from taskq import State, TaskQ

PICTURE = Path(__file__).parents[2] / "sample_project" / "harbour.png"


class Visit(NamedTuple):
    code: int
    out: str
    err: str
    folder: Path


@pytest.fixture(scope="module")
def visit(tmp_path_factory: pytest.TempPathFactory) -> Visit:
    """One run, in a folder with a blank in its name and settings of its own around it."""
    folder = tmp_path_factory.mktemp("the shop")
    done = subprocess.run(
        [sys.executable, "-m", "sample_project", "--folder", str(folder)],
        capture_output=True,
        encoding="utf-8",
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "COLUMNS": "100"},
        timeout=100,
    )
    return Visit(done.returncode, done.stdout, done.stderr, folder)


def test_it_ends_well_and_quietly(visit: Visit) -> None:
    assert visit.code == 0, visit.out + visit.err
    assert visit.err == ""


def test_what_it_prints_fits_and_holds_no_escapes(visit: Visit) -> None:
    paths = re.compile(r"^  (jobs|files) |TASKQ_URL=")  # as long as the folder's name is
    lines = [line for line in visit.out.splitlines() if not paths.search(line)]
    assert max(map(len, lines)) <= 100
    assert "\x1b" not in visit.out
    assert lines == [line.rstrip() for line in lines]


@pytest.mark.parametrize(
    ("job", "state", "attempts", "outcome"),
    [
        ("send_welcome    to Ada", "✓ succeeded", 1, "outbox/ada@shop.example.eml"),
        ("send_welcome    to Grace", "✓ succeeded", 1, "outbox/grace@shop.example.eml"),
        ("make_thumbnail  harbour.png", "✓ succeeded", 1, "thumbnails/harbour.png, 160 × 106"),
        ("sales_report    May 2026", "✓ succeeded", 1, "reports/2026-05.csv, €49,492.43"),
        ("charge          order 1042", "✓ succeeded", 3, "€59.90 paid"),
        ("ship            order 1042", "✓ succeeded", 1, "picked, packed, handed over"),
        ("check_stock     sailcloth", "✓ succeeded", 1, "111 pieces, 38 of them in Cork"),
        ("refund          order 1007", "✗ failed", 1, "order 1007 was never paid"),
        ("clean_up        in 2 seconds", "✓ succeeded", 1, "2 old exports deleted"),
    ],
)
def test_the_table_tells_what_happened(
    visit: Visit, job: str, state: str, attempts: int, outcome: str
) -> None:
    row = rf"^  {re.escape(job)} +{state} +{attempts} +[\d.]+s  {re.escape(outcome)}$"
    assert re.search(row, visit.out, re.MULTILINE), visit.out


def test_lines_tell_what_goes_on_meanwhile(visit: Visit) -> None:
    before = visit.out.partition("what came of it")[0]
    assert re.search(r" s  charge .* retrying   attempt 1 failed: no answer from the", before)
    assert re.search(r" s  clean_up .* scheduled  for later", before)


def test_the_mails_are_mails(visit: Visit) -> None:
    data = (visit.folder / "outbox" / "ada@shop.example.eml").read_bytes()
    mail = email.message_from_bytes(data, policy=email.policy.default)
    assert mail["To"].addresses[0].addr_spec == "ada@shop.example"
    assert "Dear Ada" in mail.get_content()


def test_the_report_adds_up(visit: Visit) -> None:
    with (visit.folder / "reports" / "2026-05.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["day"] for row in rows] == [f"2026-05-{day:02}" for day in range(1, 32)]
    assert round(sum(float(row["turnover"]) for row in rows), 2) == 49492.43


def test_the_thumbnail_is_the_picture_in_small(visit: Visit) -> None:
    with (
        Image.open(visit.folder / "thumbnails" / "harbour.png") as small,
        Image.open(PICTURE) as whole,
    ):
        assert small.size == (160, 106)
        other = whole.resize(small.size, Image.Resampling.BOX)
        pairs = zip(small.tobytes(), other.tobytes(), strict=True)
        assert sum(abs(a - b) for a, b in pairs) / len(other.tobytes()) < 2


def test_only_what_was_old_is_cleaned_up(visit: Visit) -> None:
    assert [path.name for path in (visit.folder / "exports").iterdir()] == ["orders-today.csv"]


def test_the_jobs_are_still_there_afterwards(visit: Visit) -> None:
    url = next(line.split()[1] for line in visit.out.splitlines() if line.startswith("  jobs"))
    assert f"export TASKQ_URL={url}" in visit.out
    app = TaskQ(url)
    try:
        totals = app.inspector.totals()
        assert (totals[State.SUCCEEDED], totals[State.FAILED]) == (8, 1)
        failed = next(app.inspector.jobs(state="failed"))
        assert f"taskq get {failed.id}" in visit.out
        assert app.inspector.workers() == []
    finally:
        app.forget()


@pytest.mark.slow
def test_on_a_terminal_the_table_is_drawn_in_colour_and_anew(tmp_path: Path) -> None:
    here, there = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "sample_project", "--folder", str(tmp_path)],
        stdout=there,
        stderr=there,
        env={**os.environ, "PYTHONIOENCODING": "utf-8", "COLUMNS": "100", "LINES": "40"},
    )
    os.close(there)
    shown = b""
    while select.select([here], [], [], 100)[0]:
        try:
            shown += os.read(here, 65536)
        except OSError:  # the other end is closed
            break
    os.close(here)
    assert process.wait(10) == 0
    text = shown.decode()
    assert "\x1b[32m✓ succeeded" in text
    assert "\x1b[9A" in text
    assert re.search("█+░+ [0-9]+/31 ", text)
