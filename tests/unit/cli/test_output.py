"""Results go to stdout, everything else to stderr."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from thinfer.cli.output import Output, RichProgress, encode_json, format_table
from thinfer.core.clock import ManualClock


def test_a_result_is_json_or_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    Output(is_json=True).result({"a": (1, None), "b": "你"}, "people")
    assert json.loads(capsys.readouterr().out) == {"a": [1, None], "b": "你"}
    Output().result({"a": 1}, lambda: "people")
    assert capsys.readouterr().out == "people\n"


def test_notes_and_tasks_go_to_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    Output().note("silent")
    output = Output(progress=RichProgress())
    output.note("a [b] note")
    with output.progress.task("work", 3) as advance:
        advance(3)
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == "a [b] note\nwork …\n"


def test_a_long_task_tells_each_minute_how_far_it_is() -> None:
    stream, clock = io.StringIO(), ManualClock()
    progress = RichProgress(Console(file=stream, width=100), clock=clock)
    with progress.task("epoch 1 of 2", 10) as advance:
        for _ in range(10):
            clock.advance(40.0)
            advance(1)
    assert stream.getvalue().splitlines() == [
        "epoch 1 of 2 …",
        "epoch 1 of 2: 2 of 10, about 5 min left",
        "epoch 1 of 2: 4 of 10, about 4 min left",
        "epoch 1 of 2: 6 of 10, about 3 min left",
        "epoch 1 of 2: 8 of 10, about 1 min left",
    ]


def test_bars_are_drawn_on_a_terminal_and_end_with_the_work() -> None:
    stream = io.StringIO()
    progress = RichProgress(Console(file=stream, force_terminal=True, width=100))
    with progress.task("outer [x]", 2) as outer, progress.task("inner", 5) as inner:
        inner(5)
        outer(1)
        progress.note("between")
    assert "outer [x]" in stream.getvalue()
    assert "between" in stream.getvalue()
    with pytest.raises(KeyboardInterrupt), progress.task("again", 1):
        raise KeyboardInterrupt
    assert stream.getvalue().endswith("\x1b[?25h") or "\x1b[?25h" in stream.getvalue()


def test_json_is_readable_and_always_utf8() -> None:
    assert encode_json({"text": "你好"}) == '{"text": "你好"}'
    ender = encode_json({"text": "a\u2028b\x85"})
    assert len(ender.splitlines()) == 1
    assert json.loads(ender) == {"text": "a\u2028b\x85"}
    lone = encode_json({"text": "\ud800"})
    assert json.loads(lone.encode()) == {"text": "\ud800"}
    with pytest.raises(ValueError, match="JSON"):
        encode_json({"score": float("nan")})


def test_a_table_is_aligned_even_with_wide_characters() -> None:
    table = format_table(("label", "value"), [("广告", 0.123456), ("ham", None)])
    assert table.splitlines() == ["label  value", "广告   0.1235", "ham    -"]
