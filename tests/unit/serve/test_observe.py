"""The counters: a version that has gone leaves no series behind, whoever still counts."""

from __future__ import annotations

from thinfer.serve.observe import Metrics


def test_what_is_counted_after_a_version_has_gone_is_not_shown_until_it_is_back() -> None:
    metrics = Metrics()
    metrics.show_version("one", engine="fake", precision="fp32", share=1.0)
    metrics.version_texts.labels("one").inc()
    assert b'version="one"' in metrics.render()
    metrics.forget("one")
    metrics.version_requests.labels("one", "ok").inc()
    metrics.version_seconds.labels("one").observe(0.1)
    assert b'version="one"' not in metrics.render()
    metrics.show_version("one", engine="fake", precision="fp32", share=0.5)
    metrics.version_texts.labels("one").inc()
    shown = metrics.render().decode()
    assert 'thinfer_version_texts_total{version="one"} 1.0' in shown
    assert 'thinfer_split_share{version="one"} 0.5' in shown
