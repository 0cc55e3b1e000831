from typing import Any

from tests.support.small_task import small_run
from thinfer.pipeline.card import write_card


def test_the_card_says_what_was_promised_and_measured() -> None:
    result = small_run().result
    card = write_card(result)
    assert f"**{result['verdict']}**" in card
    assert all(floor["expr"] in card for floor in result["floors"])
    assert result["chosen"]["name"] in card
    assert "Best so far" not in card
    # Every row of a table has as many cells as its header.
    lines = card.splitlines()
    tables = [line.count("|") for line in lines if line.startswith("|")]
    floors = len(result["floors"]) + 2
    assert set(tables[:floors]) == {5}
    assert set(tables[floors:]) == {4}


def test_what_is_only_the_best_so_far_says_so() -> None:
    result: dict[str, Any] = {**small_run().result, "is_best_so_far": True}
    assert "**Best so far**" in write_card(result).splitlines()[2]
