from typing import Any

from tests.support.sample_result import sample_result
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


def test_the_card_says_in_plain_words_what_is_proven_and_what_may_be_lost() -> None:
    card = write_card(small_run().result)
    for title in ("Promised", "Measured", "Risk of the choice"):
        assert card.count(f"**{title}.**") == 1
    assert "At least 80 % as many right answers as the original gives." in card
    assert "in 1,000 of what the original catches is lost" in card


def test_a_label_cannot_become_markdown_or_html() -> None:
    result = sample_result()
    result |= {"is_best_so_far": False, "threads": 2}
    result["floors"] = [
        {**result["floors"][2], "expr": "recall[<b>*x*|y]>=0.9", "label": "<b>*x*|y\n# z"}
    ]
    (line,) = (line for line in write_card(result).splitlines() if line.startswith("**Promised"))
    assert r"“\<b\>\*x\*\|y \# z” texts are found" in line
