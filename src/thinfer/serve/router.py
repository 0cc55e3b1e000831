"""The one place that maps a request to the version which answers it."""

from __future__ import annotations

from dataclasses import dataclass

from thinfer.classifier import Classifier
from thinfer.serve.batcher import Batcher

__all__ = ["Router", "Version"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """An open classifier and the queue in front of its engine."""

    classifier: Classifier
    batcher: Batcher

    @property
    def name(self) -> str:
        """First 12 digits of the content digest."""
        return self.classifier.version


class Router:
    """Knows the versions; today there is one.

    Args:
        version: the one that answers.
    """

    def __init__(self, version: Version) -> None:
        self._version = version

    @property
    def current(self) -> Version:
        """The version that answers where nothing else is said."""
        return self._version

    def choose(self) -> Version:
        """Give the version that shall answer one request."""
        return self._version
