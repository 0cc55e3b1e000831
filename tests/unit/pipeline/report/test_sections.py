from __future__ import annotations

from tests.support.sample_result import crowded_result, sample_result
from thinfer.pipeline.report.reading import MetricKey, read_floor
from thinfer.pipeline.report.sections import (
    show_candidates,
    show_cards,
    show_changes,
    show_facts,
    show_floors,
    show_side_by_side,
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


def test_every_candidate_has_a_row_and_refused_ones_their_reason() -> None:
    result = sample_result()
    markup = show_candidates(result, [MetricKey(metric="accuracy")])
    assert markup.count("data-name=") == len(result["candidates"])
    assert "parity: 3 of 64 labels" in markup
    assert markup.count('class="chosen"') == 1


def test_blocks_left_in_fp32_are_named_in_the_table_and_under_the_changes() -> None:
    result = sample_result()
    assert "FP32:" not in show_candidates(result, [])
    assert "left in FP32" not in show_changes(result)
    for row in (result["chosen"], result["candidates"][0]):
        row["kept_fp32"] = ["embeddings", "layers.1.ffn"]
    assert show_candidates(result, []).count("in FP32: embeddings, layers.1.ffn") == 1
    assert "<dt>left in FP32</dt><dd>embeddings, layers.1.ffn</dd>" in show_changes(result)


def test_side_by_side_names_the_linear_model_where_it_was_run() -> None:
    result = sample_result()
    assert "hashed n-grams" in show_side_by_side(result)
    del result["linear"]
    assert "linear" not in show_side_by_side(result)


def test_side_by_side_says_which_cheap_model_holds_the_floors() -> None:
    result = sample_result()
    assert "TextCNN" in show_side_by_side(result)
    assert "holds the floors" not in show_side_by_side(result)
    result["textcnn"]["missed_on_dev"] = []
    assert "TextCNN, distilled (holds the floors on dev)" in show_side_by_side(result)
    del result["textcnn"]
    assert "TextCNN" not in show_side_by_side(result)


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


def test_early_drops_are_folded_away_and_all_there() -> None:
    keys = [MetricKey(metric="accuracy")]
    page = show_candidates(crowded_result(100), keys)
    assert page.count("<details") == 1
    assert "100 dropped before a form was made" in page
    assert page.count('class="dropped"') == 100
    assert "<details" not in show_candidates(sample_result(), keys)
