"""Looks at every link of a built site: ``python docs/links.py DIR``.

A link has to lead to a file of the site, and its fragment to an id there. Nothing may be loaded
from anywhere else: the site works without a network, and tells nobody who reads it.
"""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src"}
"""Elements by which a page loads something."""
NOT_LOADED = {"canonical", "prev", "next", "alternate", "edit"}
"""Kinds of ``<link>`` that only say something."""


class Page(HTMLParser):
    """One page: its ids, where it links to, and what it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids.update(value for name, value in given.items() if name in ("id", "name"))
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        source = LOADED.get(tag)
        if source in given and not NOT_LOADED & set(given.get("rel", "").split()):
            self.loads.append(given[source])


def problems_of(site: Path) -> list[str]:
    """What is wrong with the links of the pages in a folder; a sentence each."""
    pages = {path: Page(path.read_text("utf-8")) for path in sorted(site.rglob("*.html"))}
    if not pages:
        return [f"{site} has no pages"]
    found = []
    for path, page in pages.items():
        name = path.relative_to(site)
        for link in page.loads:
            if urlsplit(link).scheme not in ("", "data") or link.startswith("//"):
                found.append(f"{name}: loads {link} from elsewhere")
        # The page for what was not found is shown at any address, so its links are absolute.
        for link in [*page.links, *page.loads] if name.name != "404.html" else []:
            problem = _problem(site, path, link, pages)
            if problem:
                found.append(f"{name}: {link} {problem}")
    return found


def _problem(site: Path, path: Path, link: str, pages: dict[Path, Page]) -> str:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return ""
    target = path if not parts.path else (path.parent / unquote(parts.path)).resolve()
    if target.is_dir():
        target /= "index.html"
    if not target.is_file() or site.resolve() not in target.resolve().parents:
        return "leads to no file"
    fragment = unquote(parts.fragment)
    if fragment and target in pages and fragment not in pages[target].ids:
        return "names a place that is not on that page"
    return ""


def main(argv: list[str]) -> int:
    problems = problems_of(Path(argv[0]).resolve())
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
