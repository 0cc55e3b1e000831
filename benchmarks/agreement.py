"""One bundle, four ways to ask it: HTTP, command line, Python, and plain ONNX Runtime."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import tokenizers

from benchmarks.compress_sets import bundle_of
from benchmarks.launch import Service, start_thinfer
from benchmarks.record import run_tool, save
from benchmarks.settings import RealSet, Settings, make_parser, say, to_settings, write_rows
from thinfer.bundle import open_bundle
from thinfer.classifier import Classifier

_BATCH = 32
_SINGLES = 200  # these also go one by one through /check


def compare_ways(settings: Settings, item: RealSet, bundle: Path) -> dict[str, Any]:
    """Ask a bundle whose chosen engine is ONNX Runtime in every way, on the test texts."""
    texts = list(settings.corpus(item, "test").texts)
    say(f"{item.name}: {bundle.name}")
    answers = {
        "python": _ask_python(settings, bundle, texts),
        "cli": _ask_cli(settings, bundle, texts),
        "http": _ask_http(settings, bundle, texts),
        "onnxruntime": _ask_plain(settings, bundle, texts),
    }
    singles = answers.pop("http"), _check_singles(settings, bundle, texts[:_SINGLES])
    answers["http"] = singles[0]
    return {
        "precision": open_bundle(bundle).manifest.chosen.precision,
        "rows": len(texts),
        "agreement": {
            f"{one}-{other}": _share_alike(answers[one], answers[other])
            for one, other in combinations(sorted(answers), 2)
        },
        "check_rows": len(singles[1]),
        "check_agreement": _share_alike(singles[1], answers["python"][: len(singles[1])]),
    }


def _ask_python(settings: Settings, bundle: Path, texts: list[str]) -> list[str]:
    with Classifier.open(bundle, threads=settings.threads) as classifier:
        return [answer.label for answer in classifier.predict(texts)]


def _ask_cli(settings: Settings, bundle: Path, texts: list[str]) -> list[str]:
    from thinfer.text.corpus import Corpus

    source, target = settings.work / "ask.jsonl", settings.work / "answers.jsonl"
    write_rows(source, Corpus(texts=tuple(texts)))
    words = ["predict", bundle, "--input", source, "--output", target]
    argv = [sys.executable, "-m", "thinfer", *map(str, words), "--threads", str(settings.threads)]
    subprocess.run([*argv, "--quiet"], check=True)
    return [json.loads(line)["label"] for line in target.read_text("utf-8").splitlines()]


def _ask_http(settings: Settings, bundle: Path, texts: list[str]) -> list[str]:
    found = []
    with start_thinfer(bundle, threads=settings.threads) as service:
        for start in range(0, len(texts), _BATCH):
            rows = post(service, "/predict", {"inputs": texts[start : start + _BATCH]})
            found += [row[0]["label"] for row in rows]
    return found


def _check_singles(settings: Settings, bundle: Path, texts: list[str]) -> list[str]:
    with start_thinfer(bundle, threads=settings.threads) as service:
        return [post(service, "/check", {"content": text})["result"] for text in texts]


def post(service: Service, path: str, body: object) -> Any:  # noqa: ANN401 - JSON
    """Send a JSON body and give the JSON answer."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{service.port}{path}",
        data=json.dumps(body).encode(),
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.load(reply)


def _ask_plain(settings: Settings, bundle: Path, texts: list[str]) -> list[str]:
    """Use `model.onnx` and `tokenizer.json` with their own libraries and nothing of ours."""
    manifest = json.loads((bundle / "manifest.json").read_text(encoding="utf-8"))
    tokenizer = tokenizers.Tokenizer.from_file(str(bundle / "tokenizer.json"))
    tokenizer.enable_truncation(manifest["max_length"])
    tokenizer.enable_padding(pad_id=manifest["pad_id"])
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = settings.threads
    session = onnxruntime.InferenceSession(str(bundle / "model.onnx"), options)
    found = []
    for start in range(0, len(texts), _BATCH):
        encoded = tokenizer.encode_batch(texts[start : start + _BATCH])
        feed = {
            "input_ids": np.asarray([row.ids for row in encoded], dtype=np.int64),
            "attention_mask": np.asarray([row.attention_mask for row in encoded], dtype=np.int64),
            "token_type_ids": np.asarray([row.type_ids for row in encoded], dtype=np.int64),
        }
        logits = session.run(["logits"], feed)[0]
        found += [manifest["labels"][label] for label in logits.argmax(axis=1)]
    return found


def _share_alike(one: list[str], other: list[str]) -> float:
    return float(np.mean([a == b for a, b in zip(one, other, strict=True)]))


def _bundles(settings: Settings, item: RealSet) -> dict[str, Path]:
    """Pack the teacher in FP32 and INT8; the compressed bundle joins where ORT was chosen."""
    found = {}
    for precision in ("fp32", "int8"):
        out = settings.work / "bundles" / f"{item.name}-packed-{precision}"
        shutil.rmtree(out, ignore_errors=True)
        words = ["--out", out, "--precision", precision, "--engine", "onnxruntime"]
        if precision == "int8":
            train, columns = settings.file(item, "train")
            words += ["--calibrate", train, *columns]
        run_tool("pack", settings.teacher(item), *words)
        found[f"packed-{precision}"] = out
    for form in ("onnxruntime", "all"):
        place = bundle_of(settings, item, form)
        if not (place / "manifest.json").is_file():
            continue
        if open_bundle(place).manifest.chosen.name == "onnxruntime":
            found["compressed"] = place
            break
    return found


def main() -> None:
    """Run it for every set whose data and teacher are here."""
    settings = to_settings(make_parser(__doc__).parse_args())
    for item in settings.present():
        for name, bundle in _bundles(settings, item).items():
            result = compare_ways(settings, item, bundle)
            save(settings, "agreement", {f"{item.name}-{name}": result})


if __name__ == "__main__":
    main()
