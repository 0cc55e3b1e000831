"""Tensors: which outputs are given where none is named, and that their list is the metadata's."""

from __future__ import annotations

from thinfer.serve.routes.tensors import InferBody, list_tensors, read_outputs, read_texts

TEXT = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}


def test_logits_are_given_only_where_they_are_asked_for() -> None:
    names = [output["name"] for output in list_tensors(2)[1]]
    assert names[-1] == "logits"
    nothing: tuple[list[str] | None, ...] = (None, [])
    for outputs in nothing:
        body = InferBody.model_validate({"inputs": [TEXT], "outputs": outputs})
        assert list(read_outputs(body)) == names[:-1]
    asked = InferBody.model_validate({"inputs": [TEXT], "outputs": [{"name": "logits"}]})
    assert read_outputs(asked) == ("logits",)


def test_texts_and_pairs_come_in_any_order() -> None:
    pair = {**TEXT, "name": "text_pair", "data": ["b"]}
    for inputs in ([TEXT, pair], [pair, TEXT]):
        assert read_texts(InferBody.model_validate({"inputs": inputs})) == (("a",), ("b",))
    assert read_texts(InferBody.model_validate({"inputs": [TEXT]})) == (("a",), None)
