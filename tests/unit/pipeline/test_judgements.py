"""The log of judgements: a test set is known again, equal answers count once, nothing is lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from thinfer.pipeline.judgements import log_judgement


def entry(answers: str, *, digest: str = "d1") -> dict[str, Any]:
    return {"test_digest": digest, "answers": answers, "candidate": "c", "verdict": "holds"}


def test_a_fresh_set_has_judged_one_and_the_log_is_made(tmp_path: Path) -> None:
    place = tmp_path / "new" / "judgements.jsonl"
    use = log_judgement(place, entry("a"))
    assert (use.reuse.judged, use.warnings) == (1, ())
    assert json.loads(place.read_text()) == entry("a")


def test_the_fifth_candidate_on_one_set_is_warned_of_and_another_set_is_not(tmp_path: Path) -> None:
    place = tmp_path / "log"
    for name in "abcd":
        assert log_judgement(place, entry(name)).warnings == ()
    use = log_judgement(place, entry("e"))
    assert use.to_json() == {"judged": 5, "error": 0.25, "confidence": 0.75, "is_worn": True}
    assert "worn out" in use.warnings[0]
    assert log_judgement(place, entry("e", digest="d2")).warnings == ()


def test_equal_answers_are_one_candidate_however_often(tmp_path: Path) -> None:
    uses = [log_judgement(tmp_path / "log", entry("a")) for _ in range(8)]
    assert [use.reuse.judged for use in uses] == [1] * 8


def test_what_an_older_bundle_knows_counts_once() -> None:
    old = {"test_digest": "d1", "candidate": "c", "at": "2025-01-01"}  # from before the answers
    known = [old, old, entry("a"), entry("b", digest="d2")]
    assert log_judgement(None, entry("a"), known=known).reuse.judged == 2


def test_lines_that_are_no_entries_are_passed_over(tmp_path: Path) -> None:
    place = tmp_path / "log"
    place.write_bytes(b'{"test_dig\n[1]\n\xff\n' + json.dumps(entry("a")).encode() + b"\n")
    assert log_judgement(place, entry("b")).reuse.judged == 2


def test_a_log_that_cannot_be_written_is_a_warning(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    use = log_judgement(tmp_path / "file" / "log", entry("a"))
    assert use.reuse.judged == 1
    assert "cannot be used" in use.warnings[0]


def test_the_null_device_remembers_nothing() -> None:
    for name in "abcdef":
        assert log_judgement(Path("/dev/null"), entry(name)).reuse.judged == 1
