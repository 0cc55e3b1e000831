"""More of the reliability list: strange bundles, splits, killed workers, counters, tokenizers.

Parts of `benchmarks.reliability`, which runs them.
"""

from __future__ import annotations

import http.client
import http.server
import os
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from benchmarks.ground import Ground, ask, check, send
from benchmarks.launch import Service, start_thinfer
from thinfer.bundle import LAYOUT, open_bundle
from thinfer.bundle.golden import GoldenSet
from thinfer.bundle.store import seal_of
from thinfer.classifier import Classifier
from thinfer.core.digest import sha256_bytes

_THREADS, _WORKERS = 32, 2
_WAIT_S = 60.0
_APART_S = 13.0  # more than five deaths in a minute end the service, as they should
_SHARE = 0.3


def measure_strange(ground: Ground, *, repeats: int) -> dict[str, Any]:
    """Offer bundles that are whole and wrong: another golden set, an engine far slower."""
    other = _write_other_golden(ground.second, ground.folder / "other")
    found: Counter[str] = Counter()
    text = ground.texts[0]
    strict = {"THINFER_SERVE_SWAP_MAX_SLOWDOWN": "3"}
    with mock.patch.dict(os.environ, strict), ground.serving(ground.first) as service:
        before = ask(service, "POST", "/check", {"content": text})
        for name, bundle in {"other golden set": other, "slower": ground.slow}.items():
            for _ in range(repeats):
                status, body = ask(service, "POST", "/admin/versions", {"bundle": str(bundle)})
                found[f"{name}: {status} {body.get('error_type', 'taken')}"] += 1
                same = ask(service, "POST", "/check", {"content": text}) == before
                found["old answers on" if same else "old answers otherwise"] += 1
    return {"repeats": 2 * repeats, "found": found}


def _write_other_golden(source: Path, target: Path) -> Path:
    """Copy a bundle, and let its golden set tell the opposite; every digest is right."""
    shutil.copytree(source, target)
    manifest = open_bundle(source).manifest
    golden = GoldenSet.decode((source / LAYOUT.golden).read_bytes())
    raw = replace(golden, logits=-golden.logits).encode()
    (target / LAYOUT.golden).write_bytes(raw)
    changed = replace(manifest, files={**manifest.files, LAYOUT.golden: sha256_bytes(raw)})
    told = replace(changed, content_digest=changed.compute_content_digest()).encode()
    (target / LAYOUT.manifest).write_bytes(told)
    (target / LAYOUT.seal).write_bytes(seal_of(told))
    return target


def measure_split(ground: Ground, *, keys: int) -> dict[str, Any]:
    """Split the traffic by key and compare shares; then let a second version see it in silence."""
    any_arm = {"THINFER_SERVE_ARM_MIN_AGREEMENT": "0.01", "THINFER_SERVE_ARM_MAX_SLOWDOWN": "1000"}
    asked = 5 * keys
    with mock.patch.dict(os.environ, any_arm), ground.serving(ground.first) as service:
        first = ask(service, "GET", "/admin/versions", None)[1]["current"]
        body = {"bundle": str(ground.second), "activate": False}
        second = ask(service, "POST", "/admin/versions", body)[1]["version"]
        alone = [check(service, text) for text in ground.texts]
        before = _count_versions(service, (first, second))
        shares = {"versions": {first: 1 - _SHARE, second: _SHARE}}
        ask(service, "POST", "/admin/split", shares)
        by_key: dict[str, set[str]] = {}
        counted: Counter[str] = Counter()
        for number in range(asked):
            key = f"user-{number % keys}"
            version = check(service, ground.texts[number % len(ground.texts)], key=key)[0]
            by_key.setdefault(key, set()).add(version)
            counted[version] += 1
        told = _count_versions(service, (first, second))
        ask(service, "POST", "/admin/split", {"versions": {first: 1.0}, "shadow": second})
        shadowed = [check(service, text) for text in ground.texts]
    moved = sum(len(versions) > 1 for versions in by_key.values())
    given = sum(second in versions for versions in by_key.values())
    deviation = (given - _SHARE * keys) / (_SHARE * (1 - _SHARE) * keys) ** 0.5
    return {
        "requests": asked,
        "keys": keys,
        "asked_share": _SHARE,
        "share_of_keys": given / keys,
        "chi_square": deviation**2,  # of one degree of freedom
        "keys_that_moved": moved,
        "counters_differ_by": sum(abs(told[name] - before[name] - counted[name]) for name in told),
        "shadowed": len(shadowed),
        "answers_changed_by_a_shadow": sum(a != b for a, b in zip(alone, shadowed, strict=True)),
    }


def measure_kills(ground: Ground, *, repeats: int) -> dict[str, Any]:
    """Kill one of two worker processes under load; how long until both answer again."""
    found: Counter[str] = Counter()
    seconds = []
    is_over = threading.Event()
    with start_thinfer(
        ground.first,
        threads=ground.settings.threads,
        options=("--workers", str(_WORKERS)),
    ) as service:
        known: set[str] = set()
        for _ in range(_WORKERS):
            known.add(_wait_for_stranger(service, known))
        caller = threading.Thread(target=_keep_asking, args=(service, found, is_over))
        caller.start()
        for number in range(repeats):
            if number:
                time.sleep(_APART_S)
            os.kill(service.process.children()[number % 2].pid, signal.SIGKILL)
            started = time.perf_counter()
            known.add(_wait_for_stranger(service, known))
            seconds.append(time.perf_counter() - started)
        is_over.set()
        caller.join()
    return {
        "repeats": repeats,
        "found": found,
        "median_s": float(np.median(seconds)),
        "longest_s": max(seconds),
    }


def measure_counters(ground: Ground, *, repeats: int) -> dict[str, Any]:
    """Send a hundred requests of known fates, and compare every counter with what was sent."""
    fates: dict[str, tuple[Callable[[Service], int], str]] = {
        "ok": (lambda s: send(s, "/check", b'{"content": "a"}', {}), "ok"),
        "invalid": (lambda s: send(s, "/check", b'{"content": 1}', {}), "invalid"),
        "no JSON": (lambda s: send(s, "/check", b"{", {}), "invalid"),
        "late": (
            lambda s: send(s, "/check", b'{"content": "a"}', {"x-thinfer-deadline-ms": "0.000001"}),
            "refused",
        ),
    }
    sent: Counter[str] = Counter()
    differ = 0
    with ground.serving(ground.first) as service:
        names = ("ok", "invalid", "refused")
        before = {name: _count_outcome(service, name) for name in names}
        for number in range(repeats):
            act, outcome = list(fates.values())[number % len(fates)]
            act(service)
            sent[outcome] += 1
            if number % 20 == 0:
                told = {name: _count_outcome(service, name) - before[name] for name in names}
                differ += sum(told[name] != sent[name] for name in names)
        told = {name: _count_outcome(service, name) - before[name] for name in names}
        differ += sum(told[name] != sent[name] for name in names)
    return {"repeats": repeats, "sent": sent, "told": told, "counters_that_differ": differ}


def measure_tokenizers(ground: Ground, *, texts: int) -> dict[str, Any]:
    """Let many threads share one tokenizer; each must get its own answer."""
    with Classifier.open(ground.first, threads=1) as classifier:
        encode = classifier.tokenizer.encode
        expected = [encode((text,)).batch.ids.tolist() for text in ground.texts]

        def work(thread: int) -> Counter[str]:
            found: Counter[str] = Counter()
            for number in range(texts):
                row = (thread * 7 + number) % len(expected)
                try:
                    ids = encode((ground.texts[row],)).batch.ids.tolist()
                except Exception as error:
                    found[type(error).__name__] += 1
                    continue
                found["right" if ids == expected[row] else "wrong"] += 1
            return found

        with ThreadPoolExecutor(_THREADS) as pool:
            found = sum(pool.map(work, range(_THREADS)), Counter[str]())
    return {"side_by_side": _THREADS, "texts": _THREADS * texts, "found": found}


def _read_metric(service: Service, name: str, labels: str) -> float:
    link = http.client.HTTPConnection("127.0.0.1", service.port, timeout=120)
    link.request("GET", "/metrics")
    lines = link.getresponse().read().decode().splitlines()
    link.close()
    wanted = f"{name}{{{labels}}} "
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(wanted))


def _count_versions(service: Service, names: Sequence[str]) -> dict[str, float]:
    family = "thinfer_version_requests_total"
    return {name: _read_metric(service, family, f'outcome="ok",version="{name}"') for name in names}


def _count_outcome(service: Service, outcome: str) -> float:
    labels = f'outcome="{outcome}",route="/check"'
    return _read_metric(service, "thinfer_requests_total", labels)


def _worker_of(service: Service) -> str:
    """Give the name of the worker that answered: the first part of the ids that it gives out."""
    link = http.client.HTTPConnection("127.0.0.1", service.port, timeout=120)
    link.request("GET", "/livez")
    response = link.getresponse()
    response.read()
    link.close()
    return str(response.headers["x-request-id"]).rpartition("-")[0]


def _wait_for_stranger(service: Service, known: set[str]) -> str:
    """Ask until a worker answers that has not answered before; give its name."""
    end = time.perf_counter() + _WAIT_S
    while time.perf_counter() < end:
        try:
            if (name := _worker_of(service)) not in known:
                return name
        except (OSError, http.client.HTTPException):
            pass  # it met the one that was killed
        time.sleep(0.01)
    message = "no new worker answers"
    raise TimeoutError(message)


def _keep_asking(service: Service, found: Counter[str], is_over: threading.Event) -> None:
    while not is_over.is_set():
        try:
            found[str(send(service, "/check", b'{"content": "a"}', {}))] += 1
        except (OSError, http.client.HTTPException) as error:
            found[type(error).__name__] += 1
