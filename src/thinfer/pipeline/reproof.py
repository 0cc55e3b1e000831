"""The verdict of a bundle, computed again from its evidence alone and held against its words."""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from thinfer.bundle import LAYOUT, Bundle
from thinfer.core.codec import to_json
from thinfer.errors import DataError, at
from thinfer.pipeline.evidence import EvidenceFile, decode_evidence
from thinfer.quality.floor import parse_floor
from thinfer.quality.labels import LabelSet
from thinfer.quality.proof import Proof, prove
from thinfer.text.corpus import Corpus

__all__ = ["read_evidence", "renew_evidence", "verify_evidence"]

_FIGURES = (
    "verdict", "original", "value", "limit", "interval", "rows_needed", "losses", "gains", "trials",
    "false_positive_rate", "false_positive_interval",
)  # fmt: skip
_CLOSE = 1e-9  # the last bits of a logarithm are the machine's own


def read_evidence(bundle: Bundle) -> EvidenceFile:
    """Read the evidence of a bundle.

    Args:
        bundle: opened, so the file is the one that the manifest lists.

    Returns:
        The evidence.

    Raises:
        DataError: the bundle has none, or the file cannot be read.
    """
    if LAYOUT.evidence not in bundle.manifest.files:
        is_judged = bool(bundle.manifest.quality.get("verdicts"))
        what = f"the bundle has no {LAYOUT.evidence}"
        got = "one that was judged before there was evidence" if is_judged else "one never judged"
        raise DataError(
            what,
            expected="a bundle that `thinfer compress` wrote",
            got=got,
            do="run `thinfer compress` (again): it writes the evidence of its judgement",
        )
    with at(file=LAYOUT.evidence):
        return decode_evidence((bundle.path / LAYOUT.evidence).read_bytes())


def renew_evidence(
    bundle: Bundle,
    chosen_logits: NDArray[np.float32],
    *,
    floors: Sequence[Mapping[str, Any]],
    seed: int,
) -> EvidenceFile | None:
    """Give a bundle's evidence with another engine's answers in place of the judged ones.

    The original is not at hand: its logits are those that `compress` wrote down.

    Args:
        bundle: opened.
        chosen_logits: float32 `[rows, classes]`, on the rows of the evidence.
        floors: each with `expr`, as they were judged now.
        seed: of the resampling, now.

    Returns:
        The evidence; None where the bundle has none.
    """
    if LAYOUT.evidence not in bundle.manifest.files:
        return None
    old = read_evidence(bundle)
    head = replace(old.head, floors=tuple(item["expr"] for item in floors), seed=seed)
    renewed = replace(old, head=head, chosen_logits=chosen_logits)
    return replace(renewed, chosen=renewed.meant("chosen"))


def verify_evidence(bundle: Bundle, data: Corpus | None = None) -> dict[str, Any]:
    """Compute every figure of a bundle's verdict from its evidence, and compare.

    Args:
        bundle: opened.
        data: the test file with labels; its rows and truths are compared too.

    Returns:
        `rows`, `test_digest`, `floors` (how many), `figures` (how many were compared), `verdict`,
        `is_data_checked`.

    Raises:
        DataError: there is no evidence, or a figure is another one; floor and field are named.
    """
    evidence = read_evidence(bundle)
    with at(file=LAYOUT.evidence):
        _check_answers(evidence)
        labels = evidence.labels
        proof = prove(
            [parse_floor(expr, labels) for expr in evidence.head.floors],
            truth=evidence.truth,
            original=evidence.original,
            candidate=evidence.chosen,
            labels=labels,
            seed=evidence.head.seed,
            columns=evidence.columns,
        )
        pairs = [
            *_against_manifest(bundle, evidence, proof),
            *_against_report(bundle, evidence, proof),
        ]
        for pair in pairs:
            pair.check()
        if data is not None:
            _check_data(evidence, data, labels)
    return {
        "rows": len(evidence.rows),
        "test_digest": evidence.head.test_digest,
        "floors": len(proof.floors),
        "figures": sum(map(_count_figures, (pair.got for pair in pairs))),
        "verdict": proof.verdict,
        "is_data_checked": data is not None,
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pair:
    """A figure as it is told and as the evidence gives it."""

    where: str  # the file that tells it
    of: str  # a floor, or whose figures
    field: str
    told: Any
    got: Any

    def check(self) -> None:
        if not _is_same(self.told, self.got):
            what = f"the evidence does not give what {self.where} says of {self.of}: {self.field}"
            raise DataError(
                what,
                expected=f"{self.field} {_show(self.told)}",
                got=_show(self.got),
                do="do not trust this verdict; run `thinfer tune` or `thinfer compress` again",
            )


def _check_answers(evidence: EvidenceFile) -> None:
    """The stored answers must be those that the stored logits mean."""
    sides: tuple[Literal["original", "chosen"], ...] = ("original", "chosen")
    for name in sides:
        told, meant = getattr(evidence, name), evidence.meant(name)
        differs = np.flatnonzero(told != meant)
        if len(differs):
            place = int(differs[0])
            found = [_name(evidence.labels, each[place]) for each in (meant, told)]
            what = f"{len(differs)} answers in column '{name}' are not those of its logits"
            expected = f"{found[0]} in row {int(evidence.rows[place])}"
            raise DataError(what, expected=expected, got=found[1])


def _against_manifest(bundle: Bundle, evidence: EvidenceFile, proof: Proof) -> Iterator[_Pair]:
    manifest, quality, head = bundle.manifest, bundle.manifest.quality, evidence.head
    last = (quality.get("judgements") or [{}])[-1]
    facts = (
        ("labels", list(manifest.labels), list(head.labels)),
        ("normal label", manifest.normal_label, head.normal_label),
        ("operating point", to_json(manifest.operating), to_json(head.chosen_point)),
        ("seed", quality.get("seed"), head.seed),
        ("rows", quality.get("n"), len(evidence.rows)),
        ("test digest", last.get("test_digest"), head.test_digest),
        ("verdict", quality.get("verdict"), proof.verdict),
    )
    for field, told, got in facts:
        yield _Pair(where=LAYOUT.manifest, of="the judgement", field=field, told=told, got=got)
    yield from _floors(LAYOUT.manifest, quality.get("verdicts", ()), proof)
    yield from _metrics(LAYOUT.manifest, "chosen", quality.get("metrics"), proof)


def _against_report(bundle: Bundle, evidence: EvidenceFile, proof: Proof) -> Iterator[_Pair]:
    """What `compress` reported; after `tune` only the original is still the same one."""
    report = _read_report(bundle)
    if "answers" not in report:
        return
    judgements = bundle.manifest.quality.get("judgements") or [{}]
    is_tuned = judgements[-1].get("by") == "tune"
    sides = ("original",) if is_tuned else ("original", "chosen")
    columns = {"rows": evidence.rows, **{side: getattr(evidence, side) for side in sides}}
    for field, found in columns.items():
        told, got = report["answers"].get(field) or [], found.tolist()
        # As one figure: which rows differ is in the file, and the message stays short.
        differ = abs(len(told) - len(got)) + sum(map(operator.ne, told, got))
        field = f"{field} that differ"
        yield _Pair(where=LAYOUT.report, of="its answers", field=field, told=0, got=differ)
    for side in sides:
        told = report.get(side, {}).get("metrics")
        yield from _metrics(LAYOUT.report, side, told, proof)
    if not is_tuned:
        yield from _floors(LAYOUT.report, report.get("floors") or (), proof)


def _read_report(bundle: Bundle) -> Mapping[str, Any]:
    if LAYOUT.report not in bundle.manifest.files:
        return {}
    try:
        body = json.loads((bundle.path / LAYOUT.report).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        what = f"{LAYOUT.report} is not JSON"
        raise DataError(what, got=str(error)[:100]) from error
    return dict(body) if isinstance(body, dict) else {}


def _floors(where: str, told: Sequence[Mapping[str, Any]], proof: Proof) -> Iterator[_Pair]:
    names, exprs = [item.get("expr") for item in told], [item.expr for item in proof.floors]
    yield _Pair(where=where, of="the judgement", field="floors", told=names, got=exprs)
    for item, verdict in zip(told, proof.floors, strict=False):  # the pair above tells of more
        found = to_json(verdict)
        for field in _FIGURES:
            of = f"the floor '{verdict.expr}'"
            yield _Pair(where=where, of=of, field=field, told=item.get(field), got=found[field])


def _metrics(
    where: str, side: str, told: Mapping[str, Any] | None, proof: Proof
) -> Iterator[_Pair]:
    of, found = f"the {side} model on test", to_json(getattr(proof, side))
    if not told:
        yield _Pair(where=where, of=of, field="metrics", told=None, got=found)
        return
    for field, got in found.items():
        if field in told:  # else it is a figure that a later version of thinfer has added
            yield _Pair(where=where, of=of, field=field, told=told[field], got=got)


def _check_data(evidence: EvidenceFile, data: Corpus, labels: LabelSet) -> None:
    """Rows and truths must be those of the test file."""
    places = {row: index for index, row in enumerate(data.rows)}
    known = [places[row] for row in evidence.rows.tolist() if row in places]
    part = data.select(known)
    digest = evidence.head.test_digest
    what = f"'{data.name}' is not the test file that the evidence is of"
    if len(known) != len(evidence.rows) or part.digest != digest:
        raise DataError(
            what,
            expected=f"digest {digest[:12]} of {len(evidence.rows)} rows",
            got=f"{part.digest[:12]} of {len(known)} rows",
        )
    truth = labels.align(part.labels or (), rows=part.rows)
    differs = np.flatnonzero(truth != evidence.truth)
    if len(differs):
        place = int(differs[0])
        what = f"{len(differs)} truths of the evidence are not those of '{data.name}'"
        raise DataError(
            what,
            expected=f"{_name(labels, truth[place])} in row {part.rows[place]}",
            got=_name(labels, evidence.truth[place]),
        )


def _name(labels: LabelSet, code: np.int64) -> str:
    """An answer in words: a label, or a list of them."""
    held = labels.members(np.asarray([code]))[0]
    names = [name for name, is_held in zip(labels.names, held.tolist(), strict=True) if is_held]
    return repr(names if labels.is_multi_label else names[0])


def _is_same(told: Any, got: Any) -> bool:  # noqa: ANN401 - JSON
    if isinstance(got, Mapping):
        good = isinstance(told, Mapping) and set(told) == set(got)
        return good and all(_is_same(told[key], value) for key, value in got.items())
    if isinstance(got, list):
        good = isinstance(told, list) and len(told) == len(got)
        return good and all(map(_is_same, told, got))
    if isinstance(got, float):
        if not math.isfinite(got):
            return told is None  # JSON has no other word for it
        is_number = isinstance(told, int | float) and not isinstance(told, bool)
        return is_number and math.isclose(told, got, rel_tol=_CLOSE, abs_tol=_CLOSE)
    return bool(told == got)


def _count_figures(value: Any) -> int:  # noqa: ANN401 - JSON
    if isinstance(value, Mapping):
        return sum(map(_count_figures, value.values()))
    return sum(map(_count_figures, value)) if isinstance(value, list) else 1


def _show(value: Any) -> str:  # noqa: ANN401 - JSON
    return "nothing" if value is None else json.dumps(value, ensure_ascii=False)[:200]
