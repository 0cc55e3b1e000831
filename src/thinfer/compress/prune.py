"""The step the pipeline calls: build ladders once, then prune to each target and repair.

ladders = build_ladders(state, calibration, rng=rng)            # sensitivity, moments, surgeon
small, report = prune_to(state, ladders, calibration, PruneTarget(ratio=0.5))
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from thinfer.architecture import PruningMask
from thinfer.compress.calibrate import sample_rows
from thinfer.compress.costs import BlockCosts, count_costs
from thinfer.compress.headsize import HeadOption
from thinfer.compress.ladder import Ladders
from thinfer.compress.mutate import SearchSettings, search_options
from thinfer.compress.offers import Offer, list_offers
from thinfer.compress.rank import PruneSettings, build_ladders
from thinfer.compress.reference import Reference
from thinfer.compress.repair import Calibration, refit
from thinfer.compress.resize import cut_sized
from thinfer.compress.select import choose_widths
from thinfer.compress.state import State
from thinfer.compress.step import StepReport
from thinfer.compress.stitch import Stitcher
from thinfer.compress.surgery import cut
from thinfer.compress.walk import pack
from thinfer.compress.zeros import is_sparse
from thinfer.core.progress import Progress, SilentProgress
from thinfer.errors import DataError, UserError
from thinfer.text.batch import Batch

__all__ = ["PruneSettings", "PruneTarget", "Pruner", "SearchSettings", "build_ladders", "prune_to"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PruneTarget:
    """How small to prune; exactly one of `ratio`, `budget` and `widths`.

    Attributes:
        ratio: part of the encoder's cost that may stay, in (0, 1]; widths are chosen per layer.
        budget: most cost of the encoder, in the unit of the cost table.
        widths: `(heads, neurons)` to keep of every layer of the state, dropped ones included.
        drop_layers: layers to remove whole; a ratio counts them in the cost before.
        is_refitted: repair after cutting; False leaves the plain cut.
        refit_head: refit pooler and head as well.
    """

    ratio: float | None = None
    budget: float | None = None
    widths: tuple[tuple[int, int], ...] | None = None
    drop_layers: tuple[int, ...] = ()
    is_refitted: bool = True
    refit_head: bool = True

    def __post_init__(self) -> None:
        given = sum(value is not None for value in (self.ratio, self.budget, self.widths))
        if given != 1 or not (self.ratio is None or 0.0 < self.ratio <= 1.0):
            what = "the pruning target is not clear"
            expected = "exactly one of ratio (in 0 … 1), budget and widths"
            raise UserError(what, expected=expected, got=str(self))


class Pruner:
    """Prunes one state to several targets; what all of them need is worked out once.

    Args:
        state: the state that the ladders were built on.
        ladders: from `build_ladders`.
        calibration: the batch that the ladders were built on.
        costs: cost of each option; counted MACs at the calibration's mean length when absent.
        is_kept: keep what a target may take over from one before: the state's residual sums on
            the calibration text (see `Reference`) and the factors of its moments.

    Raises:
        DataError: state, ladders and calibration do not belong together.
    """

    def __init__(
        self,
        state: State,
        ladders: Ladders,
        calibration: Batch,
        *,
        costs: BlockCosts | None = None,
        is_kept: bool = True,
    ) -> None:
        if state.architecture != ladders.architecture:
            what = "the ladders were built on another architecture"
            raise DataError(what, expected=str(ladders.architecture), got=str(state.architecture))
        length = max(1, round(float(calibration.lengths.mean())))
        self._state, self._ladders, self._calibration = state, ladders, calibration
        self._costs = costs or count_costs(ladders, length=length)
        self._is_kept = is_kept
        self._stitcher: tuple[tuple[int, int], Stitcher] | None = None
        self._texts: tuple[Calibration, Reference] | None = None

    def prune(
        self,
        target: PruneTarget,
        *,
        search: SearchSettings | None = None,
        progress: Progress | None = None,
    ) -> tuple[State, StepReport]:
        """Prune to a target and repair what is left; see `prune_to`.

        Raises:
            UserError: the state is sparse, and the refit would fill its zeros.
        """
        state, ladders, progress = self._state, self._ladders, progress or SilentProgress()
        if target.is_refitted and is_sparse(state):
            what = "the refit after pruning would fill the zeros of a sparse model"
            raise UserError(what, expected="pruning before sparsification", do="change the order")
        judge = None
        if search is not None and target.widths is None and not target.drop_layers:
            judge = _Judge(stitcher=self._stitch(search), settings=search)
        mask, sizes, details = _choose(ladders, target, self._costs, judge, progress)
        sized = cut_sized(state, mask, ladders.sized, sizes) if sizes else None
        if target.is_refitted:
            texts, reference = self._recall()
            small = refit(
                state,
                mask,
                texts,
                progress=progress,
                refit_head=target.refit_head,
                student=sized,
                reference=reference,
            )
        else:
            small = sized or cut(state, mask)
        last = small.history[-1]
        reasons = [*ladders.degradations, *([last.reason] if last.reason else [])]
        report = StepReport(
            step="prune",
            outcome="degraded" if reasons else "applied",
            reason="; ".join(reasons),
            details={**details, **_list_sizes(small, ladders), **last.details},
        )
        return dataclasses.replace(small, history=(*state.history, report)), report

    def _stitch(self, search: SearchSettings) -> Stitcher:
        key = (search.seed, search.max_tokens)
        if self._stitcher is None or self._stitcher[0] != key:
            rng = np.random.default_rng(search.seed)
            rows = sample_rows(self._calibration, search.max_tokens, rng)
            packed = pack(self._calibration, rows)
            self._stitcher = (key, Stitcher(self._state, self._ladders, packed))
        stitcher = self._stitcher[1]
        stitcher.begin()
        return stitcher

    def _recall(self) -> tuple[Calibration, Reference]:
        if self._texts is None:
            texts = _recall(self._ladders, self._calibration)
            reference = Reference(self._state, texts.packed, is_kept=self._is_kept)
            self._texts = texts, reference
        return self._texts


def prune_to(
    state: State,
    ladders: Ladders,
    calibration: Batch,
    target: PruneTarget,
    *,
    costs: BlockCosts | None = None,
    search: SearchSettings | None = None,
    progress: Progress | None = None,
) -> tuple[State, StepReport]:
    """Prune to one target and repair what is left; for several targets see `Pruner`.

    Args:
        state: the state that the ladders were built on.
        ladders: from `build_ladders`.
        calibration: the batch that the ladders were built on.
        target: how small.
        costs: cost of each option; counted MACs at the calibration's mean length when absent.
        search: try choices of widths as stitched models; the ladders must hold moments. Absent,
            the least sum of losses is taken, as it is where widths or dropped layers are given.
        progress: told of the work done.

    Returns:
        The smaller state and its report: widths, predicted loss, cost ratio and refits; degraded
        where a factorisation needed help.

    Raises:
        DataError: state, ladders and calibration do not belong together.
        UserError: the state is sparse, and the refit would fill its zeros.
    """
    pruner = Pruner(state, ladders, calibration, costs=costs, is_kept=False)
    return pruner.prune(target, search=search, progress=progress)


def _list_sizes(small: State, ladders: Ladders) -> Mapping[str, object]:
    if not ladders.sized:
        return {}
    layers = small.architecture.layers
    return {"head_sizes": [[layer.qk_size, layer.value_size] for layer in layers]}


def _recall(ladders: Ladders, batch: Batch) -> Calibration:
    tokens, lengths = ladders.token_weights.shape[1], batch.lengths
    if len(lengths) <= ladders.rows.max() or lengths[ladders.rows].sum() != tokens:
        what = "the calibration batch is not the one the ladders were built on"
        raise DataError(what, expected=f"{tokens} tokens in {len(ladders.rows)} of its texts")
    weights = torch.from_numpy(ladders.token_weights)
    return Calibration(packed=pack(batch, ladders.rows), token_weights=weights)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Judge:
    stitcher: Stitcher
    settings: SearchSettings


def _choose(
    ladders: Ladders,
    target: PruneTarget,
    table: BlockCosts,
    judge: _Judge | None,
    progress: Progress,
) -> tuple[PruningMask, Mapping[int, HeadOption], Mapping[str, object]]:
    count = len(ladders.heads)
    if any(not 0 <= layer < count for layer in target.drop_layers):
        what = "a layer to drop does not exist"
        raise UserError(what, expected=f"0 … {count - 1}", got=str(target.drop_layers))
    stays = tuple(layer not in target.drop_layers for layer in range(count))
    sizes: dict[int, HeadOption] = {}
    details: dict[str, object] = {"drop_layers": list(target.drop_layers)}
    if target.widths is None:
        offers = list_offers(ladders, table)
        full = sum(offer.whole for offer in offers)
        budget = target.budget if target.budget is not None else full * (target.ratio or 1.0)
        kept = [index for index in range(2 * count) if stays[index // 2]]
        options, found = _solve(offers, kept, budget, judge, progress)
        details |= found
        details["cost_ratio"] = sum(float(offers[i].costs[o]) for i, o in options.items()) / full
        details["predicted_loss"] = sum(float(offers[i].errors[o]) for i, o in options.items())
        widths = [0] * len(offers)
        for index, option in options.items():
            widths[index] = int(offers[index].widths[option])
        sizes = _sizes_of(offers, options)
    else:
        if len(target.widths) != count:
            what = "the widths do not fit the model"
            raise UserError(what, expected=f"{count} pairs", got=str(target.widths))
        widths = [width for pair in target.widths for width in pair]
    masks = [ladder.keep(width) for ladder, width in zip(ladders.blocks, widths, strict=True)]
    mask = PruningMask(heads=tuple(masks[0::2]), neurons=tuple(masks[1::2]), layers=stays)
    return mask, sizes, details


def _solve(
    offers: Sequence[Offer],
    kept: Sequence[int],
    budget: float,
    judge: _Judge | None,
    progress: Progress,
) -> tuple[Mapping[int, int], Mapping[str, object]]:
    """Give the option of each block that is kept, and what a search found on the way."""
    errors, costs = [offers[i].errors for i in kept], [offers[i].costs for i in kept]
    if judge is None:
        return dict(zip(kept, choose_widths(errors, costs, budget), strict=True)), {}

    def loss(options: tuple[int, ...], *, is_rough: bool = False) -> float:
        chosen = dict(zip(kept, options, strict=True))
        widths = [int(offers[index].widths[option]) for index, option in chosen.items()]
        return judge.stitcher.judge(widths, _sizes_of(offers, chosen), is_rough=is_rough)

    found = search_options(
        errors,
        costs,
        budget,
        loss,
        settings=judge.settings,
        progress=progress,
        rough=functools.partial(loss, is_rough=True) if judge.stitcher.is_fast_roughly else None,
    )
    search = {"judged": found.judged, "loss": found.loss, "first_loss": found.first_loss}
    return dict(zip(kept, found.options, strict=True)), {"search": search}


def _sizes_of(offers: Sequence[Offer], options: Mapping[int, int]) -> dict[int, HeadOption]:
    """Give the smaller heads of a choice by layer; `options` is by block."""
    picked = ((index // 2, offers[index].sizes[option]) for index, option in options.items())
    return {layer: size for layer, size in picked if size is not None}
