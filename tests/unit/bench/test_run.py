"""A comparison on the fake engine: which rows there are, and what they are compared with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.bundles import make_fake_bundle
from thinfer.bench.contender import Contender, open_bundle_contenders
from thinfer.bench.run import BenchRequest, bench
from thinfer.bundle import LAYOUT, Bundle, EngineEntry, GoldenSet, update_manifest
from thinfer.core.clock import SystemClock
from thinfer.core.progress import SilentProgress
from thinfer.errors import DataError, EngineError, UserError

QUICK = {"lengths": ("2x8",), "rounds": 2, "threads": 1}


class Peers:
    """Opens peers that do nothing, and remembers what became of them."""

    def __init__(self, refused: tuple[str, ...] = ()) -> None:
        self.refused = refused
        self.opened: list[str] = []
        self.closed: list[str] = []
        self.seen: list[tuple[str, ...]] = []

    def __call__(self, wish: str, *, bundle: Bundle, folder: Path, threads: int) -> Contender:
        if wish in self.refused:
            what = "widths differ"
            raise DataError(what)
        if any(folder.iterdir()):
            raise AssertionError(folder)
        self.opened.append(wish)
        return Contender(
            name=wish,
            engine=wish,
            precision="fp32",
            threads=threads,
            run=lambda texts: self.seen.append(tuple(texts)),
            close=lambda: self.closed.append(wish),
        )


def run(bundle: Bundle, peers: Peers | None, **change: object) -> dict[str, object]:
    request = BenchRequest(bundle=bundle.path, **{**QUICK, **change})  # type: ignore[arg-type]  # one value a case
    return bench(request, open_peer=peers, progress=SilentProgress(), clock=SystemClock())


def names(result: dict[str, object]) -> list[str]:
    rows = result["rows"]
    if not isinstance(rows, list):
        raise TypeError
    return [row["name"] for row in rows]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return make_fake_bundle(tmp_path / "bundle")


def test_every_row_carries_what_the_json_promises(bundle: Bundle) -> None:
    result = run(bundle, Peers())
    rows = result["rows"]
    promised = {"name", "engine", "precision", "threads", "workload", "ms_median", "ms_p95"}
    promised |= {"texts_per_second", "ratio", "ratio_interval"}
    assert isinstance(rows, list)
    assert all(promised <= set(row) for row in rows)
    assert {"machine", "rows", "baseline"} <= set(result)


def test_transformers_is_the_baseline_where_it_can_run_the_weights(bundle: Bundle) -> None:
    peers = Peers()
    result = run(bundle, peers)
    assert names(result) == ["bundle:fake", "transformers"]
    assert result["baseline"] == "transformers"
    assert peers.closed == ["transformers"]
    assert all(len(texts) == 2 for texts in peers.seen)


def test_else_the_own_weights_in_onnx_runtime_are_and_it_says_so(bundle: Bundle) -> None:
    result = run(bundle, Peers(refused=("transformers",)))
    assert result["baseline"] == "onnxruntime"
    assert "widths differ" in str(result["baseline_reason"])


def test_the_first_peer_asked_for_is_the_baseline(bundle: Bundle) -> None:
    result = run(bundle, Peers(), against=("onnxruntime:a", "transformers:b"))
    assert names(result) == ["bundle:fake", "onnxruntime:a", "transformers:b"]
    assert result["baseline"] == "onnxruntime:a"


def test_a_peer_that_cannot_be_opened_ends_the_run_and_closes_the_others(bundle: Bundle) -> None:
    peers = Peers(refused=("transformers:b",))
    with pytest.raises(DataError, match="widths"):
        run(bundle, peers, against=("onnxruntime:a", "transformers:b"))
    assert peers.closed == ["onnxruntime:a"]


def test_without_the_libraries_an_engine_of_the_bundle_is_the_baseline(bundle: Bundle) -> None:
    result = run(bundle, None)
    assert result["baseline"] == "bundle:fake"
    with pytest.raises(EngineError, match="not installed"):
        run(bundle, None, against=("transformers",))


def test_usual_shapes_are_no_longer_than_the_model(bundle: Bundle) -> None:
    rows = run(bundle, None, lengths=())["rows"]
    assert isinstance(rows, list)
    assert [row["workload"] for row in rows] == ["1x24", "8x24", "16x24"]


def test_a_corpus_is_run_to_its_end_in_batches(bundle: Bundle, tmp_path: Path) -> None:
    corpus = tmp_path / "texts.csv"
    corpus.write_text("body\n" + "".join(f"text {row}\n" for row in range(70)))
    peers = Peers()
    lengths = (f"corpus:{corpus}",)
    rows = run(bundle, peers, lengths=lengths, rounds=1, text_column="body")["rows"]
    assert isinstance(rows, list)
    assert rows[0]["workload"] == "corpus:texts.csv"
    seen = peers.seen[1:4]  # after the warm-up
    assert sorted(len(texts) for texts in seen) == [6, 32, 32]


def test_engines_that_are_missing_or_stray_are_named(bundle: Bundle) -> None:
    other = EngineEntry(name="openvino", precision="fp32", files=(LAYOUT.weights,))
    strange = EngineEntry(name="abacus", precision="fp32", files=(LAYOUT.weights,))
    engines = (*bundle.manifest.engines, other, strange)
    more = update_manifest(bundle, replace(bundle.manifest, engines=engines))
    contenders, skipped = open_bundle_contenders(more, threads=1)
    for contender in contenders:
        contender.close()
    assert [item.name for item in contenders] == ["bundle:fake"]
    assert {item.name for item in skipped} == {"bundle:openvino", "bundle:abacus"}


def test_a_bundle_without_a_working_engine_is_refused(bundle: Bundle) -> None:
    batch, logits = bundle.golden()
    golden = GoldenSet(batch=batch, logits=logits + 1).encode()
    update_manifest(bundle, bundle.manifest, files={LAYOUT.golden: golden})
    with pytest.raises(EngineError, match="no engine of the bundle"):
        run(bundle, None)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"rounds": 0}, "make no sense"),
        ({"threads": 0}, "make no sense"),
        ({"against": ("onnxruntime", "onnxruntime")}, "named twice"),
        ({"lengths": ("8by8",)}, "8by8"),
        ({"lengths": ("1x900",)}, "900 tokens"),
    ],
)
def test_a_request_without_sense_is_refused(
    bundle: Bundle, change: dict[str, object], match: str
) -> None:
    with pytest.raises(UserError, match=match):
        run(bundle, None, **change)
