from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from tests.support.bundles import make_fake_bundle
from thinfer.core.progress import SilentProgress
from thinfer.pipeline.audit import audit
from thinfer.pipeline.audit_request import AuditRequest


def write_traffic(path: Path, rows: int) -> Path:
    lines = [json.dumps({"text": f"text {at}", "text_pair": f"{at}"}) for at in range(rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_classes_in_another_order_are_the_same_classes(tmp_path: Path) -> None:
    """The fake engine answers by place, so two orders of the same names never agree by luck."""
    for name, labels in (("one", ("a", "b")), ("two", ("b", "a"))):
        make_fake_bundle(tmp_path / name, labels=labels, normal_label="a")
    traffic = write_traffic(tmp_path / "traffic.jsonl", 30)
    request = AuditRequest(
        original=str(tmp_path / "one"),
        bundle=tmp_path / "two",
        traffic=traffic,
        out=tmp_path / "out",
        floors=("accuracy>=90%", "agreement>=0.5"),
    )
    result = audit(request, progress=SilentProgress())
    assert result["agreement"] == 0.0
    assert [item["verdict"] for item in result["floors"]] == ["unproven", "broken"]
    key = json.loads((tmp_path / "out" / "key.json").read_text())
    assert all({row["original"], row["candidate"]} == {"a", "b"} for row in key["rows"])
    assert "text_pair" in (tmp_path / "out" / "to_label.csv").read_text(encoding="utf-8-sig")


@pytest.mark.parametrize("rows", [1, 40])
def test_two_equal_models_leave_only_the_sample_to_label(tmp_path: Path, rows: int) -> None:
    make_fake_bundle(tmp_path / "one", normal_label=None)
    request = AuditRequest(
        original=str(tmp_path / "one"),
        bundle=tmp_path / "one",
        traffic=write_traffic(tmp_path / "traffic.jsonl", rows),
        out=tmp_path / "out",
        sample=5,
    )
    result = audit(request, progress=SilentProgress())
    assert [item["expr"] for item in result["floors"]] == ["accuracy>=99.5%"]  # nothing is normal
    assert result["labelling"]["rows"] == min(rows, 5)
    assert result["labelling"]["changed"] == 0
    with (tmp_path / "out" / "to_label.csv").open(encoding="utf-8-sig", newline="") as stream:
        sheet = list(csv.DictReader(stream))
    assert len(sheet) == min(rows, 5)
    stored = json.loads((tmp_path / "out" / "result.json").read_text())
    assert stored == json.loads(json.dumps(result))
