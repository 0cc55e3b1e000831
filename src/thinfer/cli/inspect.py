"""`thinfer inspect`: what a bundle says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thinfer.cli.output import Output, format_table

if TYPE_CHECKING:
    from thinfer.bundle import Bundle
    from thinfer.quality.operating import OperatingPoint

__all__ = ["command"]


def command(
    bundle: Annotated[Path, typer.Argument(help="The bundle.")],
    *,
    output: Output,
) -> None:
    """Show what a bundle holds and how it was made."""
    from thinfer.architecture import count_cost
    from thinfer.bundle import open_bundle
    from thinfer.core.codec import to_json

    opened = open_bundle(bundle)
    cost = count_cost(opened.manifest.architecture, length=32)
    body: dict[str, Any] = {
        "bundle": str(opened.path),
        "bundle_version": opened.version,
        "parameters": cost.parameters,
        "size_bytes": opened.size_bytes(),
        **to_json(opened.manifest),
    }
    output.result(body, lambda: _describe(opened, cost.parameters))


def _describe(bundle: Bundle, parameters: int) -> str:
    manifest, shape = bundle.manifest, bundle.manifest.architecture
    lines = [
        f"bundle      {bundle.path}",
        f"version     {bundle.version}",
        f"labels      {', '.join(manifest.labels)}",
        f"normal      {manifest.normal_label or '-'}",
        f"parameters  {parameters:,}",
        f"size        {bundle.size_bytes() / 2**20:.2f} MiB read by the chosen engine",
        f"model       {len(shape.layers)} layers × {shape.hidden}, {shape.vocab:,} tokens, "
        f"{manifest.max_length} at most in a text",
        f"created     {manifest.created or '-'}",
    ]
    lines += [f"verdict     {_show_verdict(item)}" for item in manifest.quality.get("verdicts", ())]
    lines += _show_operating(manifest.operating, is_multi_label=manifest.label_set.is_multi_label)
    kept = ", ".join(manifest.chosen.kept_fp32)
    lines += [f"in FP32     {kept}: INT8 alone broke a floor"] if kept else []
    lines += [f"step        {_show_step(step)}" for step in manifest.recipe]
    engines = format_table(
        ("engine", "precision", "MiB", "chosen"),
        [
            (
                entry.name,
                entry.precision,
                bundle.size_bytes(entry.name) / 2**20,
                "yes" if entry.chosen else "",
            )
            for entry in manifest.engines
        ],
    )
    layers = format_table(
        ("layer", "heads", "qk", "value", "ffn"),
        [
            (index, layer.heads, layer.qk_size, layer.value_size, layer.ffn)
            for index, layer in enumerate(shape.layers)
        ],
    )
    return "\n".join([*lines, "", engines, "", layers])


def _show_verdict(item: object) -> str:
    if not isinstance(item, Mapping):
        return str(item)
    return f"{item.get('expr', '?')} {item.get('verdict', '?')}: {item.get('reason') or '-'}"


def _show_step(item: object) -> str:
    """A step and what came of it; the details are in `--json`."""
    if not isinstance(item, Mapping):
        return str(item)
    reason = f": {item['reason']}" if item.get("reason") else ""
    return f"{item.get('step', '?')}, {item.get('outcome', '?')}{reason}"


def _show_operating(point: OperatingPoint, *, is_multi_label: bool) -> list[str]:
    if point.is_plain and not is_multi_label:
        return []
    said = "every label from a score of 0.5" if is_multi_label else "the best score"
    told = [f"{label} from {score:.4f}" for label, score in point.thresholds.items()]
    order = f"; first {', '.join(point.priority)}" if point.priority else ""
    return [f"answers     {', '.join([*told, ('else ' if told else '') + said])}{order}"]
