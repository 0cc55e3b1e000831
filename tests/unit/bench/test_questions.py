"""Bodies of the routes, and templates for those of others."""

from __future__ import annotations

import json

import numpy as np
import pytest

from thinfer.bench.questions import ROUTES, draw_texts, make_bodies, read_template
from thinfer.errors import UserError

TEXTS = ["a", "你好", 'c "quoted"']


def bodies(name: str, batch: int = 1) -> list[object]:
    return [json.loads(body) for body in make_bodies(ROUTES[name], TEXTS, batch=batch)]


def test_one_text_a_request_has_the_form_of_each_route() -> None:
    assert bodies("check") == [{"content": text} for text in TEXTS]
    assert bodies("predict") == [{"inputs": text} for text in TEXTS]
    assert bodies("moderations") == [{"input": text} for text in TEXTS]
    tensor = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}
    assert bodies("oip")[0] == {"inputs": [tensor]}
    assert ROUTES["oip"].path.format(model="m") == "/v2/models/m/infer"


def test_several_texts_are_a_list_and_every_text_is_sent() -> None:
    assert bodies("predict", 2) == [{"inputs": TEXTS[:2]}, {"inputs": [TEXTS[2], TEXTS[0]]}]
    assert bodies("moderations", 3) == [{"input": TEXTS}]
    (body,) = make_bodies(ROUTES["oip"], TEXTS, batch=3)
    assert json.loads(body)["inputs"][0]["shape"] == [3]


def test_a_route_of_one_text_refuses_several() -> None:
    with pytest.raises(UserError, match="one text a request"):
        bodies("check", 2)
    with pytest.raises(UserError, match="nothing to send"):
        make_bodies(ROUTES["predict"], [], batch=1)


def test_a_template_holds_the_text_wherever_it_is_wanted() -> None:
    route = read_template('{"data": {"rows": ["{text}"], "n": 1}, "{text}": true}')
    (body,) = make_bodies(route, ["x"], batch=1)
    assert json.loads(body) == {"data": {"rows": ["x"], "n": 1}, "{text}": True}
    many = read_template('["{texts}"]')
    assert json.loads(make_bodies(many, TEXTS, batch=3)[0]) == [TEXTS]


@pytest.mark.parametrize(
    "template", ["", "{", '{"a": "text"}', '["{text}", "{texts}"]', '"my {text}"', "[" * 100_000]
)
def test_a_template_without_one_mark_is_refused(template: str) -> None:
    with pytest.raises(UserError, match="template"):
        read_template(template)


def test_texts_are_drawn_in_an_order_that_the_seed_fixes() -> None:
    texts = [str(number) for number in range(50)]
    drawn = draw_texts(texts, rng=np.random.default_rng(3))
    assert drawn == draw_texts(texts, rng=np.random.default_rng(3))
    assert sorted(drawn) == sorted(texts)
    assert drawn != texts
    assert len(draw_texts(["a"] * 30_000, rng=np.random.default_rng(0))) == 20_000
