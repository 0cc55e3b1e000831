"""Hot swap on a real process: under load no error, no mixture, and the command line drives it."""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from tests.support.bundles import make_fake_bundle
from tests.support.serving import PROGRAM, Process, serve_process
from thinfer.classifier import Classifier

KEY = "the-admin-key-of-this-process"
TEXTS = [f"text {number}" for number in range(50)]


@pytest.fixture
def key(tmp_path: Path) -> Path:
    file = tmp_path / "admin.key"
    file.write_text(KEY)
    return file


def labels_of(bundle: Path) -> tuple[str, list[str]]:
    with Classifier.open(bundle) as classifier:
        return classifier.version, [item.label for item in classifier.predict(TEXTS)]


def swap(process: Process, key: Path, *words: object) -> subprocess.CompletedProcess[str]:
    url = f"http://{process.host}:{process.port}"
    argv = ["swap", url, *map(str, words), "--admin-key-file", str(key), "--json"]
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, *argv],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_swaps_under_load_lose_nothing_and_never_mix(tmp_path: Path, key: Path) -> None:
    bundles = [
        make_fake_bundle(
            tmp_path / f"bundle-{salt}", options={"salt": salt, "latency_ms": 1.0}
        ).path
        for salt in (1, 2)
    ]
    expected = dict(labels_of(bundle) for bundle in bundles)
    found: Counter[str] = Counter()
    is_over = threading.Event()

    def call(process: Process) -> None:
        link = process.connect()
        row = 0
        while not is_over.is_set():
            row = (row + 1) % len(TEXTS)
            reply = process.ask("POST", "/check", {"content": TEXTS[row]}, connection=link)
            version = reply.headers["x-thinfer-version"]
            is_right = reply.status == 200 and reply.body["result"] == expected[version][row]
            found["right" if is_right else "wrong"] += 1
        link.close()

    with serve_process(bundles[0], "--admin-key-file", str(key)) as process:
        callers = [threading.Thread(target=call, args=(process,)) for _ in range(4)]
        for caller in callers:
            caller.start()
        link = http.client.HTTPConnection(process.host, process.port, timeout=60)
        for number in range(20):
            body = json.dumps({"bundle": str(bundles[(number + 1) % 2])})
            link.request("POST", "/admin/versions", body, {"authorization": f"Bearer {KEY}"})
            answer = link.getresponse()
            assert (answer.status, json.load(answer)["changed"]) == (200, True)
        link.close()
        is_over.set()
        for caller in callers:
            caller.join()
    assert found["wrong"] == 0
    assert found["right"] > 100


def test_the_command_swaps_splits_and_rolls_back(tmp_path: Path, key: Path) -> None:
    one, two = (
        make_fake_bundle(tmp_path / f"bundle-{salt}", options={"salt": salt}).path
        for salt in (1, 2)
    )
    first, second = labels_of(one)[0], labels_of(two)[0]
    with serve_process(one, "--admin-key-file", str(key)) as process:
        done = json.loads(swap(process, key, two).stdout)
        assert (done["version"], done["previous"]) == (second, first)
        assert process.ask("GET", "/check?content=a").headers["x-thinfer-version"] == second
        shares = ("--split", f"{first}=0.25", "--split", f"{second}=0.75")
        shown = json.loads(swap(process, key, *shares).stdout)
        assert shown["split"] == {first: 0.25, second: 0.75}
        assert json.loads(swap(process, key, "--rollback").stdout)["version"] == first
        shown = json.loads(swap(process, key).stdout)
        assert [event["kind"] for event in shown["events"]] == [
            "loaded",
            "switched",
            "split",
            "rolled_back",
        ]
        bad = swap(process, key, tmp_path / "nothing")
        assert bad.returncode == 3
        assert "refused" in bad.stderr
        assert swap(process, key, "--unload", first).returncode == 2
        (tmp_path / "other.key").write_text("some-other-key-0123456789")
        wrong = swap(process, tmp_path / "other.key")
        assert wrong.returncode == 2
        assert "admin key is missing or wrong" in wrong.stderr
        assert KEY not in "".join(process.errors)
    gone = swap(process, key)
    assert gone.returncode == 5
    assert "does not answer" in gone.stderr
