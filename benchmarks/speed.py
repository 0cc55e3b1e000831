"""`thinfer bench` on the bundles of `compress_sets`, against transformers and the original."""

from __future__ import annotations

from benchmarks.compress_sets import bundle_of
from benchmarks.record import run_tool, save
from benchmarks.settings import make_parser, say, to_settings
from thinfer.bundle import open_bundle

SHAPES = ((1, 32), (8, 32), (16, 128))  # docs/design.md §7


def main() -> None:
    """Measure every bundle on usual shapes and on its own test texts."""
    parser = make_parser(__doc__)
    parser.add_argument("--form", default="all", help="which bundle of compress_sets")
    parser.add_argument("--rounds", type=int, default=30)
    arguments = parser.parse_args()
    settings = to_settings(arguments)
    for item in settings.present():
        bundle, teacher = bundle_of(settings, item, arguments.form), settings.teacher(item)
        if not (bundle / "manifest.json").is_file():
            say(f"{item.name}: left out, no bundle at {bundle}")
            continue
        test, columns = settings.file(item, "test")
        longest = open_bundle(bundle).manifest.max_length
        shapes = [f"{rows}x{min(length, longest)}" for rows, length in SHAPES]
        lengths = ",".join([*dict.fromkeys(shapes), f"corpus:{test}"])
        result = run_tool(
            *("bench", bundle, "--against", f"transformers:{teacher}"),
            *("--against", f"onnxruntime:{teacher}", "--lengths", lengths, *columns),
            *("--threads", settings.threads, "--rounds", arguments.rounds),
        )
        save(settings, "speed", {item.name: result})


if __name__ == "__main__":
    main()
