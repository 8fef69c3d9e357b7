"""Builds the documentation: ``python docs/build.py --site DIR``.

The pages of the reference are made from the code, so they cannot be out of date. Then zensical
builds the site, and every link of it is looked at. The exit code is 0 only if all of that went
well. Nothing is written beside ``DIR``.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import reference
from links import problems_of

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent

HIDDEN = re.compile(r"<!--.*?-->\n?", re.DOTALL)
"""What only the tests of the examples read."""
PICTURE = re.compile(r"^!\[[^\]]*\]\((assets/[\w-]+\.svg)\)$", re.MULTILINE)
"""A drawing of ours on a line of its own. It goes into the page, and so follows its colours."""


def write_sources(folder: Path) -> None:
    """All pages as the generator is to see them: the written ones and the made ones."""
    for page in sorted(DOCS.rglob("*.md")):
        target = folder / page.relative_to(DOCS)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = HIDDEN.sub("", page.read_text("utf-8"))
        target.write_text(PICTURE.sub(_drawing, text), "utf-8")
    shutil.copytree(DOCS / "assets", folder / "assets", dirs_exist_ok=True)
    write_reference(folder)


def _drawing(match: re.Match[str]) -> str:
    drawing = (DOCS / match[1]).read_text("utf-8").strip()
    return f'<div class="drawing">\n{drawing}\n</div>'


def write_reference(folder: Path) -> None:
    """The pages that are made from the code."""
    for path, make in reference.PAGES.items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(make(), "utf-8")


def build(site: Path) -> list[str]:
    """Build the site; what is wrong with it."""
    with tempfile.TemporaryDirectory(prefix="taskq-docs-") as work:
        folder = Path(work)
        shutil.copy(ROOT / "zensical.toml", folder)
        write_sources(folder / "docs")
        done = subprocess.run(
            [sys.executable, "-m", "zensical", "build", "--strict", "--clean"],
            cwd=folder,
            check=False,
        )
        if done.returncode != 0:
            return ["zensical found something wrong, see above"]
        site.mkdir(parents=True, exist_ok=True)
        shutil.copytree(folder / "site", site, dirs_exist_ok=True)
    return problems_of(site) + problems_of_readme()


def problems_of_readme() -> list[str]:
    """Links of README to files that are not there."""
    text = (ROOT / "README.md").read_text("utf-8")
    targets = re.findall(r"\]\((?!https?://|#)([^)#]+)", text)
    made = {f"docs/{path}" for path in reference.PAGES}
    return [
        f"README.md: {target} is not there"
        for target in targets
        if not (ROOT / target).exists() and target not in made
    ]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--site", type=Path, metavar="DIR", help="build the site into DIR")
    where.add_argument(
        "--reference", type=Path, metavar="DIR", help="only write the pages made from the code"
    )
    given = parser.parse_args(argv)
    if given.reference is not None:
        write_reference(given.reference)
        return 0
    problems = build(given.site)
    for problem in problems:
        print(problem, file=sys.stderr)
    if not problems:
        print(f"{given.site / 'index.html'}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
