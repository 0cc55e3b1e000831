"""The names of a bundle's files, in one frozen table, and what a listed name may look like."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from thinfer.errors import DataError

__all__ = ["LAYOUT", "Layout", "check_relative"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """File names relative to the bundle.

    Attributes:
        manifest: what the bundle is; lists every other file but `seal`.
        seal: SHA-256 of the manifest's raw bytes, in the form of `sha256sum`.
        tokenizer: tokenizer with the pruned vocabulary.
        weights: canonical FP32 weights, engine-neutral.
        graph: ONNX graph that onnxruntime alone loads.
        engines: folder with one subfolder for each other engine.
        golden: token ids and logits of the self-test.
        report_page: report for people.
        report: the same as JSON.
        card: model card.
        evidence: what the verdict rests on, row by row, without text; if it was judged.
        profile: histograms of the texts that the bundle was measured on, if there were any.
    """

    manifest: str = "manifest.json"
    seal: str = "manifest.sha256"
    tokenizer: str = "tokenizer.json"
    weights: str = "weights.safetensors"
    graph: str = "model.onnx"
    engines: str = "engines"
    golden: str = "golden.jsonl"
    report_page: str = "report.html"
    report: str = "report.json"
    card: str = "README.md"
    evidence: str = "evidence.parquet"
    profile: str = "profile.json"

    @property
    def required(self) -> tuple[str, ...]:
        """The listed files that no bundle lacks."""
        return (self.tokenizer, self.weights, self.golden)

    def is_content(self, name: str) -> bool:
        """Say whether a file belongs to the content digest: what decides the answers.

        Args:
            name: a listed file name.
        """
        answers = {self.tokenizer, self.weights, self.graph, f"{self.graph}.data"}
        return name in answers or name.startswith(f"{self.engines}/")


LAYOUT = Layout()


def check_relative(name: str) -> None:
    """Refuse a file name that could lead out of the bundle or that is not in its plain form.

    Args:
        name: a name as the manifest lists it.

    Raises:
        DataError: the name is absolute, has `..`, `.`, an empty part, a backslash or a control
            character, or is one that the bundle itself writes.
    """
    path = PurePosixPath(name)
    plain = (
        name not in ("", ".", LAYOUT.manifest, LAYOUT.seal)
        and not path.is_absolute()
        and ".." not in path.parts
        and str(path) == name
        and "\\" not in name
        and name.isprintable()
    )
    if not plain:
        what = f"the file name {name!r} is not allowed in a bundle"
        raise DataError(what, expected="a plain name inside the bundle, with / between folders")
