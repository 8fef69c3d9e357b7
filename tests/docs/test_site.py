"""The pages made from the code hold all of it, and a broken link does not pass."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

import taskq
import taskq.testing
from taskq.config import Config
from taskq.options import OPTIONS

DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The made pages by their names."""
    folder = tmp_path_factory.mktemp("reference")
    command = [sys.executable, str(DOCS / "build.py"), "--reference", str(folder)]
    subprocess.run(command, check=True, timeout=60)
    return {page.stem: page.read_text("utf-8") for page in folder.rglob("*.md")}


def test_every_option_is_told(reference: dict[str, str]) -> None:
    for option in OPTIONS.values():
        assert f"## `{option.name}`" in reference["options"]
        assert option.doc in reference["options"]


def test_every_setting_is_told_with_its_variable(reference: dict[str, str]) -> None:
    for setting in fields(Config):
        assert f"## `{setting.name}`" in reference["settings"]
        assert f"`TASKQ_{setting.name.upper()}`" in reference["settings"]
        assert setting.metadata["doc"] in reference["settings"]


def test_every_public_name_is_told(reference: dict[str, str]) -> None:
    for name in taskq.__all__:
        if name == "__version__":
            continue
        page = "errors" if hasattr(taskq.errors, name) else "python"
        heading = f"### `{name}`" if page == "errors" else f"### `taskq.{name}`"
        assert heading in reference[page], name
    for name in taskq.testing.__all__:
        assert f"### `taskq.testing.{name}`" in reference["python"], name


def test_every_command_is_told(reference: dict[str, str]) -> None:
    from taskq.cli import COMMANDS

    for name in COMMANDS:
        assert f"## `taskq {name}`" in reference["cli"]
    assert "`--burst`" in reference["cli"]


def check_links(site: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(DOCS / "links.py"), str(site)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


GOOD = '<a href="other.html#there">x</a><link rel="stylesheet" href="look.css">'


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site of two pages in which all is well."""
    (tmp_path / "index.html").write_text(GOOD)
    (tmp_path / "other.html").write_text('<h2 id="there">There</h2><a href="index.html">back</a>')
    (tmp_path / "look.css").write_text("")
    return tmp_path


def test_links_that_lead_somewhere_pass(site: Path) -> None:
    done = check_links(site)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('<a href="gone.html">x</a>', "gone.html leads to no file"),
        ('<a href="other.html#gone">x</a>', "names a place that is not on that page"),
        ('<a href="#gone">x</a>', "names a place that is not on that page"),
        ('<a href="../outside.html">x</a>', "leads to no file"),
        ('<img src="gone.png">', "leads to no file"),
        ('<script src="https://example.org/x.js"></script>', "from elsewhere"),
        ('<link rel="preconnect" href="//example.org">', "from elsewhere"),
    ],
)
def test_a_broken_or_foreign_link_is_an_error(site: Path, text: str, told: str) -> None:
    (site / "index.html").write_text(GOOD + text)
    done = check_links(site)
    assert done.returncode == 1
    assert told in done.stderr


def test_a_folder_without_pages_is_an_error(tmp_path: Path) -> None:
    assert check_links(tmp_path).returncode == 1


@pytest.mark.skipif(importlib.util.find_spec("zensical") is None, reason="needs the extra docs")
def test_the_site_is_built(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(DOCS / "build.py"), "--site", str(tmp_path / "site")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "site/reference/options.html").is_file()
    states = (tmp_path / "site/states.html").read_text("utf-8")
    assert "<svg" in states, "the drawing is part of the page"
    assert "<!-- python" not in states
