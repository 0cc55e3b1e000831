"""A shadow on a real process: stopped where it loses flags, left alone where it does not."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.bundles import make_fake_bundle
from tests.support.serving import DEADLINE_S, Process, read_samples, serve_process, sum_samples

KEY = "the-admin-key-of-this-process"
FLOOR = "flagged_recall>=99.5%"


def admin(process: Process, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
    link = process.connect()
    raw = None if body is None else json.dumps(body)
    link.request(method, f"/admin/{path}", body=raw, headers={"authorization": f"Bearer {KEY}"})
    response = link.getresponse()
    found = json.loads(response.read())
    link.close()
    assert response.status == 200, found
    return found


def wait_for(check: Callable[[], bool]) -> None:
    end = time.monotonic() + DEADLINE_S
    while not check():
        assert time.monotonic() < end
        time.sleep(0.02)


def start_shadow(process: Process, bundle: Path) -> str:
    loaded = admin(process, "POST", "versions", {"bundle": str(bundle), "activate": False})
    name = str(loaded["version"])
    admin(process, "POST", "split", {"versions": {process.version: 1.0}, "shadow": name})
    return name


def shown(process: Process, name: str) -> dict[str, Any]:
    versions = admin(process, "GET", "versions")["versions"]
    found: dict[str, Any] = next(item for item in versions if item["name"] == name)
    return found


def test_a_shadow_that_loses_flags_is_stopped_and_one_that_does_not_is_not(tmp_path: Path) -> None:
    key = tmp_path / "admin.key"
    key.write_text(KEY)

    def make(name: str, salt: int, seed: int) -> Path:
        options = {"salt": salt}
        promised = {"normal_label": "normal", "floors": (FLOOR,)}
        return make_fake_bundle(tmp_path / name, options=options, seed=seed, **promised).path  # type: ignore[arg-type]

    with serve_process(make("now", 1, 0), "--admin-key-file", str(key)) as process:
        link = process.connect()

        def ask(number: int) -> None:
            reply = process.ask("POST", "/check", {"content": f"text {number}"}, connection=link)
            assert reply.status == 200
            assert reply.headers["x-thinfer-version"] == process.version

        twin = start_shadow(process, make("twin", 1, 1))
        for number in range(60):
            ask(number)
            wait_for(lambda number=number: shown(process, twin)["compared"] == number + 1)  # type: ignore[misc]
        (floor,) = shown(process, twin)["floors"]
        assert (floor["expr"], floor["losses"], floor["stop_at"]) == (FLOOR, 0, 20)
        assert floor["samples"] > 20
        assert floor["e_value"] < 1
        assert admin(process, "GET", "versions")["shadow"] == twin

        lossy = start_shadow(process, make("lossy", 2, 0))
        for number in range(60):
            ask(number)
            if admin(process, "GET", "versions")["shadow"] is None:
                break
        wait_for(lambda: admin(process, "GET", "versions")["shadow"] is None)
        state = admin(process, "GET", "versions")
        assert state["split"] == {process.version: 1.0}
        event = state["events"][-1]
        assert (event["kind"], event["version"]) == ("shadow_stopped", lossy)
        assert FLOOR in event["reason"]
        (floor,) = shown(process, lossy)["floors"]
        assert floor["losses"] > 0
        assert floor["e_value"] >= 20
        samples = read_samples(process.ask("GET", "/metrics").raw.decode())
        mine = f'version="{lossy}"'
        assert sum_samples(samples, "thinfer_floor_e_value", mine) >= 20
        lost = {key: value for key, value in samples.items() if "floor_texts" in key}
        assert sum(v for k, v in lost.items() if mine in k and 'outcome="lost"' in k) > 0
        ask(1000)  # the current version answers on
        link.close()
    wait_for(lambda: any("shadow_stopped" in line for line in process.errors))
    assert not any("text 1" in line for line in process.errors)
