"""Cut the embedding tables: token rows that the covered text never needs, and unused positions.

Law (tests/law/test_vocabulary_identical_logits.py): covered text gets the same logits, bit for bit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

from thinfer.compress.state import State
from thinfer.compress.step import StepReport
from thinfer.errors import DataError, UserError
from thinfer.text.tokenizer import Tokenizer
from thinfer.text.vocabulary import VocabularyPlan, plan_vocabulary, prune_tokenizer

__all__ = ["cut_vocabulary", "prune_positions", "prune_vocabulary"]

_WORD, _POSITION = "embeddings.word.weight", "embeddings.position.weight"


def prune_vocabulary(
    state: State, covering_texts: Iterable[str], *, keep_commonest: int = 0, min_count: int = 1
) -> tuple[State, StepReport]:
    """Cut token rows that neither the covering texts nor the kept characters need.

    Args:
        state: the state before.
        covering_texts: text whose tokens all stay.
        keep_commonest: so many of the first token ids stay as well.
        min_count: token rows that the covering texts use less often go; over 1 the cut is no
            longer exact (docs/why/19).

    Returns:
        The state with a smaller tokenizer and word embedding, and the report; refused, with the
        state unchanged, when the tokenizer's kind cannot be pruned exactly.
    """
    try:
        plan = plan_vocabulary(
            state.tokenizer, covering_texts, keep_commonest=keep_commonest, min_count=min_count
        )
        tokenizer = prune_tokenizer(state.tokenizer, plan)
    except DataError as error:
        report = StepReport(step="vocabulary", outcome="refused", reason=str(error))
        return state, report
    return cut_vocabulary(state, plan, tokenizer)


def cut_vocabulary(
    state: State, plan: VocabularyPlan, tokenizer: Tokenizer
) -> tuple[State, StepReport]:
    """Cut the token rows that a plan leaves out.

    Args:
        state: whose tokenizer the plan was made for.
        plan: which rows stay.
        tokenizer: what `prune_tokenizer` made of that plan.

    Returns:
        The smaller state, and the report.

    Raises:
        DataError: the plan was made for another vocabulary.
    """
    before = state.architecture.vocab
    if plan.total != state.tokenizer.vocab_size:
        what = "the plan belongs to another vocabulary"
        raise DataError(what, expected=f"{plan.total} tokens", got=f"{state.tokenizer.vocab_size}")
    rows = state.weights[_WORD][plan.keep]  # [kept, hidden]
    details = {"rows_before": before, "rows_after": len(rows), "rows_used": plan.used}
    report = StepReport(step="vocabulary", outcome="applied", details=details)
    return (
        state.replace(
            report,
            weights={**state.weights, _WORD: rows},
            architecture=dataclasses.replace(state.architecture, vocab=len(rows)),
            tokenizer=tokenizer,
        ),
        report,
    )


def prune_positions(state: State, max_length: int) -> tuple[State, StepReport]:
    """Cut the position rows above `max_length`; the rows of the position offset stay.

    Args:
        state: the state before.
        max_length: longest sequence in tokens, specials included, ≥ 3.

    Returns:
        The smaller state, and the report; refused when the model has no more rows than that.

    Raises:
        UserError: `max_length` leaves no room for text.
    """
    if max_length < 3:
        what = "the longest sequence leaves no room for text"
        raise UserError(what, expected="max_length ≥ 3", got=str(max_length))
    architecture = state.architecture
    if architecture.max_length <= max_length:
        reason = f"the model has {architecture.max_length} positions, {max_length} were asked for"
        return state, StepReport(step="positions", outcome="refused", reason=reason)
    rows = architecture.position_offset + max_length
    details = {"rows_before": architecture.positions, "rows_after": rows}
    report = StepReport(step="positions", outcome="applied", details=details)
    shorter = min(state.max_length, max_length)
    return (
        state.replace(
            report,
            weights={**state.weights, _POSITION: state.weights[_POSITION][:rows]},
            architecture=dataclasses.replace(architecture, positions=rows),
            tokenizer=state.tokenizer.with_max_length(shorter),
            max_length=shorter,
        ),
        report,
    )
