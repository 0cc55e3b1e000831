"""What a command says: results to stdout, progress and notes to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from rich.cells import cell_len
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichBars

from thinfer.core.clock import Clock, SystemClock
from thinfer.core.codec import to_json
from thinfer.core.progress import Progress, SilentProgress

__all__ = ["Output", "RichProgress", "encode_json", "format_table", "say_error"]

_LINE_EVERY_S = 60.0  # where no bar can be drawn


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """How one run of a command talks.

    Attributes:
        is_json: the result is printed as one JSON object.
        progress: where long work tells of itself, and notes go; silent with `--quiet`.
    """

    is_json: bool = False
    progress: Progress = field(default_factory=SilentProgress)

    def note(self, text: str) -> None:
        """Tell one line on stderr, unless quiet.

        Args:
            text: the line.
        """
        self.progress.note(text)

    def result(self, body: object, human: str | Callable[[], str]) -> None:
        """Print the result of a command.

        Args:
            body: the result as a dataclass, mapping or list, for `--json`.
            human: the same for people; a function is called only when it is needed.
        """
        if self.is_json:
            print(encode_json(to_json(body), indent=2))
        else:
            print(human if isinstance(human, str) else human())


def encode_json(body: object, *, indent: int | None = None) -> str:
    """Give JSON that UTF-8 can carry.

    Args:
        body: a JSON-ready value; NaN is refused by the encoder.
        indent: None for one line.

    Returns:
        Readable characters; all escaped where the text holds a lone surrogate.
    """
    text = json.dumps(body, ensure_ascii=False, indent=indent, allow_nan=False)
    for ender in "\u0085\u2028\u2029":  # legal in JSON, but some readers of lines cut here
        text = text.replace(ender, f"\\u{ord(ender):04x}")
    try:
        text.encode()
    except UnicodeEncodeError:
        return json.dumps(body, indent=indent, allow_nan=False)
    return text


def format_table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Give an aligned table as plain text; wide characters count as two.

    Args:
        header: names of the columns.
        rows: cells; floats are shown with four digits, None as `-`.
    """
    cells = [list(header), *([_cell(value) for value in row] for row in rows)]
    widths = [max(cell_len(row[at]) for row in cells) for at in range(len(header))]
    lines = [
        "  ".join(cell + " " * (widths[at] - cell_len(cell)) for at, cell in enumerate(row))
        for row in cells
    ]
    return "\n".join(line.rstrip() for line in lines)


def _cell(value: object) -> str:
    if value is None:
        return "-"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


class RichProgress:
    """Bars with the time left on a terminal; plain lines elsewhere, one a minute for long tasks.

    Args:
        console: where to draw; stderr when absent.
        clock: measures how long a task takes.
    """

    def __init__(self, console: Console | None = None, *, clock: Clock | None = None) -> None:
        self._clock = clock or SystemClock()
        self._console = console or Console(stderr=True, highlight=False)
        self._bars: RichBars | None = None
        self._open = 0

    @contextmanager
    def task(self, label: str, total: int) -> Iterator[Callable[[int], None]]:
        """Open a bar of `total` steps; the value given advances it by so many steps."""
        if not self._console.is_terminal:
            self.note(f"{label} …")
            yield self._make_lines(label, total)
            return
        bars = self._start()
        task = bars.add_task(label, total=total)
        try:
            yield lambda steps: bars.advance(task, steps)
        finally:
            bars.remove_task(task)
            self._stop()

    def note(self, text: str) -> None:
        """Tell one line that outlives the bars."""
        self._console.print(text, markup=False, soft_wrap=True)

    def _make_lines(self, label: str, total: int) -> Callable[[int], None]:
        """Give what tells, now and then, how far a task is."""
        started = told = self._clock.monotonic()
        done = 0

        def advance(steps: int) -> None:
            nonlocal done, told
            done += steps
            now = self._clock.monotonic()
            if now - told >= _LINE_EVERY_S and 0 < done < total:
                told = now
                minutes = (now - started) / done * (total - done) / 60
                self.note(f"{label}: {done} of {total}, about {minutes:.0f} min left")

        return advance

    def _start(self) -> RichBars:
        if self._bars is None:
            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
            )
            self._bars = RichBars(*columns, console=self._console, transient=True)
            self._bars.start()
        self._open += 1
        return self._bars

    def _stop(self) -> None:
        self._open -= 1
        if self._open == 0 and self._bars is not None:
            self._bars.stop()
            self._bars = None


def say_error(text: str) -> None:
    """Print one message on stderr, whatever the stream's encoding can hold."""
    print(f"thinfer: {text}", file=sys.stderr)
