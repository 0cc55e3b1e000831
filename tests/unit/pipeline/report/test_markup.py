from __future__ import annotations

from thinfer.pipeline.report.markup import Html, element, join


def test_plain_text_and_attributes_are_escaped_and_markup_is_not() -> None:
    inner = element("b", {}, "<script>")
    outer = element("p", {"title": '"><img>'}, inner, " & more")
    assert outer == ('<p title="&quot;&gt;&lt;img&gt;"><b>&lt;script&gt;</b> &amp; more</p>')


def test_attributes_without_a_value() -> None:
    made = element("i", {"hidden": True, "id": None, "open": False})
    assert made == "<i hidden></i>"


def test_an_element_that_holds_nothing_has_no_closing_tag() -> None:
    assert element("input", {"type": "radio"}) == '<input type="radio">'


def test_join_escapes_plain_parts_only() -> None:
    assert join("<", Html("<br>")) == "&lt;<br>"
