"""Refusing at the door: by the same rule as inside, before the body is read."""

from __future__ import annotations

from pathlib import Path

from tests.support.serving import serving, sum_samples


def test_a_full_queue_is_told_before_the_body_is_read(tmp_path: Path) -> None:
    with serving(tmp_path, settings={"max_queue": 2, "max_batch_texts": 1}) as harness:
        batcher = harness.service.router.current.batcher
        assert harness.client.post("/check", content=b"{").status_code == 400
        with batcher.admit(2):
            answer = harness.client.post("/check", content=b"{")
            assert (answer.status_code, answer.json()["error_type"]) == (429, "queue_full")
            assert answer.headers["retry-after"] == "1"
            too_many = harness.client.post("/predict", json={"inputs": ["a", "b", "c"]})
            assert too_many.status_code == 413
            assert harness.client.get("/livez").status_code == 200
        assert harness.client.post("/check", json={"content": "a"}).status_code == 200
        samples = harness.samples()
        assert sum_samples(samples, "thinfer_refused_total", 'reason="queue_full"') == 1


def test_while_an_arm_has_room_nobody_is_refused_at_the_door(tmp_path: Path) -> None:
    with serving(tmp_path, settings={"max_queue": 2, "max_batch_texts": 1}) as harness:
        first = harness.service.router.current
        other = harness.load(harness.make_bundle(0, seed=1), activate=False)["version"]
        with first.batcher.admit(2):
            named = {"x-thinfer-use": other}
            answer = harness.client.post("/check", json={"content": "a"}, headers=named)
            assert answer.status_code == 200
            harness.admin("POST", "split", {"versions": {first.name: 0.5, other: 0.5}})
            statuses = {
                harness.client.post("/check", json={"content": "a"}).status_code for _ in range(40)
            }
            assert statuses == {200, 429}


def test_a_service_that_stops_says_so_even_when_it_is_full(tmp_path: Path) -> None:
    settings = {"max_queue": 1, "max_batch_texts": 1}
    with (
        serving(tmp_path, settings=settings) as harness,
        harness.service.router.current.batcher.admit(1),
    ):
        harness.service.lifecycle.start_draining()
        answer = harness.client.post("/check", json={"content": "a"})
        assert (answer.status_code, answer.json()["error_type"]) == (503, "draining")
