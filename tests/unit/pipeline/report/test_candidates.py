from __future__ import annotations

from tests.support.sample_result import crowded_result, sample_result
from thinfer.pipeline.report.candidates import show_candidates, show_side_by_side
from thinfer.pipeline.report.reading import MetricKey


def test_every_candidate_has_a_row_and_refused_ones_their_reason() -> None:
    result = sample_result()
    markup = show_candidates(result, [MetricKey(metric="accuracy")])
    assert markup.count("data-name=") == len(result["candidates"])
    assert "parity: 3 of 64 labels" in markup
    assert markup.count('class="chosen"') == 1


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


def test_early_drops_are_folded_away_and_all_there() -> None:
    keys = [MetricKey(metric="accuracy")]
    page = show_candidates(crowded_result(100), keys)
    assert page.count("<details") == 1
    assert "100 dropped before a form was made" in page
    assert page.count('class="dropped"') == 100
    assert "<details" not in show_candidates(sample_result(), keys)
