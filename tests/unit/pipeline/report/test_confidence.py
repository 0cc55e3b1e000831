from __future__ import annotations

from tests.support.sample_result import sample_result
from thinfer.pipeline.report.confidence import show_calibration, show_disagreements


def test_both_models_stand_side_by_side() -> None:
    markup = show_calibration(sample_result()["calibration"])
    assert markup.count("<tr>") == 3
    assert "1.98 %" in markup
    assert "<details" not in markup


def test_one_model_alone_and_none() -> None:
    one = {"original": None, "chosen": sample_result()["calibration"]["chosen"]}
    assert show_calibration(one).count("<tr>") == 2
    assert show_calibration({}) == ""


def test_labels_with_a_sigmoid_each_are_folded_below() -> None:
    found = sample_result()["calibration"]
    found["chosen"]["labels"] = [{**found["chosen"], "label": "<i>spam"}]
    markup = show_calibration(found)
    assert "<details" in markup
    assert "new model: &lt;i&gt;spam" in markup


def test_losses_come_first_and_the_whole_number_is_told() -> None:
    markup = show_disagreements(sample_result()["disagreements"])
    assert "61 of 6,000 test rows are answered differently: 37 only the original has" in markup
    assert "The 35 most telling:" in markup
    assert markup.index(">lost<") < markup.index(">gained<")
    assert '<th scope="col">text</th>' not in markup


def test_text_has_a_column_only_where_it_was_asked_for_and_is_escaped() -> None:
    found = sample_result()["disagreements"]
    found["examples"][0]["text"] = "<script>"
    markup = show_disagreements(found)
    assert '<th scope="col">text</th>' in markup
    assert "&lt;script&gt;" in markup


def test_models_that_agree_need_no_table() -> None:
    nothing = {"rows": 5, "total": 0, "losses": 0, "gains": 0, "others": 0, "examples": []}
    assert "0 of 5 test rows" in show_disagreements(nothing)
    assert "<table" not in show_disagreements(nothing)
    assert show_disagreements({}) == ""
