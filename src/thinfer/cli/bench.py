"""`thinfer bench`: a bundle's engines beside each other and beside other ways to run it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from thinfer.cli.output import Output, format_table

if TYPE_CHECKING:
    from thinfer.bench.run import OpenPeer

__all__ = ["command"]


def command(
    bundle: Annotated[Path, typer.Argument(help="The bundle.")],
    against: Annotated[
        list[str] | None,
        typer.Option(
            help="A peer, or PEER:DIR for the checkpoint in DIR; the first is the baseline. Peers: "
            "transformers, torch-bf16, torch-compile, torch-int8, onnxruntime, onnxruntime-int8, "
            "openvino, openvino-bf16, openvino-int8, ctranslate2, deepsparse."
        ),
    ] = None,
    lengths: Annotated[
        str | None, typer.Option(help="TEXTSxTOKENS or corpus:FILE, with commas between.")
    ] = None,
    threads: Annotated[int | None, typer.Option(help="Threads of one call.")] = None,
    rounds: Annotated[int, typer.Option(help="Calls of each on each workload.")] = 20,
    text_column: Annotated[str | None, typer.Option(help="Name of the text column.")] = None,
    seed: Annotated[int, typer.Option(help="Of every draw.")] = 0,
    *,
    output: Output,
) -> None:
    """Measure a bundle's engines in turn with others, tokenising included."""
    from thinfer.bench.run import BenchRequest, bench
    from thinfer.core.clock import SystemClock

    request = BenchRequest(
        bundle=bundle,
        against=tuple(against or ()),
        lengths=tuple(part for part in (lengths or "").split(",") if part),
        threads=threads,
        rounds=rounds,
        text_column=text_column,
        seed=seed,
    )
    result = bench(request, open_peer=_find_peers(), progress=output.progress, clock=SystemClock())
    for item in result["skipped"]:
        output.note(f"not measured: {item['name']}: {item['reason']}")
    output.result(result, lambda: _describe(result))


def _find_peers() -> OpenPeer | None:
    from thinfer.core.optional import is_available

    if not is_available("torch"):
        return None
    from thinfer.bench.peers import open_peer

    return open_peer


def _describe(result: dict[str, Any]) -> str:
    from thinfer.bench.tables import COLUMNS, to_cells

    machine = result["machine"]
    return "\n".join(
        [
            format_table(COLUMNS, [to_cells(row) for row in result["rows"]]),
            "",
            f"baseline {result['baseline']}: {result['baseline_reason']}",
            f"{result['threads']} threads of {machine['cpu']} ({', '.join(machine['flags'])})",
        ]
    )
