"""`thinfer demo`: the main job on a generated corpus, without downloads."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from thinfer.cli.compress import describe_result, require_verdict
from thinfer.cli.output import Output

if TYPE_CHECKING:
    from thinfer.pipeline.demo import Demo

__all__ = ["command"]

# The service runs on the Python of this process, wherever the script `thinfer` is.
SERVE = (
    sys.executable,
    "-c",
    "from thinfer.cli.main import main; raise SystemExit(main())",
    "serve",
)


def command(
    out: Annotated[Path, typer.Option(help="Folder for everything it makes.")] = Path("demo"),
    seed: Annotated[int, typer.Option(help="Of corpus, training and compression.")] = 0,
    *,
    output: Output,
) -> None:
    """Generate a corpus, train a classifier, compress it, serve it and ask it one question.

    Nothing is downloaded. The bundle is OUT/bundle, its report OUT/bundle/report.html.
    """
    from thinfer.core.clock import SystemClock
    from thinfer.pipeline.demo import DemoRequest, run_demo

    request = DemoRequest(out=out, serve=SERVE, seed=seed)
    demo = run_demo(request, progress=output.progress, clock=SystemClock())
    body = {
        **demo.compression.result,
        "question": demo.question,
        "answer": demo.answer,
    }
    output.result(body, lambda: _describe(demo, out))
    require_verdict(demo.compression, is_proof_required=False)


def _describe(demo: Demo, out: Path) -> str:
    answer = demo.answer
    lines = [
        describe_result(demo.compression.result),
        "",
        f"asked the service   {demo.question}",
        f"it answered         {answer.get('result')}  ({answer.get('probability', 0.0):.3f}, "
        f"version {answer.get('version')})",
        "",
        f"the report          {out / 'bundle' / 'report.html'}",
        f"serve it again      thinfer serve {out / 'bundle'}",
    ]
    return "\n".join(lines)
