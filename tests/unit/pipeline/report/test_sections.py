from __future__ import annotations

from tests.support.sample_result import sample_result
from thinfer.pipeline.report.candidates import show_candidates
from thinfer.pipeline.report.reading import read_floor
from thinfer.pipeline.report.sections import (
    show_cards,
    show_changes,
    show_facts,
    show_floors,
    show_warnings,
)


def test_cards_leave_out_what_was_not_measured() -> None:
    result = sample_result()
    assert show_cards(result).count("<article") == 5
    result["chosen"]["peak_rss_bytes"] = None
    assert show_cards(result).count("<article") == 4


def test_a_slower_result_is_not_called_faster() -> None:
    result = sample_result()
    result["speedup"] = 0.8
    assert "0.80× <span>as fast</span>" in show_cards(result)


def test_rows_needed_are_told_only_where_the_verdict_is_unproven() -> None:
    floors = [
        {"expr": "accuracy>=99%", "verdict": verdict, "rows_needed": 1258, "reason": "so."}
        for verdict in ("unproven", "holds")
    ]
    markup = show_floors(floors, [read_floor(floor) for floor in floors])
    assert markup.count("About 1,258 test rows") == 1
    assert "so.." not in markup


def test_blocks_left_in_fp32_are_named_in_the_table_and_under_the_changes() -> None:
    result = sample_result()
    assert "FP32:" not in show_candidates(result, [])
    assert "left in FP32" not in show_changes(result)
    for row in (result["chosen"], result["candidates"][0]):
        row["kept_fp32"] = ["embeddings", "layers.1.ffn"]
    assert show_candidates(result, []).count("in FP32: embeddings, layers.1.ffn") == 1
    assert "<dt>left in FP32</dt><dd>embeddings, layers.1.ffn</dd>" in show_changes(result)


def test_changes_name_refused_and_degraded_steps() -> None:
    markup = show_changes(sample_result())
    assert "21,128 → 9,412" in markup
    assert 'state degraded">degraded' in markup
    assert 'state refused">refused' in markup
    assert "rows after 9,412" in markup
    assert "scores" not in markup


def test_a_digest_is_cut_and_bytes_have_a_unit() -> None:
    markup = show_facts(sample_result())
    assert "<dd>5e1b0c9a77d2</dd>" in markup
    assert "8.3 GB" in markup


def test_no_warnings_no_list() -> None:
    assert show_warnings([]) == ""
