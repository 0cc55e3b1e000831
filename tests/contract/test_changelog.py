"""The changelog's newest entry is the version of the package."""

from __future__ import annotations

import thinfer
from tests.support.promises import read_newest_version
from tests.support.source import ROOT


def test_the_newest_entry_is_this_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert read_newest_version(changelog) == thinfer.__version__


def test_the_newest_entry_is_the_topmost_with_a_number() -> None:
    text = (
        "# Changelog\n\n## [Unreleased]\n\n- x 9.9.9\n\n## [1.2.0rc1] - 2026-01-01\n\n## [1.1.0]\n"
    )
    assert read_newest_version(text) == "1.2.0rc1"
    assert read_newest_version("# Changelog\n\n## [Unreleased]\n") is None
