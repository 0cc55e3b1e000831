"""Of the reliability list: damaged requests on every route."""

from __future__ import annotations

import http.client
import json
from collections import Counter
from typing import Any

import numpy as np

from benchmarks.ground import Ground, check, send

_ROUTES: dict[str, dict[str, Any]] = {
    "/check": {"content": "text", "pair": "more", "long_text": "head"},
    "/predict": {"inputs": ["text", ["a", "b"]], "truncate": True, "top_k": 2},
    "/v1/moderations": {"input": ["text", "more"], "model": "m"},
    "/v2/models/first/infer": {
        "inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["text"]}]
    },
    "/admin/versions": {"bundle": "nowhere", "activate": False},
    "/admin/split": {"versions": {"a": 1.0}, "shadow": "b"},
}
_ODD: tuple[Any, ...] = (
    *(None, True, -1, 1e308, 10**30, "", "\x00", [], {}, [[[]]]),
    *("\ud83d\ude00" * 300, "a" * 5000),
)


def measure_requests(ground: Ground, *, repeats: int) -> dict[str, Any]:
    """Send damaged requests to every route; whatever is told, it is no 5xx."""
    rng = np.random.default_rng(ground.settings.seed)
    found: Counter[str] = Counter()
    failed: list[str] = []
    with ground.serving(ground.first) as service:
        before = check(service, ground.texts[0])
        for number in range(repeats):
            path = list(_ROUTES)[number % len(_ROUTES)]
            raw = _damage_body(_ROUTES[path], rng)
            headers = {"authorization": f"Bearer {ground.key.read_text()}"}
            if rng.random() < 0.1:
                headers[f"x-thinfer-{rng.choice(['use', 'deadline-ms', 'priority'])}"] = "odd"
            status = send(service, path, raw, headers)
            found[f"{status // 100}xx"] += 1
            if status >= http.client.INTERNAL_SERVER_ERROR:
                failed.append(f"{path}: {status}")
        is_same = check(service, ground.texts[0]) == before
    return {
        "repeats": repeats,
        "found": found,
        "failed": sorted(set(failed)),
        "answers_on": is_same,
    }


def _damage_body(body: dict[str, Any], rng: np.random.Generator) -> bytes:
    """Give a body in which a value, the bytes or the depth is wrong."""
    kind = rng.integers(5)
    if kind == 0:
        names = list(body)
        changed = {**body, names[int(rng.integers(len(names)))]: _ODD[int(rng.integers(len(_ODD)))]}
        return json.dumps(changed).encode()
    raw = bytearray(json.dumps(body).encode())
    if kind == 1:
        return bytes(raw[: int(rng.integers(len(raw)))])
    if kind == 2:
        for _ in range(int(rng.integers(1, 8))):
            raw[int(rng.integers(len(raw)))] = int(rng.integers(256))
        return bytes(raw)
    if kind == 3:
        return b"[" * int(rng.integers(1, 100_000))
    return rng.bytes(int(rng.integers(1, 2000)))
