"""Merging pages: what is counted adds up, what is a fact stays one."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from thinfer.serve.merging import merge_pages


def page(count: int, waits: list[float], *, start: float, labels: list[str]) -> str:
    registry = CollectorRegistry()
    counter = Counter("thinfer_texts", "Texts", ("version",), registry=registry)
    for label in labels:
        counter.labels(label).inc(count)
    histogram = Histogram("thinfer_wait", "Waits", buckets=(1, 2), registry=registry)
    for wait in waits:
        histogram.observe(wait)
    Gauge("thinfer_version_info", "Version", ("version",), registry=registry).labels("a").set(1)
    Gauge("process_start_time_seconds", "Start", registry=registry).set(start)
    return generate_latest(registry).decode()


def read(text: str) -> dict[str, float]:
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines}


def test_counters_and_buckets_add_up_and_facts_do_not() -> None:
    merged = read(
        merge_pages(
            [
                page(3, [0.5, 1.5], start=200.0, labels=["a"]),
                page(4, [5.0], start=100.0, labels=["a", "b"]),
            ]
        )
    )
    assert merged['thinfer_texts_total{version="a"}'] == 7
    assert merged['thinfer_texts_total{version="b"}'] == 4
    assert merged['thinfer_wait_bucket{le="1.0"}'] == 1
    assert merged['thinfer_wait_bucket{le="+Inf"}'] == merged["thinfer_wait_count"] == 3
    assert merged["thinfer_wait_sum"] == pytest.approx(7.0)
    assert merged['thinfer_version_info{version="a"}'] == 1
    assert merged["process_start_time_seconds"] == 100.0


def test_sums_of_drift_add_up_and_its_index_is_the_worst_one() -> None:
    lines = 'thinfer_{0}{{version="a"}} {1}\n'
    names = {"drift_texts": 10, "drift_confidence_sum": 9, "drift_psi": 0.1}
    pages = [
        "".join(
            f"# TYPE thinfer_{name} gauge\n" + lines.format(name, value * factor)
            for name, value in (*names.items(), ("golden_confidence", 0.8 / factor))
        )
        for factor in (1, 3)
    ]
    merged = read(merge_pages(pages))
    assert merged['thinfer_drift_texts{version="a"}'] == 40
    assert merged['thinfer_drift_confidence_sum{version="a"}'] == 36
    assert merged['thinfer_drift_psi{version="a"}'] == pytest.approx(0.3)
    assert merged['thinfer_golden_confidence{version="a"}'] == 0.8


def test_one_page_stays_what_it_is() -> None:
    text = page(3, [0.5], start=1.0, labels=["a", 'odd "label"\n'])
    assert read(merge_pages([text])) == read(text)
    kinds = [line for line in merge_pages([text, text]).splitlines() if line.startswith("# TYPE")]
    assert kinds == [line for line in text.splitlines() if line.startswith("# TYPE")]
