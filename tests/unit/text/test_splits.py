from __future__ import annotations

from thinfer.text import Corpus
from thinfer.text.splits import find_leaks, without


def test_texts_that_differ_in_width_space_or_case_are_alike() -> None:
    train = Corpus(texts=("Free １２３", "好 天气", "x"), labels=("spam", "ok", "ok"))
    test = Corpus(
        texts=("ｆｒｅｅ123", "new", "好天气\u3000", "X"), labels=("ok", "ok", "ok", "ok")
    )
    report = find_leaks(train, test)
    assert (report.rows, report.conflicting) == ((0, 2, 3), 1)
    rest = without(test, report.rows)
    assert (rest.texts, rest.labels, rest.rows) == (("new",), ("ok",), (1,))
    assert rest.digest != test.digest
    assert find_leaks(train, rest).rows == ()


def test_a_label_given_once_in_the_reference_is_no_conflict() -> None:
    train = Corpus(texts=("a", "a"), labels=("0", "1"))
    assert find_leaks(train, Corpus(texts=("a",), labels=("0",))).conflicting == 0


def test_a_pair_belongs_to_its_text() -> None:
    train = Corpus(texts=("a",), pairs=("b",))
    assert find_leaks(train, Corpus(texts=("a", "A"), pairs=("c", "B"))).rows == (1,)


def test_corpora_without_labels_have_no_conflicts() -> None:
    report = find_leaks(Corpus(texts=("a",)), Corpus(texts=("a",), labels=("1",)))
    assert (report.rows, report.conflicting) == ((0,), 0)


def test_nothing_left_is_an_empty_corpus() -> None:
    assert len(without(Corpus(texts=("a", "b")), [0, 1])) == 0
