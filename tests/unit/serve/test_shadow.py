"""Shadow traffic and arms: compared, counted, never in the way, and taken off when they differ."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tests.support.bundles import make_fake_bundle
from tests.support.serving import Harness, serving, sum_samples


def wait_for(check: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not check():
        assert time.monotonic() < end
        time.sleep(0.01)


def seen_by(harness: Harness, name: str) -> float:
    return sum_samples(harness.samples(), "thinfer_shadow_texts_total", f'version="{name}"')


def find_rare(harness: Harness) -> tuple[str, int]:
    """A letter and its token that the golden set does not hold."""
    golden = set(harness.classifier.bundle.golden()[0].ids.tolist())
    for letter in "zyxwvutsrqponm":
        token = int(harness.classifier.tokenizer.encode((letter,)).batch.ids[1])
        if token not in golden:
            return letter, token
    raise AssertionError


def test_a_shadow_sees_every_text_and_answers_none(tmp_path: Path) -> None:
    with serving(tmp_path) as harness:
        first = harness.service.router.current.name
        before = [harness.client.get(f"/check?content=a{number}").json() for number in range(10)]
        other = harness.load(harness.make_bundle(1), activate=False)["version"]
        harness.admin("POST", "split", {"versions": {first: 1.0}, "shadow": other})
        for number, expected in enumerate(before):
            reply = harness.client.get(f"/check?content=a{number}")
            assert reply.json() == expected
            assert reply.headers["x-thinfer-version"] == first
            wait_for(lambda number=number: seen_by(harness, other) == number + 1)  # type: ignore[misc]
        samples = harness.samples()
        differed = sum_samples(samples, "thinfer_shadow_texts_total", 'outcome="differed"')
        agreed = sum_samples(samples, "thinfer_shadow_texts_total", 'outcome="agreed"')
        assert differed > 0
        assert differed + agreed == 10
        shown = harness.admin("GET", "versions").json()["versions"][1]
        assert (shown["compared"], shown["differed"]) == (10, differed)
        assert shown["is_shadow"] is True


def test_a_failing_shadow_changes_no_answer(tmp_path: Path) -> None:
    with serving(tmp_path) as harness:
        first = harness.service.router.current.name
        letter, token = find_rare(harness)
        bundle = harness.make_bundle(1, fail_on_id=token)
        other = harness.load(bundle, activate=False)["version"]
        harness.admin("POST", "split", {"versions": {first: 1.0}, "shadow": other})
        assert harness.client.get(f"/check?content={letter}").status_code == 200
        wait_for(lambda: seen_by(harness, other) == 1)
        failed = sum_samples(harness.samples(), "thinfer_shadow_texts_total", 'outcome="failed"')
        assert failed == 1


def test_the_shadow_sees_nothing_while_somebody_waits(tmp_path: Path) -> None:
    with serving(tmp_path) as harness:
        first = harness.service.router.current.name
        other = harness.load(harness.make_bundle(1), activate=False)["version"]
        harness.admin("POST", "split", {"versions": {first: 1.0}, "shadow": other})
        batcher = harness.service.router.current.batcher
        with batcher.admit(3):
            assert harness.client.get("/check?content=a").status_code == 200
            wait_for(lambda: seen_by(harness, other) == 1)
        samples = harness.samples()
        assert sum_samples(samples, "thinfer_shadow_texts_total", 'outcome="dropped"') == 1


def test_an_arm_that_answers_otherwise_is_stopped(tmp_path: Path) -> None:
    with serving(tmp_path, settings={"compare_share": 1.0}) as harness:
        first = harness.service.router.current.name
        other = harness.load(harness.make_bundle(1), activate=False)["version"]
        harness.admin("POST", "split", {"versions": {first: 0.5, other: 0.5}})
        for number in range(200):
            harness.client.get(f"/check?content=a{number}")
            if other not in harness.service.router.split:
                break
        wait_for(lambda: other not in harness.service.router.split)
        shown = harness.admin("GET", "versions").json()
        assert shown["split"] == {first: 1.0}
        assert shown["events"][-1]["kind"] == "arm_stopped"
        assert "another label" in shown["events"][-1]["reason"]


def test_an_arm_that_agrees_stays(tmp_path: Path) -> None:
    with serving(tmp_path, settings={"compare_share": 1.0}) as harness:
        first = harness.service.router.current.name
        same = harness.load(harness.make_bundle(0, seed=1), activate=False)["version"]
        harness.admin("POST", "split", {"versions": {first: 0.5, same: 0.5}})
        for number in range(100):
            harness.client.get(f"/check?content=a{number}")
        assert harness.admin("GET", "versions").json()["split"] == {first: 0.5, same: 0.5}


def test_a_version_that_fails_after_the_switch_is_rolled_back(tmp_path: Path) -> None:
    with serving(tmp_path) as harness:
        first = harness.service.router.current.name
        letter, token = find_rare(harness)
        bad = harness.load(harness.make_bundle(1, fail_on_id=token))["version"]
        path = f"/check?content={letter}"
        statuses = [harness.client.get(path).status_code for _ in range(5)]
        assert statuses == [500, 500, 500, 200, 200]
        shown = harness.admin("GET", "versions").json()
        assert shown["current"] == first
        assert shown["previous"] is None
        event = next(item for item in shown["events"] if item["kind"] == "auto_rollback")
        assert bad in event["reason"]
        assert "3 of 3 requests failed" in event["reason"]


def test_a_shadow_reads_long_texts_as_the_request_asked(tmp_path: Path) -> None:
    with serving(tmp_path) as harness:
        first = harness.service.router.current.name
        # Another seed: other weights, so another version, but the fake engine's same answers.
        twin = make_fake_bundle(tmp_path / "twin", seed=1)
        other = harness.load(twin.path, activate=False)["version"]
        harness.admin("POST", "split", {"versions": {first: 1.0}, "shadow": other})
        for number in range(10):
            texts = ["a", f"{number} b c d e f g h " * 5, f"i j k {number} " * 12]
            body = {"inputs": texts, "long_text": "windows", "pooling": "mean"}
            assert harness.client.post("/predict", json=body).status_code == 200
            wait_for(lambda number=number: seen_by(harness, other) == 3 * (number + 1))  # type: ignore[misc]
        assert (
            sum_samples(harness.samples(), "thinfer_shadow_texts_total", 'outcome="agreed"') == 30
        )


def promised(folder: Path, name: str, *, salt: int = 0, seed: int = 0) -> Path:
    """A bundle that promised a floor; another seed is another version with the same answers."""
    bundle = make_fake_bundle(
        folder / name,
        options={"salt": salt},
        seed=seed,
        normal_label="normal",
        floors=("flagged_recall>=99.5%",),
    )
    return bundle.path


def test_an_arm_that_loses_flags_is_stopped_with_the_floor_named(tmp_path: Path) -> None:
    settings = {"compare_share": 1.0, "arm_min_agreement": 0.01}  # other labels alone are fine
    with serving(tmp_path, settings=settings, bundle=promised(tmp_path, "now")) as harness:
        first = harness.service.router.current.name
        other = harness.load(promised(tmp_path, "lossy", salt=2), activate=False)["version"]
        harness.admin("POST", "split", {"versions": {first: 0.5, other: 0.5}})
        for number in range(200):
            harness.client.get(f"/check?content=a{number}")
            if other not in harness.service.router.split:
                break
        wait_for(lambda: other not in harness.service.router.split)
        event = harness.admin("GET", "versions").json()["events"][-1]
        assert event["kind"] == "arm_stopped"
        assert "'flagged_recall>=99.5%' allows 0.50%" in event["reason"]


def test_a_process_that_follows_watches_the_new_shadow_too(tmp_path: Path) -> None:
    with serving(tmp_path, bundle=promised(tmp_path, "now")) as harness:
        fleet, portal = harness.service.fleet, harness.client.portal
        assert portal is not None
        first = harness.service.router.current.name
        fleet.describe()  # makes the record of the version that answers
        second = harness.load(promised(tmp_path, "next", seed=1))["version"]
        state = {**fleet.state(), "split": {second: 1.0}, "shadow": first}
        portal.call(fleet.follow, state)
        shown = {item["name"]: item for item in fleet.describe()["versions"]}
        assert [floor["samples"] for floor in shown[first]["floors"]] == [0]
        assert shown[second]["floors"] == []
        harness.client.get("/check?content=a")
        wait_for(lambda: seen_by(harness, first) == 1)
