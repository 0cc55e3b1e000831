"""Promised floors in traffic: which are watched, what is a loss, and that a wave is one text."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.bundles import make_fake_bundle
from thinfer.bundle import Manifest
from thinfer.serve.floors import FloorWatch, Sighting, read_watches, text_key


def manifest(folder: Path, *floors: str, normal: str | None = "normal") -> Manifest:
    place = folder / f"b{len(list(folder.iterdir()))}"
    return make_fake_bundle(place, normal_label=normal, floors=floors).manifest


def sighting(number: int, reference: str, tested: str) -> Sighting:
    return Sighting(text_key(str(number), None), (reference,), (tested,))


def watch(allowed: float = 0.005) -> FloorWatch:
    return FloorWatch(
        "flagged_recall>=99.5%", wanted=("spam", "abuse"), kept=("spam", "abuse"), allowed=allowed
    )


def test_only_relative_floors_on_recall_are_watched(tmp_path: Path) -> None:
    exprs = (
        "accuracy>=99%", "flagged_recall>=99.5%", "recall[spam]>=98%", "recall[spam]>=0.9",
        "recall>=99%", "recall[spam|source=x]>=98%", "flag_rate<=105%", "recall[spam]>=101%",
        "no floor at all",
    )  # fmt: skip
    promised = manifest(tmp_path, *exprs)
    found = read_watches(promised, promised)
    assert [item.expr for item in found] == ["flagged_recall>=99.5%", "recall[spam]>=98%"]
    assert [item.rate.bound for item in found] == pytest.approx([0.005, 0.02])


def test_a_packed_version_is_held_to_the_floors_of_the_current_one(tmp_path: Path) -> None:
    plain, promised = manifest(tmp_path), manifest(tmp_path, "flagged_recall>=99%")
    assert [item.expr for item in read_watches(plain, promised)] == ["flagged_recall>=99%"]
    own = manifest(tmp_path, "recall[abuse]>=90%", normal=None)
    assert [item.expr for item in read_watches(own, promised)] == ["recall[abuse]>=90%"]
    assert read_watches(plain, plain) == ()


def test_a_floor_that_allows_nothing_stops_after_a_few_losses(tmp_path: Path) -> None:
    promised = manifest(tmp_path, "flagged_recall>=100%")
    (found,) = read_watches(promised, promised)
    found.add([sighting(number, "spam", "spam") for number in range(1000)])
    assert found.explain() is None
    found.add([sighting(2000 + number, "spam", "normal") for number in range(3)])
    assert found.explain() is not None


def test_a_loss_is_a_flag_that_is_gone_not_another_flag() -> None:
    found = watch()
    seen = [
        sighting(1, "spam", "abuse"), sighting(2, "spam", "normal"), sighting(3, "abuse", "abuse"),
        sighting(4, "normal", "spam"), sighting(5, "normal", "normal"),
    ]  # fmt: skip
    assert found.add(seen) == (3, 1)
    assert found.add([]) == (0, 0)
    body = found.describe()
    assert (body["samples"], body["losses"], body["allowed"]) == (3, 1, 0.005)
    assert body["e_value"] > 1


def test_with_a_label_another_flag_is_a_loss_too() -> None:
    found = FloorWatch("recall[spam]>=99%", wanted=["spam"], kept=["spam"], allowed=0.01)
    seen = [sighting(1, "spam", "abuse"), sighting(2, "abuse", "normal")]
    assert found.add(seen) == (1, 1)


def test_a_wave_of_one_text_is_one_text() -> None:
    found = watch()
    assert found.add([sighting(7, "spam", "normal")] * 500) == (1, 1)
    assert found.add([sighting(7, "spam", "normal")] * 500) == (0, 0)
    assert found.explain() is None


def test_a_broken_floor_is_explained_with_its_figures() -> None:
    found = watch()
    found.add([sighting(number, "spam", "normal") for number in range(5)])
    found.add([sighting(100 + number, "spam", "spam") for number in range(95)])
    said = found.explain() or ""
    assert "5 of 100 texts" in said
    assert "'flagged_recall>=99.5%' allows 0.50%" in said


def test_a_text_is_known_by_its_pair_too_and_is_not_kept() -> None:
    keys = {text_key("a", None), text_key("a", "b"), text_key("a", ""), text_key("\ud800", None)}
    assert len(keys) == 4
    assert {len(key) for key in keys} == {8}


def test_of_a_set_of_labels_any_finding_keeps_the_text() -> None:
    many = watch()
    texts = [text_key(str(number), None) for number in range(4)]
    pairs = [
        (("normal", "spam"), ("abuse",)),
        (("spam", "abuse"), ("normal",)),
        ((), ("spam",)),
        (("abuse",), ()),
    ]
    counted = many.add([Sighting(key, *pair) for key, pair in zip(texts, pairs, strict=True)])
    assert counted == (3, 2)
