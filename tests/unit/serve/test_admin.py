"""Versions over HTTP: a swap is all or nothing, the old answers on, and shares are obeyed."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from tests.support.serving import Harness, serving, sum_samples
from thinfer.classifier import Classifier

TEXTS = [f"text {number}" for number in range(40)]


@pytest.fixture
def harness(tmp_path: Path) -> Iterator[Harness]:
    with serving(tmp_path) as found:
        yield found


def answers_of(bundle: Path) -> list[str]:
    with Classifier.open(bundle) as classifier:
        return [prediction.label for prediction in classifier.predict(TEXTS)]


def ask_all(harness: Harness, **headers: str) -> list[str]:
    found = []
    for text in TEXTS:
        reply = harness.client.post("/check", json={"content": text}, headers=headers)
        assert reply.status_code == 200, reply.text
        found.append(reply.json()["result"])
    return found


def test_a_swap_changes_answers_and_name_and_a_rollback_brings_both_back(harness: Harness) -> None:
    before, first = ask_all(harness), harness.service.router.current.name
    bundle = harness.make_bundle(1)
    loaded = harness.load(bundle)
    assert (loaded["changed"], loaded["previous"]) == (True, first)
    assert harness.client.get("/check?content=a").headers["x-thinfer-version"] == loaded["version"]
    assert ask_all(harness) == answers_of(bundle) != before
    back = harness.admin("POST", "rollback", {})
    assert back.json() == {"version": first, "previous": loaded["version"]}
    assert ask_all(harness) == before


def test_the_same_bundle_again_changes_nothing(harness: Harness) -> None:
    loaded = harness.load(harness.folder / "bundle")
    assert loaded["changed"] is False
    assert loaded["previous"] is None
    assert len(harness.admin("GET", "versions").json()["versions"]) == 1


def test_another_label_set_is_taken_and_told(harness: Harness) -> None:
    loaded = harness.load(harness.make_bundle(2, labels=("normal", "spam", "ad", "other")))
    assert loaded["labels_added"] == ["ad", "other"]
    assert loaded["labels_removed"] == ["abuse"]


def damage_weights(bundle: Path) -> None:
    file = next(bundle.glob("*.safetensors"))
    raw = bytearray(file.read_bytes())
    raw[-1] ^= 1
    file.write_bytes(raw)


def leave_out_tokenizer(bundle: Path) -> None:
    (bundle / "tokenizer.json").unlink()


def add_link(bundle: Path) -> None:
    (bundle / "more").symlink_to("/etc/passwd")


@pytest.mark.parametrize("harm", [damage_weights, leave_out_tokenizer, add_link, shutil.rmtree])
def test_a_bad_bundle_is_refused_and_the_old_one_answers_on(harness: Harness, harm: object) -> None:
    before = ask_all(harness)
    bundle = harness.make_bundle(3)
    assert callable(harm)
    harm(bundle)
    reply = harness.admin("POST", "versions", {"bundle": str(bundle)})
    assert (reply.status_code, reply.json()["error_type"]) == (422, "bundle_refused")
    assert ask_all(harness) == before
    events = harness.admin("GET", "versions").json()["events"]
    assert [event["kind"] for event in events] == ["refused"]
    assert sum_samples(harness.samples(), "thinfer_swaps_total", 'event="refused"') == 1


def test_a_bundle_that_fails_its_golden_set_or_is_far_slower_is_refused(harness: Harness) -> None:
    for options, words in (
        ({"nan": True}, "self-test"),
        ({"fail_every": 2}, "fail"),
        ({"latency_ms": 20.0}, "far slower"),
    ):
        bundle = harness.make_bundle(4, **options)
        reply = harness.admin("POST", "versions", {"bundle": str(bundle)})
        assert reply.json()["error_type"] == "bundle_refused", options
        assert words in reply.json()["error"]
        shutil.rmtree(bundle)
    assert len(harness.admin("GET", "versions").json()["versions"]) == 1


def test_a_split_is_obeyed_counted_and_ended_by_the_next_switch(harness: Harness) -> None:
    first = harness.service.router.current.name
    bundle = harness.make_bundle(5)
    second = harness.load(bundle, activate=False)["version"]
    assert harness.service.router.current.name == first
    shares = {"versions": {first: 0.5, second: 0.5}}
    shown = harness.admin("POST", "split", shares).json()
    assert shown["split"] == {first: 0.5, second: 0.5}
    seen = Counter(
        harness.client.get("/check?content=a").headers["x-thinfer-version"] for _ in range(60)
    )
    assert set(seen) == {first, second}
    samples = harness.samples()
    for name, count in seen.items():
        counted = sum_samples(samples, "thinfer_version_requests_total", f'version="{name}"')
        assert counted == count
    sticky = {
        harness.client.get("/check?content=a", headers={"x-thinfer-key": "u"}).headers[
            "x-thinfer-version"
        ]
        for _ in range(10)
    }
    assert len(sticky) == 1
    harness.load(bundle)
    assert harness.admin("GET", "versions").json()["split"] == {second: 1.0}


def test_a_request_may_ask_for_a_loaded_version(harness: Harness) -> None:
    bundle = harness.make_bundle(6)
    name = harness.load(bundle, activate=False)["version"]
    assert ask_all(harness, **{"x-thinfer-use": name}) == answers_of(bundle)
    reply = harness.client.get("/check?content=a", headers={"x-thinfer-use": "nobody"})
    assert (reply.status_code, reply.json()["error_type"]) == (404, "unknown_version")


def test_only_what_answers_nothing_can_be_unloaded(harness: Harness) -> None:
    first = harness.service.router.current.name
    second = harness.load(harness.make_bundle(7), activate=False)["version"]
    refused = harness.admin("DELETE", f"versions/{first}")
    assert (refused.status_code, refused.json()["error_type"]) == (409, "version_in_use")
    shown = harness.admin("DELETE", f"versions/{second}").json()
    assert [version["name"] for version in shown["versions"]] == [first]
    assert harness.admin("DELETE", "versions/nobody").status_code == 404
    assert harness.admin("POST", "rollback", {}).json()["error_type"] == "version_in_use"


def test_of_two_swaps_at_once_one_waits_for_nobody(harness: Harness) -> None:
    harness.engine.gate.clear()  # the speed check of the first load stands at the gate
    bundles = [harness.make_bundle(8), harness.make_bundle(9)]
    with ThreadPoolExecutor(2) as pool:
        work = [
            pool.submit(harness.admin, "POST", "versions", {"bundle": str(bundle)})
            for bundle in bundles
        ]
        wait(work, return_when=FIRST_COMPLETED)
        harness.engine.gate.set()
        statuses = sorted(item.result().status_code for item in work)
    assert statuses == [200, 409]


def test_a_full_house_gives_up_the_version_kept_for_a_rollback(tmp_path: Path) -> None:
    with serving(tmp_path, settings={"max_versions": 2}) as harness:
        names = [harness.load(harness.make_bundle(salt))["version"] for salt in (1, 2, 3)]
        shown = harness.admin("GET", "versions").json()
        assert [version["name"] for version in shown["versions"]] == [*names[1:]]
        harness.admin("POST", "split", {"versions": dict.fromkeys(names[1:], 0.5)})
        refused = harness.admin("POST", "versions", {"bundle": str(harness.make_bundle(4))})
        assert "too many versions" in refused.json()["error"]


def test_the_admin_routes_ask_for_their_key_and_are_off_without_one(tmp_path: Path) -> None:
    with serving(tmp_path / "a") as harness:
        for method, path in (("GET", "versions"), ("POST", "rollback"), ("POST", "split")):
            reply = harness.client.request(method, f"/admin/{path}", json={})
            assert (reply.status_code, reply.headers["www-authenticate"]) == (401, "Bearer")
    with serving(tmp_path / "b", settings={"admin_key_file": None}) as harness:
        reply = harness.admin("GET", "versions")
        assert (reply.status_code, reply.json()["error_type"]) == (403, "admin_off")


def test_a_serve_key_closes_the_classify_routes(tmp_path: Path) -> None:
    (tmp_path / "serve.key").write_text("the-serve-key-of-the-tests")
    with serving(tmp_path, settings={"serve_key_file": tmp_path / "serve.key"}) as harness:
        assert harness.client.get("/check?content=a").status_code == 401
        headers = {"authorization": "Bearer the-serve-key-of-the-tests"}
        assert harness.client.get("/check?content=a", headers=headers).status_code == 200
        assert harness.client.get("/admin/versions", headers=headers).status_code == 401
        assert harness.client.get("/readyz").status_code == 200
        samples = harness.samples()
        assert sum_samples(samples, "thinfer_refused_total", 'reason="unauthorized"') == 2


def test_bad_bodies_are_refused(harness: Harness) -> None:
    for path, body in (
        ("versions", {}),
        ("versions", {"bundle": 3}),
        ("versions", {"bundle": "x", "activate": "yes"}),
        ("versions", {"bundle": "a\x00b"}),
        ("versions", {"bundle": "a" * 300}),
        ("versions", {"bundle": "\U0001f600" * 300}),
        ("split", {"versions": {}}),
        ("split", {"versions": {"a": "half"}}),
        ("split", {"versions": {harness.service.router.current.name: 0.5}}),
    ):
        assert harness.admin("POST", path, body).status_code == 422, body
