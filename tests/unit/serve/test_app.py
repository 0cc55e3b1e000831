"""The routes on the fake engine: shapes of answers, refusals, and that nothing becomes a 500."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.serving import Harness, serving, sum_samples
from thinfer.text.batch import Batch


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    with serving(tmp_path_factory.mktemp("serve")) as harness:
        yield harness


def test_check_answers_with_content_result_and_probability(shared: Harness) -> None:
    (expected,) = shared.classifier.predict(["hello 你好"])
    answers = [
        shared.client.get("/check", params={"content": "hello 你好"}),
        shared.client.post("/check", json={"content": "hello 你好"}),
    ]
    for answer in answers:
        assert answer.status_code == 200
        assert answer.json() == {
            "content": "hello 你好",
            "result": expected.label,
            "probability": pytest.approx(expected.score),
            "truncated": False,
            "tokens": expected.tokens,
            "tokens_total": expected.tokens,
        }
        assert answer.headers["x-thinfer-version"] == shared.classifier.version


def test_predict_gives_every_label_sorted_and_follows_the_shape_of_its_input(
    shared: Harness,
) -> None:
    expected = shared.classifier.predict(["ab", "cd"])
    one = shared.client.post("/predict", json={"inputs": "ab"}).json()
    many = shared.client.post("/predict", json={"inputs": ["ab", "cd"]}).json()
    assert one == many[0]
    for answer, prediction in zip(many, expected, strict=True):
        scores = [row["score"] for row in answer]
        assert scores == sorted(scores, reverse=True)
        assert {row["label"]: row["score"] for row in answer} == pytest.approx(prediction.scores)
    assert len(shared.client.post("/predict", json={"inputs": ["ab"]}).json()) == 1


def test_predict_takes_pairs_and_gives_raw_scores(shared: Harness) -> None:
    logits = shared.classifier.logits(["ab", "cd"], ["ef", "gh"])
    body = {"inputs": [["ab", "ef"], ["cd", "gh"]], "raw_scores": True}
    answer = shared.client.post("/predict", json=body).json()
    for row, items in zip(logits.tolist(), answer, strict=True):
        found = {item["label"]: item["score"] for item in items}
        assert found == pytest.approx(dict(zip(shared.classifier.labels, row, strict=True)))


def test_a_long_text_is_answered_and_says_so_unless_it_may_not_be_cut(shared: Harness) -> None:
    text = "a你" * 500_000
    answer = shared.client.post("/check", json={"content": text})
    assert answer.status_code == 200
    assert answer.json()["truncated"] is True
    assert answer.headers["x-thinfer-truncated"] == "1"
    short = shared.client.post("/check", json={"content": "a"})
    assert "x-thinfer-truncated" not in short.headers
    body = {"inputs": ["a", text], "truncate": False}
    refused = shared.client.post("/predict", json=body)
    assert refused.status_code == 422
    assert "too long" in refused.json()["error"]
    assert shared.client.post("/predict", json={**body, "truncate": None}).status_code == 200


@pytest.mark.parametrize("text", ["", " ", "\0", "\n\t", "😀", "\u202eabc", "e" + "\u0301" * 50])
def test_odd_texts_are_answered_like_any_other(shared: Harness, text: str) -> None:
    (expected,) = shared.classifier.predict([text])
    answer = shared.client.post("/check", json={"content": text}).json()
    assert (answer["content"], answer["result"]) == (text, expected.label)


def test_what_is_not_there_is_said_in_the_same_form(shared: Harness) -> None:
    cases = [
        ("GET", "/nope", 404, "not_found"),
        ("GET", "/docs", 404, "not_found"),
        ("DELETE", "/check", 405, "method_not_allowed"),
        ("GET", "/predict", 405, "method_not_allowed"),
        ("GET", "/check", 422, "invalid"),
        ("POST", "/check", 400, "malformed"),
    ]
    for method, path, status, kind in cases:
        answer = shared.client.request(method, path)
        assert (answer.status_code, answer.json()["error_type"]) == (status, kind), path
        assert answer.headers["x-thinfer-version"] == shared.classifier.version


def test_a_compressed_body_is_refused(shared: Harness) -> None:
    headers = {"content-encoding": "gzip"}
    answer = shared.client.post("/check", content=b"\x1f\x8b", headers=headers)
    assert answer.status_code == 415


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from(["/check", "/predict"]),
    st.binary(max_size=80)
    | st.text(max_size=40).map(lambda text: text.encode("utf-8", "surrogatepass"))
    | st.builds(
        lambda head, middle, tail: head + middle + tail,
        st.sampled_from([b'{"content":', b'{"inputs":', b'{"inputs":["a",']),
        st.binary(max_size=20),
        st.sampled_from([b"}", b"]}", b"", b'"}']),
    ),
)
def test_no_bytes_make_a_server_error(shared: Harness, path: str, raw: bytes) -> None:
    answer = shared.client.post(path, content=raw)
    assert answer.status_code in {200, 400, 422}
    assert answer.headers["x-thinfer-version"]
    answer.json()


def test_the_description_of_the_api_names_the_routes_and_their_bodies(shared: Harness) -> None:
    paths = shared.client.get("/openapi.json").json()["paths"]
    model = "/v2/models/{name}"
    names = [model, f"{model}/ready", f"{model}/infer"]
    names += [name.replace(model, f"{model}/versions/{{version}}") for name in names]
    names += ["/check", "/predict", "/v1/moderations", "/livez", "/readyz", "/health", "/metrics"]
    names += ["/drift", "/info", "/v2", "/v2/health/live", "/v2/health/ready"]
    names += [f"/admin/{name}" for name in ("versions", "versions/{name}", "rollback", "split")]
    assert set(names) == set(paths)
    schema = paths["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    assert {"inputs", "truncate", "raw_scores", "long_text", "top_k"} < set(schema["properties"])


def test_info_names_the_model_and_the_limits(shared: Harness) -> None:
    info = shared.client.get("/info").json()
    assert info["version"] == shared.classifier.version
    assert info["labels"] == list(shared.classifier.labels)
    assert info["engine"] == "fake"
    assert info["limits"]["max_queue"] == 512
    assert info["keys"] == {"serve": False, "admin": True}


def test_readiness_is_a_real_inference(tmp_path: Path) -> None:
    with serving(tmp_path, settings={"ready_timeout_s": 0.05}) as harness:
        assert harness.client.get("/readyz").status_code == 200
        assert len(harness.engine.calls) == 1
        harness.engine.on_run = lambda batch: harness.classifier.logits(["a"]) * float("nan")
        answer = harness.client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["error_type"] == "not_ready"
        assert harness.client.get("/livez").status_code == 200
        harness.engine.on_run = lambda batch: None
        harness.engine.gate.clear()
        hung = harness.client.get("/readyz")
        assert hung.status_code == 503
        assert "too long" in hung.json()["error"]
        harness.engine.gate.set()
        assert harness.client.get("/readyz").status_code == 200


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_dead_worker_is_neither_ready_nor_alive_and_answers_at_once(tmp_path: Path) -> None:
    def die(batch: object) -> None:
        raise SystemExit

    with serving(tmp_path) as harness:
        harness.engine.on_run = die
        for _ in range(2):
            answer = harness.client.get("/check", params={"content": "a"})
            assert (answer.status_code, answer.json()["error_type"]) == (503, "worker_stopped")
        assert harness.client.get("/readyz").status_code == 503
        assert harness.client.get("/livez").status_code == 503
        assert harness.client.get("/metrics").status_code == 200


def refuse_id(token_id: int) -> Callable[[Batch], None]:
    def refuse(batch: Batch) -> None:
        if token_id in batch.ids:
            message = "bad text"
            raise ValueError(message)

    return refuse


def test_an_engine_that_fails_fails_its_request_and_not_the_next(tmp_path: Path) -> None:
    with serving(tmp_path) as harness:
        poison = "z"
        harness.engine.on_run = refuse_id(harness.classifier.tokenizer.id(poison))
        assert harness.client.get("/check", params={"content": poison}).status_code == 500
        assert harness.client.get("/check", params={"content": "a"}).status_code == 200
        harness.engine.gate.clear()
        harness.engine.entered.clear()
        with ThreadPoolExecutor(5) as pool:
            first = pool.submit(harness.client.get, "/check?content=a")
            harness.engine.entered.wait(30)
            texts = ["b", "c", poison, "d"]
            rest = [pool.submit(harness.client.post, "/predict", json={"inputs": t}) for t in texts]
            wait_until_waiting(harness, 4)
            harness.engine.gate.set()
            assert first.result().status_code == 200
            statuses = [answer.result().status_code for answer in rest]
        assert statuses == [200, 200, 500, 200]
        for text, answer in zip(texts, rest, strict=True):
            if text != poison:
                (expected,) = harness.classifier.predict([text])
                assert answer.result().json()[0]["label"] == expected.label
        # The poisoned text alone; then the mixed batch, and the poisoned text of it again.
        assert harness.samples()["thinfer_engine_failures_total"] == 3


def wait_until_waiting(harness: Harness, texts: int) -> None:
    """Wait until so many texts hold a place in the queue."""
    pause = threading.Event()
    batcher = harness.service.router.current.batcher
    for _ in range(3000):
        if batcher.waiting == texts:
            return
        pause.wait(0.01)
    message = f"{batcher.waiting} texts wait, not {texts}"
    raise AssertionError(message)


def test_a_full_queue_answers_429_and_recovers(tmp_path: Path) -> None:
    with serving(tmp_path, settings={"max_queue": 2}) as harness, ThreadPoolExecutor(4) as pool:
        harness.engine.gate.clear()
        held = [pool.submit(harness.client.get, "/check?content=a")]
        assert harness.engine.entered.wait(30)
        held.append(pool.submit(harness.client.post, "/predict", json={"inputs": ["b", "c"]}))
        wait_until_waiting(harness, 2)
        for inputs in ("d", ["d"], ["d", "e"]):
            answer = harness.client.post("/predict", json={"inputs": inputs})
            assert (answer.status_code, answer.json()["error_type"]) == (429, "queue_full")
            assert int(answer.headers["retry-after"]) >= 1
        too_many = harness.client.post("/predict", json={"inputs": ["d", "e", "f"]})
        assert (too_many.status_code, too_many.json()["error_type"]) == (413, "too_many_texts")
        assert harness.samples()["thinfer_queue_depth"] == 2
        harness.engine.gate.set()
        assert [answer.result().status_code for answer in held] == [200, 200]
        assert harness.client.post("/predict", json={"inputs": ["d", "e"]}).status_code == 200
        samples = harness.samples()
        assert samples['thinfer_refused_total{reason="queue_full"}'] == 3
        assert samples['thinfer_refused_total{reason="too_many_texts"}'] == 1
        assert samples["thinfer_queue_depth"] == 0


def test_a_full_queue_does_not_make_the_service_unready(tmp_path: Path) -> None:
    with serving(tmp_path, settings={"max_queue": 1}) as harness, ThreadPoolExecutor(4) as pool:
        harness.engine.gate.clear()
        held = [pool.submit(harness.client.get, "/check?content=a")]
        assert harness.engine.entered.wait(30)
        held.append(pool.submit(harness.client.get, "/check?content=b"))
        wait_until_waiting(harness, 1)
        ready = pool.submit(harness.client.get, "/readyz")
        harness.engine.gate.set()
        assert ready.result().status_code == 200
        assert [answer.result().status_code for answer in held] == [200, 200]


def test_draining_refuses_work_and_says_not_ready_but_stays_alive(tmp_path: Path) -> None:
    with serving(tmp_path) as harness:
        harness.service.lifecycle.start_draining()
        for method, path in (("GET", "/check?content=a"), ("POST", "/predict"), ("GET", "/readyz")):
            answer = harness.client.request(method, path)
            assert (answer.status_code, answer.json()["error_type"]) == (503, "draining")
            assert answer.headers["connection"] == "close"
            assert answer.headers["retry-after"] == "1"
        assert harness.client.get("/livez").status_code == 200


def test_an_error_nobody_foresaw_is_one_500_with_the_version_and_without_detail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def explode(encoding: object) -> None:
        message = "secret text"
        raise RuntimeError(message)

    with serving(tmp_path) as harness:
        monkeypatch.setattr(harness.classifier, "to_predictions", explode, raising=True)
        answer = harness.client.get("/check?content=a")
        assert answer.status_code == 500
        assert "secret" not in answer.text
        assert answer.headers["x-thinfer-version"] == harness.classifier.version
        samples = harness.samples()
        assert samples['thinfer_requests_total{outcome="failed",route="/check"}'] == 1
        assert samples["thinfer_requests_in_flight"] == 0


def test_texts_are_in_no_log_line(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    with serving(tmp_path, settings={"access_log": True}) as harness:
        harness.engine.on_run = refuse_id(harness.classifier.tokenizer.id("z"))
        harness.client.get("/check?content=secretword")
        harness.client.post("/check", json={"content": "secretword z"})
        harness.client.post("/predict", json={"inputs": {"secretword": 1}})
        harness.client.get("/secretword")
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("thinfer")]
    assert any(line.startswith("GET /check 200 ok") for line in ours)
    assert any(line.startswith("GET other 404 invalid") for line in ours)
    assert not [line for line in ours if "secretword" in line]


def test_a_hundred_requests_make_exactly_these_counters(tmp_path: Path) -> None:
    with serving(tmp_path, settings={"max_body_bytes": 1000, "max_queue": 8}) as harness:
        client, tokens = harness.client, 0
        for _ in range(20):
            assert client.get("/check?content=abc").status_code == 200  # [CLS] and [SEP]: 3 tokens
            tokens += 3
        for _ in range(10):
            assert client.post("/check", json={"content": "a b ☃"}).status_code == 200  # 1 unknown
            tokens += 5
        for _ in range(20):
            assert client.post("/predict", json={"inputs": ["a", "b c", "d"]}).status_code == 200
            tokens += 3 + 4 + 3
        for _ in range(5):
            assert (
                client.post("/check", json={"content": "a " * 99}).status_code == 200
            )  # cut to 24
            tokens += 24
        for _ in range(10):
            assert client.post("/check", content=b"{").status_code == 400
        for _ in range(10):
            assert client.get("/nope").status_code == 404
        for _ in range(10):
            assert client.post("/check", content=b" " * 1001).status_code == 413
        for _ in range(5):
            assert client.post("/predict", json={"inputs": ["a"] * 9}).status_code == 413
        for _ in range(5):
            assert client.get("/readyz").status_code == 200
        for _ in range(5):
            assert client.get("/livez").status_code == 200
        text_lengths = harness.classifier.tokenizer.encode(["abc", "a b ☃"]).batch.lengths
        tokens += 20 * (int(text_lengths[0]) - 3) + 10 * (int(text_lengths[1]) - 5)
        samples = harness.samples()
        assert_counters(samples, tokens=tokens)


def assert_counters(samples: dict[str, float], *, tokens: int) -> None:
    requests = {
        key: value for key, value in samples.items() if key.startswith("thinfer_requests_total{")
    }
    assert requests == {
        'thinfer_requests_total{outcome="ok",route="/check"}': 35,
        'thinfer_requests_total{outcome="invalid",route="/check"}': 10,
        'thinfer_requests_total{outcome="refused",route="/check"}': 10,
        'thinfer_requests_total{outcome="ok",route="/predict"}': 20,
        'thinfer_requests_total{outcome="refused",route="/predict"}': 5,
        'thinfer_requests_total{outcome="invalid",route="other"}': 10,
        'thinfer_requests_total{outcome="ok",route="/readyz"}': 5,
        'thinfer_requests_total{outcome="ok",route="/livez"}': 5,
    }
    expected = {
        "thinfer_requests_received_total": 100,
        "thinfer_requests_in_flight": 0,
        'thinfer_refused_total{reason="body_too_large"}': 10,
        'thinfer_refused_total{reason="too_many_texts"}': 5,
        "thinfer_texts_total": 35 + 60,
        "thinfer_tokens_total": tokens,
        "thinfer_truncated_texts_total": 5,
        "thinfer_unknown_tokens_total": 10,
        "thinfer_tokenize_seconds_count": 55,
        "thinfer_queue_seconds_count": 55,
        "thinfer_infer_seconds_count": 55,
        "thinfer_batch_size_count": 55 + 5,
        "thinfer_batch_size_sum": 35 + 60 + 5,
        "thinfer_engine_failures_total": 0,
        "thinfer_queue_depth": 0,
    }
    assert {name: samples[name] for name in expected} == expected
    assert sum_samples(samples, "thinfer_requests_total") == 100
    assert sum_samples(samples, "thinfer_request_seconds_count") == 100
    assert sum_samples(samples, "thinfer_refused_total") == sum_samples(
        samples, "thinfer_requests_total", 'outcome="refused"'
    )


def test_a_scrape_counts_itself_as_in_flight(shared: Harness) -> None:
    text = shared.client.get("/metrics").text
    lines = dict(
        line.rsplit(" ", 1) for line in text.splitlines() if line.startswith("thinfer_requests_")
    )
    total = sum(
        float(value) for key, value in lines.items() if key.startswith("thinfer_requests_total{")
    )
    assert float(lines["thinfer_requests_in_flight"]) == 1
    assert float(lines["thinfer_requests_received_total"]) == total + 1
