"""What is kept, for how long, and under which key."""

from __future__ import annotations

from thinfer.serve.rowstore import RowStore, make_keys
from thinfer.text.batch import Batch


def test_the_store_drops_what_was_not_asked_for_longest() -> None:
    store = RowStore(max_rows=2, max_bytes=10**6)
    store.put(b"a", b"1")
    store.put(b"b", b"2")
    assert store.get(b"a") == b"1"
    store.put(b"c", b"3")
    assert (store.get(b"a"), store.get(b"b"), store.get(b"c")) == (b"1", None, b"3")
    store.put(b"c", b"33")
    assert (store.get(b"c"), len(store)) == (b"33", 2)


def test_the_store_is_bounded_by_bytes_and_counts_them_back() -> None:
    store = RowStore(max_rows=100, max_bytes=1000)
    for number in range(50):
        store.put(bytes([number]) * 32, b"x" * 40)
        assert store.size_bytes <= 1000
    assert len(store) == 3
    one = RowStore(max_rows=1, max_bytes=10**6)
    one.put(b"a" * 32, b"x" * 8)
    size = one.size_bytes
    one.put(b"b" * 32, b"x" * 8)
    one.put(b"b" * 32, b"x" * 8)
    assert (len(one), one.size_bytes) == (1, size)
    tiny = RowStore(max_rows=10, max_bytes=10)
    tiny.put(b"a", b"1")
    assert (len(tiny), tiny.size_bytes) == (0, 0)


def test_a_key_tells_source_ids_types_and_their_borders_apart() -> None:
    rows = [[1, 2], [2, 1], [1], [1, 2, 0], [1, 0], [0, 1]]
    plain = make_keys(1, Batch.from_sequences(rows))
    typed = make_keys(1, Batch.from_sequences(rows, [[1] * len(row) for row in rows]))
    other = make_keys(2, Batch.from_sequences(rows))
    assert len({*plain, *typed, *other}) == 3 * len(rows)
    assert {len(key) for key in plain} == {32}
    alone = make_keys(1, Batch.from_sequences([rows[3]]))
    assert alone == [plain[3]]  # whatever stands beside it
    # Ids and types of one text must not read as the longer ids of another.
    assert make_keys(1, Batch.from_sequences([[1, 2]], [[0, 0]])) != make_keys(
        1, Batch.from_sequences([[1, 2, 0, 0]])
    )
    assert make_keys(1, Batch.from_sequences([])) == []
