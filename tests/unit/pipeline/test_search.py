"""Which engines stay in the race after the dense state."""

from types import SimpleNamespace
from typing import Any

import pytest

from thinfer.pipeline.search import engines_in_reach


def dense(engine: str, speed: float | None, refused: str | None = None) -> Any:  # noqa: ANN401 - stands in for a candidate
    facts = {"refused": refused, "dev_texts_per_second": speed}
    return SimpleNamespace(form=SimpleNamespace(engine=engine), facts=facts)


def job(*asked: str) -> tuple[Any, list[str]]:
    notes: list[str] = []
    made = SimpleNamespace(
        request=SimpleNamespace(engines=asked),
        engines=("onnxruntime", "openvino"),
        progress=SimpleNamespace(note=notes.append),
    )
    return made, notes


@pytest.mark.parametrize(
    ("speed", "kept"), [(70.0, ("onnxruntime",)), (80.0, ("onnxruntime", "openvino"))]
)
def test_a_far_slower_engine_is_left_out_and_named(speed: float, kept: tuple[str, ...]) -> None:
    run, notes = job("auto")
    forms = [dense("onnxruntime", 100.0), dense("onnxruntime", 30.0), dense("openvino", speed)]
    assert engines_in_reach(run, forms) == kept
    assert (notes == []) == (len(kept) == 2)
    assert all("openvino: 0.70 of the fastest" in note for note in notes)


def test_engines_that_the_user_named_all_stay() -> None:
    run, notes = job("onnxruntime", "openvino")
    forms = [dense("onnxruntime", 100.0), dense("openvino", 1.0)]
    assert engines_in_reach(run, forms) == ("onnxruntime", "openvino")
    assert notes == []


def test_a_refused_form_does_not_speak_for_its_engine() -> None:
    run, _ = job("auto")
    forms = [dense("onnxruntime", 50.0), dense("openvino", 100.0, "on dev, accuracy>=99%")]
    assert engines_in_reach(run, forms) == ("onnxruntime",)


def test_where_every_form_is_refused_all_stay() -> None:
    run, _ = job("auto")
    forms = [dense("onnxruntime", 50.0, "parity"), dense("openvino", None, "parity")]
    assert engines_in_reach(run, forms) == ("onnxruntime", "openvino")
