"""The pages of `docs/`: links lead somewhere, and commands have the options that are shown."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import thinfer
from docs.build import broken_links, build_site
from tests.support.fenced import commands_of, read_blocks
from thinfer.errors import ThinferError

ROOT = Path(__file__).parents[2]
PAGES = [*sorted((ROOT / "docs").rglob("*.md")), ROOT / "README.md", ROOT / "CHANGELOG.md"]


def test_every_link_leads_to_a_file_and_a_heading() -> None:
    assert broken_links({path: path.read_text(encoding="utf-8") for path in PAGES}) == []


def test_the_link_check_refuses_a_missing_file_and_a_missing_heading(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One title\n", encoding="utf-8")
    text = "[a](gone.md) [b](page.md#no-title) [c](page.md#one-title) [d](https://example.org/x)"
    assert broken_links({page: text}) == ["page.md: gone.md", "page.md: page.md#no-title"]


def test_links_inside_a_fence_are_code(tmp_path: Path) -> None:
    assert broken_links({tmp_path / "page.md": "```\n[a](gone.md)\n```\n"}) == []


def test_the_site_has_a_page_for_each_and_its_links_are_html(tmp_path: Path) -> None:
    written = build_site(tmp_path)
    assert len(written) == len(list((ROOT / "docs").rglob("*.md")))
    for page in written:
        text = page.read_text(encoding="utf-8")
        for link in re.findall(r'href="([^":#]+)', text):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_every_page_can_be_reached_from_the_index() -> None:
    docs = ROOT / "docs"
    reached, queue = set(), [docs / "index.md"]
    while queue:
        page = queue.pop()
        if page in reached:
            continue
        reached.add(page)
        links = re.findall(r"\]\(([^)#\s]+\.md)", page.read_text(encoding="utf-8"))
        queue += [(page.parent / link).resolve() for link in links if "://" not in link]
    assert {path for path in docs.rglob("*.md")} <= reached


def _options(command: str, cache: dict[str, str]) -> str:
    if command not in cache:
        tool = Path(sys.executable).with_name("thinfer")
        done = subprocess.run(
            [tool, command, "--help"],
            capture_output=True,
            text=True,
            check=False,
            env={"PATH": "/usr/bin:/bin", "COLUMNS": "400", "TERM": "dumb", "NO_COLOR": "1"},
        )
        cache[command] = done.stdout if done.returncode == 0 else ""
    return cache[command]


def test_every_command_shown_exists_with_its_options() -> None:
    cache: dict[str, str] = {}
    seen = 0
    for path in PAGES:
        for block in read_blocks(path):
            for line in commands_of(block) if block.language == "console" else ():
                words = shlex.split(line.replace("\\\n", " "))
                if words[0] != "thinfer":
                    continue
                shown = _options(words[1], cache)
                assert shown, f"{path.name}:{block.line}: there is no `thinfer {words[1]}`"
                for word in words[2:]:
                    if word.startswith("--"):
                        seen += 1
                        assert re.search(rf"{word}\b", shown), f"{path.name}:{block.line}: {word}"
    assert seen > 10


def test_the_changelog_has_the_version_of_the_package() -> None:
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    numbers = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", text, re.MULTILINE)
    assert numbers[0] == thinfer.__version__


def test_the_exit_codes_are_those_of_the_error_tree() -> None:
    text = (ROOT / "docs/reference/exit-codes.md").read_text(encoding="utf-8")
    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", text, re.MULTILINE)}
    assert {kind.exit_code for kind in ThinferError.__subclasses__()} <= listed


def test_the_preset_names_in_the_pages_exist() -> None:
    presets = pytest.importorskip("thinfer.nn.presets", reason="needs torch").PRESETS
    named = set()
    for path in PAGES:
        named |= set(re.findall(r"ernie-3\.0-[a-z]+", path.read_text(encoding="utf-8")))
    assert named
    assert named <= set(presets)


def test_extras_named_in_the_pages_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for path in PAGES:
        for part in re.findall(r"thinfer\[([a-z,]+)\]", path.read_text(encoding="utf-8")):
            assert set(part.split(",")) <= set(project["optional-dependencies"]), path.name
