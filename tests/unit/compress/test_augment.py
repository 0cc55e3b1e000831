"""Altered copies keep shape, specials and seed; a token becomes a neighbour of its own."""

import dataclasses

import numpy as np
import pytest

from tests.support.toy_models import toy_state, toy_task
from thinfer.compress.augment import AugmentSettings, substitute_tokens
from thinfer.errors import UserError
from thinfer.text.batch import Batch

STATE = toy_state()
BATCH, _ = toy_task(40, seed=2)
SPECIALS = {STATE.tokenizer.id(token) for token in STATE.tokenizer.special_tokens.values()}


def altered(**settings: float) -> Batch:
    return substitute_tokens(BATCH, STATE, AugmentSettings(**{"copies": 1, **settings}))  # type: ignore[arg-type]  # fields of the settings


@pytest.mark.parametrize("copies", [0, 1, 3])
def test_copies_have_the_lengths_of_the_texts(copies: int) -> None:
    more = altered(copies=copies)
    assert more.lengths.tolist() == BATCH.lengths.tolist() * copies
    assert more.type_ids.tolist() == BATCH.type_ids.tolist() * copies


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_so_many_tokens_change_and_no_special_one(share: float) -> None:
    more = altered(share=share)
    special = np.isin(BATCH.ids, sorted(SPECIALS))
    np.testing.assert_array_equal(more.ids[special], BATCH.ids[special])
    assert not set(more.ids[~special].tolist()) & SPECIALS
    changed = float((more.ids != BATCH.ids)[~special].mean())
    assert changed == pytest.approx(share, abs=0.08)


def test_a_token_becomes_its_nearest_neighbour_among_those_in_use() -> None:
    used = [10, 11, 12, 13]
    batch = Batch.from_sequences([[2, *used, 3]])
    rows = STATE.weights["embeddings.word.weight"].copy()
    rows[used] = 0.0
    rows[used, [0, 0, 1, 1]] = 1.0
    rows[used, 2] = [0.0, 0.1, 0.0, 0.1]
    rows[14] = rows[10]  # nearer still, but no text has it
    weights = {**STATE.weights, "embeddings.word.weight": rows}
    state = dataclasses.replace(STATE, weights=weights)
    settings = AugmentSettings(copies=1, share=1.0, neighbours=1)
    assert substitute_tokens(batch, state, settings).ids.tolist() == [2, 11, 10, 13, 12, 3]


def test_a_seed_decides_and_copies_differ() -> None:
    np.testing.assert_array_equal(altered(seed=4, share=0.5).ids, altered(seed=4, share=0.5).ids)
    assert (altered(seed=4, share=0.5).ids != altered(seed=5, share=0.5).ids).any()
    first, second = np.split(altered(copies=2, share=0.5).ids, 2)
    assert (first != second).any()


@pytest.mark.parametrize("ids", [[2, 3], [2, 10, 10, 3]])
def test_a_text_without_a_choice_stays(ids: list[int]) -> None:
    more = substitute_tokens(
        Batch.from_sequences([ids]), STATE, AugmentSettings(copies=2, share=1.0)
    )
    assert more.ids.tolist() == ids * 2


@pytest.mark.parametrize(
    "setting", [{"copies": -1}, {"share": 1.5}, {"neighbours": 0}, {"seed": -1}]
)
def test_impossible_settings_are_refused(setting: dict[str, float]) -> None:
    with pytest.raises(UserError, match="settings of augmentation"):
        altered(**setting)
