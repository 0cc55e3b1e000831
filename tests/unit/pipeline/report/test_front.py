from __future__ import annotations

import re

from tests.support.sample_result import crowded_result, sample_result
from thinfer.pipeline.report.front import draw_front, read_points
from thinfer.pipeline.report.reading import MetricKey, read_floor

KEY = MetricKey(metric="flagged_recall")
FLOOR = read_floor({"expr": "flagged_recall>=99.5%"})


def test_every_measured_row_is_a_point_and_the_chosen_one_is_on_top() -> None:
    points = read_points(sample_result(), KEY)
    assert points[-1].kind == "chosen"
    kinds = [point.kind for point in points]
    assert kinds.count("refused") == 4  # the fifth refused one was never timed
    assert kinds.count("original") == kinds.count("baseline") == 1


def test_the_speed_of_the_baseline_is_worked_out_where_it_is_not_given() -> None:
    result = sample_result()
    del result["baseline"]["speedup"]
    result["baseline"]["texts_per_second"] = result["original"]["texts_per_second"] / 2
    baseline = next(p for p in read_points(result, KEY) if p.kind == "baseline")
    assert baseline.speedup == 0.5


def test_a_point_says_why_it_was_refused() -> None:
    refused = next(p for p in read_points(sample_result(), KEY) if p.name == "w1/2-int8")
    assert dict(refused.facts)["refused"].startswith("on dev")


def test_all_points_lie_inside_the_drawing_even_those_far_below_the_floor() -> None:
    svg = draw_front(read_points(sample_result(), KEY), KEY, FLOOR)
    places = [(float(x), float(y)) for x, y in re.findall(r"translate\(([\d.]+) ([\d.]+)\)", svg)]
    assert len(places) == len(read_points(sample_result(), KEY))
    assert all(74 <= x <= 854 and 30 <= y <= 372 for x, y in places)


def test_faster_is_further_right_and_better_is_higher() -> None:
    svg = draw_front(read_points(sample_result(), KEY), KEY, FLOOR)

    def place(name: str) -> tuple[float, float]:
        found = re.search(rf'translate\(([\d.]+) ([\d.]+)\)" data-name="{re.escape(name)}"', svg)
        return (float(found[1]), float(found[2])) if found else (0.0, 0.0)

    kept, refused = place("w2/3-int8"), place("w1/2-int8")
    assert kept[0] < refused[0]
    assert kept[1] < refused[1]


def test_one_single_point_can_be_drawn() -> None:
    result = sample_result()
    result.update(candidates=[], baseline=None, chosen=None)
    points = read_points(result, KEY)
    assert [point.kind for point in points] == ["original"]
    assert "<svg" in draw_front(points, KEY, None)


def test_a_floor_from_above_shades_the_upper_side() -> None:
    key = MetricKey(metric="flag_rate")
    svg = draw_front(
        read_points(sample_result(), key), key, read_floor({"expr": "flag_rate<=105%"})
    )
    assert re.search(r'class="forbidden" x="74" y="30.0"', svg)


def test_what_was_dropped_early_is_a_small_point_below_the_others() -> None:
    points = read_points(crowded_result(100), KEY)
    early = [point for point in points if point.kind == "dropped"]
    assert len(early) == 100
    assert points[:100] == tuple(early)  # drawn first, so that the others lie on top
    facts = dict(early[0].facts)
    assert facts["refused"].startswith("dropped after rung 0")
    assert facts["speed"] == "1.20×, predicted"
    # Kept of what the original answers on the same rows, not on all of dev.
    assert facts["flagged_recall kept"] == "100.00 % on 222 rows of dev"
    svg = draw_front(points, KEY, FLOOR)
    assert svg.count('class="point dropped"') == 100


def test_early_drops_neither_stretch_the_scale_nor_join_the_front() -> None:
    def front_of(svg: str) -> str:
        found = re.search(r'class="frontier" points="([^"]+)"', svg)
        return found[1] if found else ""

    result = crowded_result(1)
    result["candidates"][-1]["predicted_speedup"] = 2.0
    plain, crowded = (
        draw_front(read_points(each, KEY), KEY, FLOOR) for each in (sample_result(), result)
    )
    assert front_of(crowded) == front_of(plain) != ""
