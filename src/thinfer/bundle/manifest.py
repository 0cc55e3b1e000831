"""`Manifest`: what a bundle says of itself, and the digest of what decides its answers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

from thinfer.architecture import Architecture
from thinfer.bundle.layout import LAYOUT, check_relative
from thinfer.core.codec import from_json, to_json
from thinfer.core.digest import digest_parts, sha256_bytes
from thinfer.errors import DataError, InternalError, UserError
from thinfer.quality.labels import LabelSet
from thinfer.quality.operating import Decider, OperatingPoint

__all__ = ["EngineEntry", "Manifest", "ProblemType"]

Precision = Literal["fp32", "fp16", "bf16", "int8"]
ProblemType = Literal["single_label_classification", "multi_label_classification"]


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineEntry:
    """One engine that can run the bundle.

    Attributes:
        name: its name in the engine registry.
        precision: of the matrix products.
        files: what it reads to run, relative to the bundle, tokenizer not included.
        logits_bound: largest difference to the golden logits that is accepted at opening.
        options: settings measured or chosen at export.
        chosen: True for the one that runs unless another is asked for.
    """

    name: str
    precision: Precision
    files: tuple[str, ...]
    logits_bound: float = 1e-3
    options: Mapping[str, int | float | str | bool] = field(default_factory=dict)
    chosen: bool = False

    @property
    def kept_fp32(self) -> tuple[str, ...]:
        """Blocks that its INT8 form leaves in FP32, the most sensitive to rounding first."""
        names = str(self.options.get("kept_fp32", ""))
        return tuple(names.split(",")) if names else ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """What a bundle says of itself; a writer leaves `content_digest` and `files` out.

    Attributes:
        content_digest: SHA-256 over weights, tokenizer, graphs, labels and architecture.
        architecture: the shape of the model.
        labels: name of each class, in the order of the logits.
        normal_label: the label that is no finding, if one was named.
        problem_type: softmax (`single_label_classification`) or a sigmoid for each label.
        operating: thresholds, priority and calibration; how logits become an answer.
        max_length: longest sequence that is run, in tokens; longer ones are cut.
        truncation: where a text is cut; `head` keeps its beginning.
        pad_id: token id of the padding.
        engines: exactly one of them is chosen.
        recipe: the steps that made the model, in order.
        quality: `floors`, `verdicts`, `n`, and `judgements` (each one on a test set).
        machine: facts of the machine that measured.
        libraries: name → version.
        created: when it was written, ISO 8601 in UTC; empty where nobody said.
        files: path → SHA-256, of every file but the manifest and its seal.
    """

    KIND: ClassVar[str] = "thinfer.bundle"
    VERSION: ClassVar[int] = 1

    content_digest: str = ""
    architecture: Architecture
    labels: tuple[str, ...]
    normal_label: str | None = None
    problem_type: ProblemType = "single_label_classification"
    operating: OperatingPoint = field(default_factory=OperatingPoint)
    max_length: int
    truncation: Literal["head"] = "head"
    pad_id: int
    engines: tuple[EngineEntry, ...]
    recipe: tuple[Mapping[str, Any], ...] = ()
    quality: Mapping[str, Any] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)
    libraries: Mapping[str, str] = field(default_factory=dict)
    created: str = ""
    files: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        shape = self.architecture
        self._require(
            len(self.labels) == shape.classes == len(set(self.labels)),
            f"{shape.classes} different labels, one for each row of the head",
            f"{len(self.labels)} labels, {len(set(self.labels))} of them different",
        )
        self._require(
            self.normal_label is None or self.normal_label in self.labels,
            f"a normal label among {list(self.labels)}",
            repr(self.normal_label),
        )
        self._require(
            1 <= self.max_length <= shape.max_length,
            f"max_length in 1 … {shape.max_length}",
            str(self.max_length),
        )
        self._require(
            0 <= self.pad_id < shape.vocab, f"pad_id in 0 … {shape.vocab - 1}", str(self.pad_id)
        )
        try:
            self.decider()
        except UserError as error:
            self._require(False, "an operating point that fits the labels", str(error))
        names = [entry.name for entry in self.engines]
        self._require(len(names) == len(set(names)), "each engine once", str(names))
        chosen = [entry.name for entry in self.engines if entry.chosen]
        self._require(len(chosen) == 1, "exactly one chosen engine", str(chosen))

    def _require(self, good: bool, expected: str, got: str) -> None:
        if not good:
            what = f"{LAYOUT.manifest} contradicts itself"
            raise DataError(what, expected=expected, got=got)

    def check_files(self) -> None:
        """Check the list of files: plain names, nothing missing, and the content digest.

        Raises:
            DataError: a name is not allowed, a needed file is not listed, or the content digest
                is not that of the listed digests.
        """
        for name in self.files:
            check_relative(name)
        needed = {*LAYOUT.required, *(name for entry in self.engines for name in entry.files)}
        missing = sorted(needed - set(self.files))
        self._require(not missing, "every needed file in its list", f"no {missing}")
        digest = self.compute_content_digest()
        self._require(
            self.content_digest == digest, f"content digest {digest}", self.content_digest
        )

    def compute_content_digest(self) -> str:
        """Give the digest of what decides the answers; timings, reports and machine are not in it.

        Returns:
            64 hex digits.
        """
        facts = {
            "architecture": to_json(self.architecture),
            "labels": list(self.labels),
            "max_length": self.max_length,
            "pad_id": self.pad_id,
            "problem_type": self.problem_type,
            "truncation": self.truncation,
        }
        if not self.operating.is_plain:  # bundles without one keep the digest they always had
            facts["operating"] = to_json(self.operating)
        parts = {name: digest for name, digest in self.files.items() if LAYOUT.is_content(name)}
        text = json.dumps(facts, sort_keys=True, ensure_ascii=False)
        return digest_parts({**parts, "/facts": sha256_bytes(text.encode())})

    @property
    def label_set(self) -> LabelSet:
        """The classes, and whether a text may have several."""
        is_multi = self.problem_type == "multi_label_classification"
        return LabelSet(self.labels, normal=self.normal_label, is_multi_label=is_multi)

    def decider(self) -> Decider:
        """Give how logits become answers."""
        return Decider(self.label_set, self.operating)

    @property
    def chosen(self) -> EngineEntry:
        """The engine that runs unless another is asked for."""
        return next(entry for entry in self.engines if entry.chosen)

    def encode(self) -> bytes:
        """Give the bytes of `manifest.json`.

        Raises:
            InternalError: a value has no JSON form (NaN, an object of a foreign class).
        """
        try:
            text = json.dumps(to_json(self), indent=2, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            what = "the manifest cannot be written as JSON"
            raise InternalError(what, got=str(error)) from error
        return f"{text}\n".encode()

    @classmethod
    def decode(cls, raw: bytes) -> Manifest:
        """Read the bytes of `manifest.json`.

        Args:
            raw: the file's bytes.

        Raises:
            DataError: not JSON, another kind or version, or the values contradict each other.
        """
        try:
            body = json.loads(raw)
        except (ValueError, RecursionError) as error:
            what = f"{LAYOUT.manifest} is not JSON"
            raise DataError(what, got=str(error)) from error
        return from_json(cls, body)
