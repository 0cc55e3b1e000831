import numpy as np
import pytest

from tests.support.toy_models import logits_of, toy_architecture, toy_batch, toy_state
from thinfer.compress.costs import count_costs
from thinfer.compress.prune import PruneSettings, build_ladders
from thinfer.pipeline.sketch import Sketcher


def sketcher() -> tuple[Sketcher, float]:
    state, batch = toy_state(toy_architecture(((4, 32),) * 3)), toy_batch(40)
    ladders = build_ladders(
        state, batch, rng=np.random.default_rng(0), settings=PruneSettings(keep_moments=True)
    )
    costs = count_costs(ladders, length=10)
    full = sum(float(each[-1]) for each in (*costs.heads, *costs.neurons))
    rng = np.random.default_rng(0)
    made = Sketcher(state=state, ladders=ladders, costs=costs, calibration=batch, rng=rng)
    return made, full


def test_the_whole_budget_gives_the_dense_model() -> None:
    made, full = sketcher()
    small = made.sketch(full, ())
    assert small.architecture == made.state.architecture
    batch = toy_batch(6, seed=5)
    np.testing.assert_allclose(logits_of(small, batch), logits_of(made.state, batch), atol=1e-5)


@pytest.mark.parametrize("dropped", [(), (1,), (0, 2)])
def test_a_sketch_keeps_the_budget_and_leaves_layers_out(dropped: tuple[int, ...]) -> None:
    made, full = sketcher()
    small = made.sketch(0.5 * full, dropped)
    shape = small.architecture
    assert len(shape.layers) == 3 - len(dropped)
    costs = [layer.heads * 4 * 16 * 4 + layer.ffn * 2 * 16 for layer in shape.layers]
    whole = 3 * (4 * 4 * 16 * 4 + 32 * 2 * 16)
    assert sum(costs) < 0.75 * whole
    assert np.isfinite(logits_of(small, toy_batch(6)).numpy()).all()


def test_without_a_layer_the_others_are_whole_where_the_budget_allows() -> None:
    made, full = sketcher()
    small = made.sketch(full, (1,))
    assert small.architecture.layers == made.state.architecture.layers[:2]
    np.testing.assert_array_equal(
        small.weights["layers.1.ffn.up.weight"], made.state.weights["layers.2.ffn.up.weight"]
    )
