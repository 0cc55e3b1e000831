"""From options to a path and bodies."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from thinfer.cli.asked import read_question
from thinfer.errors import UserError

GIVEN: dict[str, Any] = {
    **{"text_column": None, "route": "check", "body": None, "model": None},
    **{"batch": 1, "base": "/", "seed": 0},
}


def test_texts_come_from_a_file_in_an_order_that_the_seed_draws(tmp_path: Path) -> None:
    data = tmp_path / "texts.csv"
    data.write_text("title,label\n" + "".join(f"t{row},x\n" for row in range(20)))
    path, bodies = read_question(data, None, **{**GIVEN, "text_column": "title"})
    texts = [json.loads(body)["content"] for body in bodies]
    assert path == "/check"
    assert sorted(texts) == sorted(f"t{row}" for row in range(20))
    other = read_question(data, None, **{**GIVEN, "text_column": "title", "seed": 1})[1]
    assert other != bodies
    assert sorted(other) == sorted(bodies)


def test_a_route_stands_below_the_urls_own_path() -> None:
    changed = {"route": "oip", "model": "m", "base": "/team/a/"}
    assert read_question(None, ["a"], **{**GIVEN, **changed})[0] == "/team/a/v2/models/m/infer"
    raw = {"route": "raw", "body": '["{text}"]', "base": "/team/a"}
    assert read_question(None, ["a"], **{**GIVEN, **raw}) == ("/team/a", (b'["a"]',))


def test_a_template_may_stand_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "body.json"
    file.write_text('{"x": "{text}"}')
    raw = {**GIVEN, "route": "raw", "body": f"@{file}"}
    assert read_question(None, ["a"], **raw)[1] == (b'{"x": "a"}',)
    with pytest.raises(UserError, match="cannot be read"):
        read_question(None, ["a"], **{**raw, "body": "@nowhere"})


def test_both_texts_and_a_file_are_one_too_many(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="two kinds"):
        read_question(tmp_path / "x.csv", ["a"], **GIVEN)
