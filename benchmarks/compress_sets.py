"""`thinfer compress --floor "accuracy>=99.5%"` on each real set.

With all engines, with ONNX Runtime alone, and with two widths that are retrained; with our engine
in INT8 alone where `--forms native` asks for it, which spares the time of the others.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from benchmarks.record import run_tool, save
from benchmarks.settings import RealSet, Settings, make_parser, say, to_settings

FLOOR = "accuracy>=99.5%"
FORMS: dict[str, list[str]] = {
    "all": [],
    "onnxruntime": ["--engine", "onnxruntime"],
    "retrained": ["--widths", "2/3,1/2", "--retrain", "short"],
    "native": ["--engine", "native", "--precision", "int8"],
}
_USUAL = ("all", "onnxruntime", "retrained")


def bundle_of(settings: Settings, item: RealSet, form: str) -> Path:
    """Give where a bundle of this benchmark lies."""
    return settings.work / "bundles" / f"{item.name}-{form}"


def compress_set(
    settings: Settings, item: RealSet, form: str, options: list[str]
) -> dict[str, Any]:
    """Compress one teacher anew and give the result without answers to single rows."""
    out = bundle_of(settings, item, form)
    for place in (out, out.with_name(f"{out.name}.work")):
        shutil.rmtree(place, ignore_errors=True)
    words: list[object] = [settings.teacher(item)]
    for part in ("train", "dev", "test"):
        path, columns = settings.file(item, part)
        words += [f"--{part}", path]
    words += [*columns, "--floor", FLOOR, "--out", out, "--threads", settings.threads]
    say(f"{item.name}, {form}: compress")
    result = run_tool("compress", *words, *FORMS[form], *options, may_break=True)
    return {key: value for key, value in result.items() if key not in ("answers", "machine")}


def main() -> None:
    """Run it for every set whose data and teacher are here."""
    parser = make_parser(__doc__)
    parser.add_argument("--forms", default=",".join(_USUAL), help="some of " + ", ".join(FORMS))
    parser.add_argument(
        "--option", action="append", default=[], help="one more word for `thinfer compress`"
    )
    arguments = parser.parse_args()
    settings = to_settings(arguments)
    for item in settings.present():
        for form in arguments.forms.split(","):
            result = compress_set(settings, item, form, arguments.option)
            save(settings, "compress", {f"{item.name}-{form}": result})
            say(f"{item.name}, {form}: {result['verdict']}, {result['speedup']:.1f} times")


if __name__ == "__main__":
    main()
