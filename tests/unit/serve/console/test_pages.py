"""The console's files: complete, from this origin alone, and with headers that keep it so."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest

from tests.support.serving import Harness, serving
from thinfer.serve import console
from thinfer.serve.console.pages import ASSETS, PAGE, POLICY

FOLDER = Path(str(files(console)))
SCRIPTS = sorted(FOLDER.glob("*.js"))
PATHS = ["/", *(f"/console/{name}" for name in ASSETS)]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harness]:
    with serving(tmp_path_factory.mktemp("console")) as harness:
        yield harness


@pytest.mark.parametrize("path", PATHS)
def test_each_file_is_served_with_its_type_and_the_policy(shared: Harness, path: str) -> None:
    answer = shared.client.get(path)
    assert answer.status_code == 200
    name = path.rpartition("/")[2] or PAGE
    assert answer.content == (FOLDER / name).read_bytes()
    kind = {"html": "text/html", "css": "text/css", "js": "text/javascript"}
    assert answer.headers["content-type"] == f"{kind[name.rpartition('.')[2]]}; charset=utf-8"
    assert answer.headers["content-security-policy"] == POLICY
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["x-frame-options"] == "DENY"
    assert answer.headers["x-thinfer-version"] == shared.classifier.version


def test_the_policy_allows_no_inline_code_no_frame_and_no_other_origin() -> None:
    rules = dict(rule.split(" ", 1) for rule in POLICY.split("; "))
    assert rules["default-src"] == rules["frame-ancestors"] == rules["base-uri"] == "'none'"
    assert rules["script-src"] == rules["style-src"] == rules["connect-src"] == "'self'"
    assert "unsafe" not in POLICY
    assert "*" not in POLICY


def test_every_file_of_the_folder_is_served_and_nothing_else_is(shared: Harness) -> None:
    found = {path.name for path in FOLDER.iterdir() if path.suffix in {".html", ".css", ".js"}}
    assert found == {PAGE, *ASSETS}
    for path in ("/console/", "/console/pages.py", "/console/../app.py", f"/console/{PAGE}"):
        assert shared.client.get(path).status_code == 404, path


def test_what_the_page_and_its_scripts_name_is_served() -> None:
    page = (FOLDER / PAGE).read_text(encoding="utf-8")
    named = set(re.findall(r'(?:src|href)="([^"]+)"', page)) - {"data:,"}
    assert named == {"console/console.css", "console/console.js"}
    for script in SCRIPTS:
        imported = re.findall(r"from '\./([^']+)'", script.read_text(encoding="utf-8"))
        assert set(imported) <= set(ASSETS), script.name
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    asked = {
        name
        for script in SCRIPTS
        for name in re.findall(r"\bfind\('([^']+)'\)", script.read_text(encoding="utf-8"))
    }
    assert asked <= set(ids)


def test_nothing_is_inline_nothing_is_loaded_from_elsewhere_and_text_stays_text() -> None:
    page = (FOLDER / PAGE).read_text(encoding="utf-8")
    assert not re.search(r"<style|<script(?![^>]*\bsrc=)|\bstyle=|\son[a-z]+=|javascript:", page)
    unsafe = (
        r"innerHTML|outerHTML|insertAdjacent|document\.write|\beval\b|new Function"
        r"|Storage\b|\.cookie"
    )
    for path in (FOLDER / PAGE, FOLDER / "console.css", *SCRIPTS):
        text = path.read_text(encoding="utf-8")
        assert not re.search(unsafe, text), path.name
        addresses = set(re.findall(r"\w+://[^\s'\"]+", text))
        assert addresses <= {"http://www.w3.org/2000/svg"}, path.name  # a name, never loaded


def test_the_page_is_no_part_of_the_described_api_and_is_counted(shared: Harness) -> None:
    before = shared.samples().get('thinfer_requests_total{outcome="ok",route="/"}', 0)
    shared.client.get("/")
    assert shared.samples()['thinfer_requests_total{outcome="ok",route="/"}'] == before + 1
    paths = shared.client.get("/openapi.json").json()["paths"]
    assert not [path for path in paths if path == "/" or path.startswith("/console")]


def test_the_charts_count_the_routes_that_classify_and_no_others(shared: Harness) -> None:
    script = (FOLDER / "live.js").read_text(encoding="utf-8")
    (pattern,) = re.findall(r"const TRAFFIC = /(.+)/;", script)
    paths = shared.client.get("/openapi.json").json()["paths"]
    work = {path for path, ways in paths.items() if "post" in ways and "/admin/" not in path}
    assert {path for path in [*paths, *PATHS, "other"] if re.search(pattern, path)} == work
    assert {"/check", "/predict"} < work


def test_it_can_be_left_out(tmp_path: Path) -> None:
    with serving(tmp_path, settings={"console": False}) as harness:
        assert {harness.client.get(path).status_code for path in PATHS} == {404}
        assert harness.client.get("/check", params={"content": "a"}).status_code == 200
