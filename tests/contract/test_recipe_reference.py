"""The reference of recipes names every kind of step and every key."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs/reference/recipe.md"


def test_every_kind_and_key_stands_in_the_reference() -> None:
    recipe = pytest.importorskip("thinfer.pipeline.recipe", reason="needs the compress extra")
    named: dict[str, set[str]] = {}
    kind = ""
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) < 5 or not cells[2].startswith("`"):
            continue
        kind = cells[1].strip("`") or kind
        named.setdefault(kind, set()).update(re.findall(r"`(\w+)`", cells[2]))
    steps = [getattr(recipe, name) for name in recipe.__all__ if name.endswith("Step")]
    assert named == {
        step.NAME: {field.name for field in dataclasses.fields(step)} for step in steps
    }
