"""`LatencyTable`: what each width of a layer costs on this machine, in the engine that will run.

The last layer reads the first token only, so it has its own column:

    seconds(model) = base + (layers - 1) · layer
                     + Σ heads[h] + Σ neurons[n]      (all layers but the last)
                     + last_heads[h] + last_neurons[n]

Widths between two measured ones are interpolated. Smaller heads save what was measured for a
smaller query-key size and for a smaller value size, each alone: both shrink the same products, by
columns that do not overlap.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from thinfer.architecture import Architecture, LayerShape
from thinfer.compress.costs import BlockCosts
from thinfer.compress.headsize import HeadOption
from thinfer.compress.ladder import Ladders
from thinfer.core.codec import from_json, to_json
from thinfer.core.files import write_atomic
from thinfer.engine.base import Precision
from thinfer.errors import DataError, UserError

__all__ = ["BlockTimes", "LatencyTable", "SizeTimes", "load_table", "save_table"]


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeTimes:
    """Seconds of an attention block with smaller heads, less an empty one, by number of heads.

    Attributes:
        qk: with this query-key size, at the table's `sized_widths`.
        values: with this value size.
        last_qk: the same of the last layer's block.
        last_values: likewise.
    """

    qk: tuple[float, ...]
    values: tuple[float, ...]
    last_qk: tuple[float, ...]
    last_values: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockTimes:
    """Seconds of one workload, by width.

    Attributes:
        base: of a model of one layer whose blocks are empty.
        layer: of one more such layer.
        heads: of an attention block, less an empty one, at the table's `head_widths`.
        neurons: of an FFN block, likewise, at its `neuron_widths`.
        last_heads: of the last layer's attention block.
        last_neurons: of the last layer's FFN block.
        sized: of attention blocks with smaller heads, at the table's `head_sizes`.
    """

    base: float
    layer: float
    heads: tuple[float, ...]
    neurons: tuple[float, ...]
    last_heads: tuple[float, ...]
    last_neurons: tuple[float, ...]
    sized: tuple[SizeTimes, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyTable:
    """What widths cost in one engine and precision on one machine.

    Attributes:
        engine: name of the engine.
        precision: of its matrix products.
        threads: threads of one call.
        hidden: hidden size.
        head_size: query, key and value size of a head.
        head_widths: measured numbers of heads, from 0 to all.
        neuron_widths: measured intermediate sizes, from 0 to all.
        lengths: tokens of the texts of each workload.
        workloads: `short`, `typical`, `long` (one text) and `batch` (32 texts as they arrive).
        aims: speed-up asked for → the one that the table had to promise for the engine to reach
            it; with them the same table gives the same widths, whatever the clock says that day.
        head_sizes: smaller sizes of a head that were measured, rising; none where they were not.
        sized_widths: numbers of heads that they were measured with, from 0 to all.
        shared: workloads of one text again, taken by all threads together inside its products,
            where an engine does so with large models and not with small ones.
        shared_from: multiply-accumulates of one text's products from which it does.
    """

    KIND: ClassVar[str] = "thinfer.latency-table"
    VERSION: ClassVar[int] = 1

    engine: str
    precision: Precision
    threads: int
    hidden: int
    head_size: int
    head_widths: tuple[int, ...]
    neuron_widths: tuple[int, ...]
    lengths: Mapping[str, tuple[int, ...]]
    workloads: Mapping[str, BlockTimes]
    aims: Mapping[str, float] = field(default_factory=dict)
    head_sizes: tuple[int, ...] = ()
    sized_widths: tuple[int, ...] = ()
    shared: Mapping[str, BlockTimes] = field(default_factory=dict)
    shared_from: int = 0

    def predict(self, architecture: Architecture, workload: str) -> float:
        """Give the seconds that a model should take, with what was done before each call.

        Args:
            architecture: at least one layer; no wider than what was measured.
            workload: one of `workloads`.
        """
        times, layers = self._choose_times(architecture, workload), architecture.layers
        total = times.base + (len(layers) - 1) * times.layer
        for index, layer in enumerate(layers):
            is_last = index + 1 == len(layers)
            total += float(self._heads(times, [layer.heads], layer, is_last=is_last)[0])
            total += float(self._neurons(times, [layer.ffn], is_last=is_last)[0])
        return total

    def _choose_times(self, architecture: Architecture, workload: str) -> BlockTimes:
        shared = self.shared.get(workload)
        if shared is None:
            return self.workloads[workload]
        columns = sum(
            2 * layer.heads * (layer.qk_size + layer.value_size) + 2 * layer.ffn
            for layer in architecture.layers
        )
        work = sum(self.lengths[workload]) * architecture.hidden * columns
        return shared if work >= self.shared_from else self.workloads[workload]

    def covers(self, architecture: Architecture) -> bool:
        """Say whether a model is made of what was measured: a student may have other sizes.

        Args:
            architecture: any model.
        """
        return architecture.hidden == self.hidden and all(
            layer.value_size == self.head_size
            and layer.heads <= self.head_widths[-1]
            and layer.ffn <= self.neuron_widths[-1]
            for layer in architecture.layers
        )

    def costs(self, ladders: Ladders, workload: str) -> BlockCosts:
        """Give the price of every option of every ladder, in seconds.

        Args:
            ladders: of a model that the table fits.
            workload: one of `workloads`.

        Raises:
            UserError: the ladders offer heads smaller than any that were measured.
        """
        asked = {
            size
            for sized in ladders.sized
            for option in sized.options
            for size in (option.qk_size, option.value_size)
        }
        self.check_sizes(tuple(asked - {self.head_size}))
        times, last = self.workloads[workload], len(ladders.heads) - 1
        layers = ladders.architecture.layers
        return BlockCosts(
            heads=tuple(
                self._heads(times, ladder.widths, layers[index], is_last=index == last)
                for index, ladder in enumerate(ladders.heads)
            ),
            neurons=tuple(
                self._neurons(times, ladder.widths, is_last=index == last)
                for index, ladder in enumerate(ladders.neurons)
            ),
            sized=tuple(
                np.array(
                    [
                        self._heads(times, [option.heads], option, is_last=index == last)[0]
                        for option in sized.options
                    ],
                    dtype=np.float64,
                )
                for index, sized in enumerate(ladders.sized)
            ),
        )

    def check_fits(self, architecture: Architecture, *, threads: int) -> None:
        """Check that a model can be priced with this table.

        Args:
            architecture: the dense model.
            threads: threads of one call.

        Raises:
            UserError: the table was measured for another shape or number of threads.
        """
        widest = architecture.layers[0]
        expected = _signature(architecture, threads)
        got = (
            f"hidden {self.hidden}, {self.head_widths[-1]} heads of {self.head_size}, "
            f"intermediate {self.neuron_widths[-1]}, {self.threads} threads"
        )
        uniform = all(layer == widest for layer in architecture.layers)
        if not uniform or expected != got:
            what = "the latency table was measured for another model or number of threads"
            raise UserError(what, expected=expected, got=got, do="measure it anew")

    def check_sizes(self, sizes: Sequence[int]) -> None:
        """Check that smaller heads can be priced.

        Args:
            sizes: of heads; those between two measured ones are interpolated.

        Raises:
            UserError: a size lies below all measured ones, or none was measured.
        """
        least = min(self.head_sizes, default=self.head_size)
        if sizes and min(sizes) < least:
            what = "the latency table has no prices of heads so small"
            expected = f"measured head sizes down to {min(sizes)}"
            raise UserError(what, expected=expected, got=str(self.head_sizes), do="measure it anew")

    def _heads(
        self,
        times: BlockTimes,
        widths: Sequence[int] | NDArray[np.int64],
        sizes: LayerShape | HeadOption,
        *,
        is_last: bool,
    ) -> NDArray[np.float64]:
        whole = times.last_heads if is_last else times.heads
        price = np.interp(widths, self.head_widths, whole)
        if not times.sized:
            return price
        qk = [each.last_qk if is_last else each.qk for each in times.sized]
        values = [each.last_values if is_last else each.values for each in times.sized]
        full = np.interp(self.sized_widths, self.head_widths, whole)
        saved = self._saved(full, qk, sizes.qk_size) + self._saved(full, values, sizes.value_size)
        return np.maximum(0.0, price - np.interp(widths, self.sized_widths, saved))

    def _saved(
        self, full: NDArray[np.float64], measured: Sequence[Sequence[float]], size: int
    ) -> NDArray[np.float64]:
        """Give what a smaller size saves at each of `sized_widths`."""
        sizes = [*self.head_sizes, self.head_size]
        saved = np.array([*(full - np.array(each) for each in measured), 0.0 * full])
        # A table's noise must not make a smaller size the dearer one.
        saved = np.maximum.accumulate(np.maximum(saved, 0.0)[::-1])[::-1]
        return np.array([np.interp(size, sizes, column) for column in saved.T])

    def _neurons(
        self, times: BlockTimes, widths: Sequence[int] | NDArray[np.int64], *, is_last: bool
    ) -> NDArray[np.float64]:
        known = times.last_neurons if is_last else times.neurons
        return np.interp(widths, self.neuron_widths, known)


def load_table(path: Path) -> LatencyTable:
    """Read a table.

    Args:
        path: a JSON file that `save_table` wrote.

    Raises:
        DataError: it cannot be read, or is something else.
    """
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        what = f"the latency table '{path}' cannot be read"
        raise DataError(what, expected="JSON written by --latency-table", got=str(error)) from error
    return from_json(LatencyTable, stored)


def save_table(table: LatencyTable, path: Path) -> None:
    """Write a table as JSON.

    Args:
        table: what to write.
        path: the file; its folder exists.
    """
    write_atomic(path, json.dumps(to_json(table), indent=2))


def _signature(architecture: Architecture, threads: int) -> str:
    layer = architecture.layers[0]
    return (
        f"hidden {architecture.hidden}, {layer.heads} heads of {layer.value_size}, "
        f"intermediate {layer.ffn}, {threads} threads"
    )
