"""`Contender`: something that answers texts and can be timed beside others."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from thinfer.bundle import Bundle
from thinfer.classifier import Classifier
from thinfer.engine.registry import available_engines
from thinfer.errors import EngineError

__all__ = ["Contender", "Skipped", "open_bundle_contenders"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Contender:
    """One row of the comparison, open and ready.

    Attributes:
        name: as the tables show it; unlike any other of the run.
        engine: what runs it.
        precision: of its matrix products.
        threads: threads of one call.
        run: answers texts as one batch, tokenising included.
        close: frees what it holds.
    """

    name: str
    engine: str
    precision: str
    threads: int
    run: Callable[[Sequence[str]], object]
    close: Callable[[], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Skipped:
    """An engine that was not measured.

    Attributes:
        name: as its row would have been called.
        reason: why there is no such row.
    """

    name: str
    reason: str


def open_bundle_contenders(
    bundle: Bundle, *, threads: int
) -> tuple[list[Contender], list[Skipped]]:
    """Open every engine of a bundle that is usable here, each with its self-test.

    Args:
        bundle: opened.
        threads: threads of one call.

    Returns:
        The contenders, the chosen engine first, and the engines that cannot be measured here.

    Raises:
        EngineError: none of the bundle's engines is usable here.
    """
    missing = available_engines()
    contenders: list[Contender] = []
    skipped: list[Skipped] = []
    for entry in sorted(bundle.manifest.engines, key=lambda entry: not entry.chosen):
        name = f"bundle:{entry.name}"
        reason = missing.get(entry.name, "this version has no such engine")
        if reason is None:
            try:
                classifier = Classifier.open(bundle, engine=entry.name, threads=threads)
            except EngineError as error:
                reason = str(error)
            else:
                contenders.append(_from_classifier(name, classifier))
                continue
        skipped.append(Skipped(name=name, reason=reason))
    if not contenders:
        what = "no engine of the bundle is usable here"
        raise EngineError(what, got="; ".join(f"{item.name}: {item.reason}" for item in skipped))
    return contenders, skipped


def _from_classifier(name: str, classifier: Classifier) -> Contender:
    info = classifier.engine.info
    return Contender(
        name=name,
        engine=info.name,
        precision=info.precision,
        threads=info.threads,
        run=classifier.logits,
        close=classifier.close,
    )
