"""What the versions of a service are at one moment, in words and as JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from thinfer.serve.arms import ArmRecord
from thinfer.serve.router import Router
from thinfer.serve.version import Version

__all__ = ["Loaded", "describe_version", "missing_labels", "name_of", "read_state"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Loaded:
    """What loading a bundle came to.

    Attributes:
        version: its name.
        previous: the version that a rollback would bring back; None if there is none.
        changed: whether another version answers now.
        labels_added: labels that the version before did not have.
        labels_removed: labels that only the version before had.
        seconds: from the order to the switch.
    """

    version: str
    previous: str | None
    changed: bool
    labels_added: tuple[str, ...]
    labels_removed: tuple[str, ...]
    seconds: float


def name_of(version: Version | None) -> str | None:
    """Give a version's name, or None of none."""
    return None if version is None else version.name


def read_state(router: Router) -> dict[str, Any]:
    """Give who is loaded from where, and who answers what."""
    return {
        "loaded": {
            name: str(version.classifier.bundle.path) for name, version in router.loaded.items()
        },
        "current": router.current.name,
        "previous": name_of(router.previous),
        "split": dict(router.split),
        "shadow": name_of(router.shadow),
    }


def describe_version(version: Version, router: Router, record: ArmRecord) -> dict[str, Any]:
    """Give the facts of one version.

    Args:
        version: that is loaded.
        router: says what it answers.
        record: what is known of its answers.
    """
    info = version.classifier.engine.info
    return {
        "name": version.name,
        "bundle": str(version.classifier.bundle.path),
        "labels": list(version.classifier.labels),
        "engine": info.name,
        "precision": info.precision,
        "share": router.split.get(version.name, 0.0),
        "is_current": version is router.current,
        "is_shadow": version is router.shadow,
        "in_flight": version.users,
        "compared": record.watch.trials,
        "differed": record.watch.events,
        "floors": [floor.describe() for floor in record.floors],
    }


def missing_labels(one: Version, other: Version) -> tuple[str, ...]:
    """Give the labels of one version that another does not have."""
    theirs = set(other.classifier.labels)
    return tuple(label for label in one.classifier.labels if label not in theirs)
