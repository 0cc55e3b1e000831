"""Everything behind `make bench`, one script after another, then the page.

Teachers are trained where they are absent; the rest is measured anew. What fails is named at the
end and leaves the results of the others.
"""

from __future__ import annotations

import subprocess
import sys

from benchmarks.settings import ROOT, make_parser, say

STEPS = (
    *("fit_teachers", "compress_sets", "repeat"),
    *("prune", "retrain", "family", "students", "quantise", "cascade", "audit"),
    *("proof", "classes", "tasks", "moderation"),
    *("parity", "agreement", "engines", "roofline", "sparse", "fourbit", "memory"),
    *("speed", "services", "http", "watch", "render"),
)


def main() -> None:
    """Run the steps with the options that all of them take."""
    parser = make_parser(__doc__)
    parser.add_argument("--only", default=",".join(STEPS), help="some of " + ", ".join(STEPS))
    arguments = parser.parse_args()
    failed = []
    for step in STEPS:
        if step not in arguments.only.split(","):
            continue
        say(f"== {step}")
        argv = [sys.executable, "-m", f"benchmarks.{step}", *_without_only(sys.argv[1:])]
        done = subprocess.run(argv, cwd=ROOT, check=False)
        if done.returncode:
            failed.append(step)
    if failed:
        sys.exit(f"these ended with an error: {', '.join(failed)}")


def _without_only(words: list[str]) -> list[str]:
    kept, is_value = [], False
    for word in words:
        if not is_value and word != "--only" and not word.startswith("--only="):
            kept.append(word)
        is_value = word == "--only"
    return kept


if __name__ == "__main__":
    main()
