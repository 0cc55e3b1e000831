from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.support.bundles import make_fake_bundle
from tests.support.small_task import small_task
from thinfer.classifier import Classifier
from thinfer.errors import DataError, UserError
from thinfer.nn.checkpoint import load_checkpoint
from thinfer.nn.predict import compute_logits
from thinfer.pipeline.audit_models import open_model
from thinfer.text.corpus import read_corpus

TEXTS = ["hello", "spam 123", "", "long " * 40]


def test_a_bundle_answers_as_its_classifier_does(tmp_path: Path) -> None:
    bundle = make_fake_bundle(tmp_path / "bundle", normal_label="normal")
    with Classifier.open(bundle.path) as classifier:
        expected = [answer.label for answer in classifier.predict(TEXTS)]
    with open_model(bundle.path) as model:
        assert [model.labels[code] for code in model.answer(TEXTS, None)] == expected
        assert model.answer(TEXTS, None).dtype == np.int64
        assert model.normal_label == "normal"
        assert model.digest == bundle.manifest.content_digest


def test_a_checkpoint_answers_in_torch_and_has_a_digest_of_its_weights(tmp_path: Path) -> None:
    task = small_task()
    corpus = read_corpus(task.dev)
    checkpoint = load_checkpoint(task.model)
    batch = checkpoint.tokenizer.encode(corpus.texts, corpus.pairs).batch
    logits = compute_logits(checkpoint.model, batch, pad_id=checkpoint.tokenizer.pad_id)
    with open_model(str(task.model)) as model:
        assert (model.answer(corpus.texts, corpus.pairs) == logits.argmax(axis=1)).all()
        assert model.normal_label is None
        first = model.digest
    with open_model(str(task.model)) as model:
        assert model.digest == first
    changed = tmp_path / "changed"
    changed.mkdir()
    for path in task.model.iterdir():
        (changed / path.name).write_bytes(path.read_bytes())
    raw = bytearray((changed / "model.safetensors").read_bytes())
    raw[-3] ^= 1
    (changed / "model.safetensors").write_bytes(raw)
    with open_model(str(changed)) as model:
        assert model.digest != first


def test_a_model_of_several_labels_a_text_is_refused(tmp_path: Path) -> None:
    bundle = make_fake_bundle(tmp_path / "bundle", multi_label=True)
    with pytest.raises(UserError, match="cannot be audited"), open_model(bundle.path):
        pass


def test_thresholds_are_those_that_the_bundle_was_judged_with(tmp_path: Path) -> None:
    task = small_task()
    labels = list(json.loads((task.model / "config.json").read_text())["id2label"].values())
    label = next(name for name in labels if name != "normal")
    told = {
        "activation": "softmax",
        "temperature": 1.0,
        "priority": [],
        "labels": [
            {"label": name, "threshold": 0.0 if name == label else None, "offset": 0.0}
            for name in labels
        ],
    }
    (tmp_path / "report.json").write_text(json.dumps({"original": {"operating": told}}))
    with open_model(str(task.model), beside=tmp_path) as model:
        answers = model.answer(["one text", "another"], None)
        assert [model.labels[code] for code in answers] == [label, label]
        digest = model.digest
    with open_model(str(task.model)) as model:
        assert model.digest != digest
    (tmp_path / "report.json").write_text(json.dumps({"original": {"operating": {}}}))
    with (
        pytest.raises(DataError, match="how the original was operated"),
        open_model(str(task.model), beside=tmp_path),
    ):
        pass
