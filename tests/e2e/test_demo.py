"""The demo on a tiny corpus: every stage, the report in the bundle, and the service's answer."""

from __future__ import annotations

from pathlib import Path

import pytest

from thinfer.core.clock import SystemClock
from thinfer.core.progress import SilentProgress

pytest.importorskip("torch", reason="the demo trains a teacher")


def test_the_demo_goes_from_nothing_to_an_answer(tmp_path: Path) -> None:
    from thinfer.cli.demo import SERVE
    from thinfer.nn.schedule import TrainSettings
    from thinfer.pipeline.demo import DemoRequest, run_demo

    request = DemoRequest(
        out=tmp_path,
        serve=SERVE,
        rows=(240, 96, 160),
        settings=TrainSettings(epochs=1),
        floors=("accuracy>=50%",),
    )
    demo = run_demo(request, progress=SilentProgress(), clock=SystemClock())

    bundle = tmp_path / "bundle"
    assert demo.answer["content"] == request.question
    assert demo.answer["result"] in demo.compression.bundle.manifest.labels
    assert demo.answer["version"] == demo.compression.bundle.version
    assert {path.name for path in (tmp_path / "data").iterdir()} == {
        "train.csv",
        "dev.csv",
        "test.csv",
    }
    page = (bundle / "report.html").read_text(encoding="utf-8")
    assert demo.compression.result["command"].split()[0] == "thinfer"
    assert all(item["name"] in page for item in demo.compression.result["candidates"])
