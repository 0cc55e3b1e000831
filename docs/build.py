"""Turn the Markdown pages into a small static site, and find links that lead nowhere.

python docs/build.py site
"""

from __future__ import annotations

import html
import os
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from markdown_it import MarkdownIt

__all__ = ["broken_links", "build_site"]

DOCS = Path(__file__).parent
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
PAGE_LINK = re.compile(r'href="((?!\w+:)[^"#]+)\.md(#[^"]*)?"')
FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def build_site(target: Path) -> tuple[Path, ...]:
    """Write one HTML page for each Markdown page.

    Args:
        target: folder of the site; made if absent.

    Returns:
        The pages written.
    """
    reader = MarkdownIt("commonmark").enable("table")
    written = []
    for source in sorted(DOCS.rglob("*.md")):
        page = target / source.relative_to(DOCS).with_suffix(".html")
        page.parent.mkdir(parents=True, exist_ok=True)
        text = source.read_text(encoding="utf-8")
        body = re.sub(
            r'href="((?!\w+:)[^"#]+)\.md(#[^"]*)?"', r'href="\1.html\2"', reader.render(text)
        )
        page.write_text(_wrap(_title(text), body, page.parent, target), encoding="utf-8")
        written.append(page)
    return tuple(written)


def broken_links(pages: Mapping[Path, str]) -> list[str]:
    """Find links of Markdown pages that lead to no file or to no heading.

    Args:
        pages: path → text. Links with a scheme are not followed: nothing here uses the network.

    Returns:
        One `page: link` for each, in order.
    """
    broken = []
    for path, text in pages.items():
        for link in LINK.findall(FENCE.sub("", text)):
            name, _, heading = link.partition("#")
            if re.match(r"\w+:", link):
                continue
            goal = (path.parent / name) if name else path
            if not goal.exists() or (heading and heading not in _headings(goal)):
                broken.append(f"{path.name}: {link}")
    return broken


def _headings(path: Path) -> set[str]:
    text = FENCE.sub("", path.read_text(encoding="utf-8"))
    lines = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in lines}


def _title(text: str) -> str:
    found = re.search(r"^# (.+)$", text, re.MULTILINE)
    return found[1] if found else "thinfer"


def _wrap(title: str, body: str, folder: Path, target: Path) -> str:
    style = (DOCS / "site.css").read_text(encoding="utf-8")
    home = Path(os.path.relpath(target / "index.html", folder)).as_posix()
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)} · thinfer</title><style>{style}</style></head>\n"
        f'<body><nav><a href="{home}">thinfer</a></nav>\n{body}</body></html>\n'
    )


def main() -> int:
    """Build the site into the folder named on the command line; 1 where a link is broken."""
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "site")
    pages = build_site(target)
    broken = broken_links({p: p.read_text(encoding="utf-8") for p in sorted(DOCS.rglob("*.md"))})
    sys.stderr.write("".join(f"broken link: {line}\n" for line in broken))
    sys.stdout.write(f"{len(pages)} pages in {target}\n")
    return 1 if broken else 0


if __name__ == "__main__":
    raise SystemExit(main())
