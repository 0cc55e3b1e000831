import numpy as np

from tests.support.tiny_shapes import draw_batch, make_shape
from thinfer.nn.predict import compute_logits, plan_batches
from thinfer.nn.presets import draw_encoder


def test_batches_hold_every_row_within_the_budget() -> None:
    lengths = np.array([3, 50, 1, 7, 7, 2, 9])
    batches = plan_batches(lengths, 20)
    assert sorted(np.concatenate(batches).tolist()) == list(range(7))
    assert batches[0].tolist() == [1]  # longer than the budget: alone
    for rows in batches[1:]:
        assert int(lengths[rows].max()) * len(rows) <= 20


def test_rows_come_back_in_order_whatever_the_batches() -> None:
    model = draw_encoder(make_shape((3, 8)), np.random.default_rng(0))
    batch = draw_batch([5, 1, 16, 2, 9])
    together = compute_logits(model, batch, pad_id=0)
    alone = [compute_logits(model, batch.select([row]), pad_id=0)[0] for row in range(5)]
    np.testing.assert_allclose(together, alone, atol=1e-6)
    np.testing.assert_allclose(
        compute_logits(model, batch, pad_id=0, batch_tokens=1), together, atol=1e-6
    )
    assert together.dtype == np.float32


def test_no_rows_give_no_logits_and_the_mode_stays() -> None:
    model = draw_encoder(make_shape((3, 8)), np.random.default_rng(0)).train()
    assert compute_logits(model, draw_batch([]), pad_id=0).shape == (0, 3)
    assert model.training
