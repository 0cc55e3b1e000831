"""The console's versions part in a real browser: keys, loading, switching, splitting, going back.

The service behind it is a small stand-in, which answers as the real routes are written down to.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response

from tests.support.chromium import CHROMIUM_ARGUMENTS, find_chromium
from thinfer.serve.console import build_console

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = find_chromium()
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed on this machine"),
]

ADMIN, SERVE = "the-admin-key", "the-serve-key"
OLD, NEW, THIRD = "aaaaaaaaaaaa", "bbbbbbbbbbbb", "cccccccccccc"
MARKUP = "<img src=x onerror='window.broken = 1'>"


@dataclass(slots=True)
class StandIn:
    """Versions, shares and events, and who asked for what."""

    current: str = OLD
    previous: str | None = None
    shares: dict[str, float] = field(default_factory=lambda: {OLD: 1.0})
    loaded: list[str] = field(default_factory=lambda: [OLD, NEW])
    shadow: str | None = None
    events: list[dict[str, str]] = field(default_factory=list)
    answered: dict[str, int] = field(default_factory=dict)
    asked: list[tuple[str, Any]] = field(default_factory=list)
    serve_key: str | None = None
    has_admin: bool = True
    url: str = ""

    def tell(self, kind: str, version: str, reason: str) -> None:
        at = f"2026-11-21T10:00:{len(self.events):02d}+00:00"
        self.events.append({"at": at, "kind": kind, "version": version, "reason": reason})

    def state(self) -> dict[str, Any]:
        versions = [
            {
                "name": name,
                "bundle": f"bundles/{name}",
                "labels": ["normal", "spam"],
                "engine": "native",
                "precision": "int8",
                "share": self.shares.get(name, 0.0),
                "is_shadow": name == self.shadow,
                "is_current": name == self.current,
            }
            for name in self.loaded
        ]
        return {
            "current": self.current,
            "previous": self.previous,
            "versions": versions,
            "split": self.shares,
            "shadow": self.shadow,
            "events": self.events,
        }

    def switch(self, name: str, kind: str) -> None:
        self.previous, self.current, self.shares = self.current, name, {name: 1.0}
        self.tell(kind, name, f"asked for; {MARKUP}")

    def metrics(self) -> str:
        lines = [f'thinfer_split_share{{version="{name}"}} 0' for name in self.loaded]
        for name in self.loaded:
            count = self.answered.get(name, 0)
            lines.append(f'thinfer_version_requests_total{{version="{name}",outcome="ok"}} {count}')
        total = sum(self.answered.values())
        lines.append(f'thinfer_requests_total{{route="/predict",outcome="ok"}} {total}')
        lines.append("thinfer_queue_depth 0")
        return "\n".join([*lines, ""])


def refuse(status: int, kind: str, error: str) -> Response:
    return JSONResponse({"error": error, "error_type": kind}, status_code=status)


def build_app(service: StandIn) -> FastAPI:
    """The routes of the contract, as far as the page uses them."""
    app = FastAPI()
    app.include_router(build_console())

    def closed(request: Request, key: str | None) -> Response | None:
        if key is not None and request.headers.get("authorization") != f"Bearer {key}":
            return refuse(401, "unauthorized", "the key is missing or wrong")
        return None

    def closed_admin(request: Request) -> Response | None:
        if not service.has_admin:
            return refuse(403, "admin_off", "the service has no admin key")
        return closed(request, ADMIN)

    @app.get("/metrics")
    def metrics() -> Response:
        return PlainTextResponse(service.metrics(), headers={"x-thinfer-version": service.current})

    @app.get("/info")
    def info() -> dict[str, Any]:
        facts = {"version": service.current, "labels": ["normal", "spam"], "max_length": 32}
        return {**facts, "engine": "native", "precision": "int8", "threads": 1, "thinfer": "1"}

    @app.post("/predict")
    async def predict(request: Request) -> Response:
        if (refusal := closed(request, service.serve_key)) is not None:
            return refusal
        name = request.headers.get("x-thinfer-use") or service.current
        service.asked.append(("predict", (name, request.headers.get("x-thinfer-key"))))
        if name not in service.loaded:
            return refuse(404, "unknown_version", f"no version {name} is loaded")
        service.answered[name] = service.answered.get(name, 0) + 1
        scores = (
            [("spam", 0.75), ("normal", 0.25)] if name == NEW else [("normal", 0.9), ("spam", 0.1)]
        )
        rows = [{"label": label, "score": score} for label, score in scores]
        return JSONResponse(rows, headers={"x-thinfer-version": name})

    @app.get("/admin/versions")
    def versions(request: Request) -> Response:
        return closed_admin(request) or JSONResponse(service.state())

    @app.post("/admin/versions")
    async def load(request: Request) -> Response:
        if (refusal := closed_admin(request)) is not None:
            return refusal
        body = await request.json()
        service.asked.append(("load", body))
        name = body["bundle"].rpartition("/")[2]
        if name not in (OLD, NEW, THIRD):
            service.tell("refused", name, "manifest.json does not match its digest")
            return refuse(422, "bad_bundle", "manifest.json does not match its digest")
        previous = service.current
        if name not in service.loaded:
            service.loaded.append(name)
            service.tell("loaded", name, "golden set passed")
        if body["activate"]:
            service.switch(name, "switched")
        told = {"version": name, "previous": previous, "changed": name == service.current}
        return JSONResponse({**told, "labels_added": [], "labels_removed": [], "seconds": 0.5})

    @app.post("/admin/rollback")
    def roll_back(request: Request) -> Response:
        if (refusal := closed_admin(request)) is not None:
            return refusal
        service.switch(service.previous or OLD, "rolled_back")
        return JSONResponse({"version": service.current, "previous": service.previous})

    @app.post("/admin/split")
    async def split(request: Request) -> Response:
        if (refusal := closed_admin(request)) is not None:
            return refusal
        body = await request.json()
        service.asked.append(("split", body))
        service.shares, service.shadow = body["versions"], body["shadow"]
        service.tell("split", service.current, "asked for")
        return JSONResponse(service.state())

    @app.delete("/admin/versions/{name}")
    def unload(request: Request, name: str) -> Response:
        if (refusal := closed_admin(request)) is not None:
            return refusal
        service.loaded.remove(name)
        service.tell("unloaded", name, "asked for")
        return JSONResponse(service.state())

    return app


@pytest.fixture
def service() -> Iterator[StandIn]:
    made = StandIn()
    config = uvicorn.Config(build_app(made), port=0, log_config=None, ws="none")
    server = uvicorn.Server(config)
    runner = threading.Thread(target=server.run)
    runner.start()
    pause = threading.Event()
    while not server.started:
        pause.wait(0.01)
    host, port = server.servers[0].sockets[0].getsockname()[:2]
    made.url = f"http://{host}:{port}/"
    yield made
    server.should_exit = True
    runner.join()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=list(CHROMIUM_ARGUMENTS))
        yield opened
        opened.close()


def note(message: ConsoleMessage, troubles: list[str]) -> None:
    """Chromium's advice on password managers (`debug`) is no trouble."""
    if message.type in ("error", "warning"):
        troubles.append(message.text)


@contextmanager
def opened(browser: Browser, service: StandIn, *, refusals: int = 0) -> Iterator[Page]:
    """A page whose console shows nothing but the refusals that the test brings about."""
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda message: note(message, troubles))
    page.goto(service.url)
    sync_api.expect(page.locator("#state")).to_have_text("live")
    yield page
    assert page.evaluate("window.broken") is None
    page.close()
    refused = [text for text in troubles if "the server responded with a status of 4" in text]
    assert troubles == refused
    assert len(refused) == refusals


def unlock(page: Page, key: str = ADMIN) -> None:
    page.get_by_label("Admin key").fill(key)
    page.get_by_label("Admin key").press("Enter")


@pytest.fixture
def page(browser: Browser, service: StandIn) -> Iterator[Page]:
    with opened(browser, service) as page:
        unlock(page)
        page.locator("#version-list li").first.wait_for()
        yield page


def message(page: Page) -> Any:  # noqa: ANN401 - playwright is not typed here
    return sync_api.expect(page.locator("#admin-message"))


def confirm(page: Page, verb: str) -> None:
    page.locator("#confirm").get_by_role("button", name=verb).click()


def test_a_wrong_key_is_refused_and_the_right_one_opens(browser: Browser, service: StandIn) -> None:
    with opened(browser, service, refusals=1) as page:
        assert not page.locator("#admin").is_visible()
        unlock(page, "wrong")
        message(page).to_have_text("The service does not accept this key.")
        assert not page.locator("#admin").is_visible()
        unlock(page)
        sync_api.expect(page.locator("#version-list li")).to_have_count(2)
        page.get_by_role("button", name="Lock").click()
        assert not page.locator("#admin").is_visible()


def test_a_service_without_an_admin_key_says_so(browser: Browser, service: StandIn) -> None:
    service.has_admin = False
    with opened(browser, service, refusals=1) as page:
        unlock(page)
        message(page).to_have_text("the service has no admin key")
        assert not page.locator("#admin-form").is_visible()


def test_keys_are_kept_nowhere(page: Page) -> None:
    kept = page.evaluate(
        "JSON.stringify([localStorage.length, sessionStorage.length, document.cookie,"
        " location.href, [...document.querySelectorAll('input')].map((field) => field.value)])"
    )
    assert ADMIN not in kept
    assert kept.startswith('[0,0,"",')
    page.reload()
    sync_api.expect(page.locator("#admin-form")).to_be_visible()
    assert not page.locator("#admin").is_visible()


def test_a_bundle_is_loaded_switched_to_and_rolled_back(page: Page, service: StandIn) -> None:
    page.get_by_label("Bundle to load").fill(f"bundles/{THIRD}")
    page.get_by_role("button", name="Load", exact=True).click()
    message(page).to_have_text(f"{THIRD} answers now, in place of {OLD} (0.5 s).")
    current = page.locator(".version.current")
    sync_api.expect(current).to_contain_text(THIRD)
    sync_api.expect(page.locator("#version")).to_have_text(THIRD)
    events = page.locator("#event-list li")
    sync_api.expect(events).to_have_count(2)
    assert MARKUP in events.first.inner_text()  # the newest first, and text is text
    page.get_by_role("button", name=f"Roll back to {OLD}").click()
    confirm(page, "Cancel")
    assert service.current == THIRD
    page.get_by_role("button", name=f"Roll back to {OLD}").click()
    confirm(page, "Roll back")
    message(page).to_have_text(f"Rolled back: {OLD} answers again.")
    sync_api.expect(current).to_contain_text(OLD)
    sync_api.expect(page.locator("#version")).to_have_text(OLD)


def test_a_bundle_may_be_loaded_without_switching(page: Page, service: StandIn) -> None:
    page.get_by_label("Bundle to load").fill(f"bundles/{THIRD}")
    page.get_by_label("switch to it").uncheck()
    page.get_by_role("button", name="Load", exact=True).click()
    message(page).to_have_text(f"{THIRD} is loaded (0.5 s).")
    assert service.asked == [("load", {"bundle": f"bundles/{THIRD}", "activate": False})]
    assert service.current == OLD
    page.get_by_role("button", name=f"Unload {THIRD}").click()
    confirm(page, "Unload")
    message(page).to_have_text(f"{THIRD} is unloaded.")
    sync_api.expect(page.locator("#version-list li")).to_have_count(2)


def test_a_loaded_version_is_made_current_by_its_bundle(page: Page, service: StandIn) -> None:
    assert page.get_by_role("button", name=f"Make {OLD} current").is_disabled()
    page.get_by_role("button", name=f"Make {NEW} current").click()
    page.keyboard.press("Escape")
    assert service.current == OLD
    page.get_by_role("button", name=f"Make {NEW} current").click()
    confirm(page, "Make current")
    message(page).to_contain_text(f"{NEW} answers now")
    assert service.asked[-1] == ("load", {"bundle": f"bundles/{NEW}", "activate": True})


def test_a_damaged_bundle_is_told_and_changes_nothing(browser: Browser, service: StandIn) -> None:
    with opened(browser, service, refusals=1) as page:
        unlock(page)
        page.get_by_label("Bundle to load").fill("bundles/broken")
        page.get_by_role("button", name="Load", exact=True).click()
        message(page).to_have_text("manifest.json does not match its digest")
        sync_api.expect(page.locator("#event-list .badge.broken")).to_have_text("refused")
        assert service.current == OLD


def test_a_split_must_be_whole_outlives_the_next_reading_and_is_applied(
    page: Page, service: StandIn
) -> None:
    apply = page.get_by_role("button", name="Apply split")
    assert apply.is_disabled()
    shares = page.get_by_label("Share, %")
    shares.nth(0).fill("80")
    sync_api.expect(page.locator("#split-sum")).to_have_text("80 % of 100 %")
    assert apply.is_disabled()
    shares.nth(1).fill("20")
    service.tell("loaded", NEW, "something else happened")
    sync_api.expect(page.locator("#event-list li")).to_have_count(1, timeout=10_000)
    assert [field.input_value() for field in shares.all()] == ["80", "20"]
    page.get_by_label("Shadow").select_option(NEW)
    apply.click()
    message(page).to_have_text("The split is in force.")
    body = {"versions": {OLD: 0.8, NEW: 0.2}, "shadow": NEW}
    assert service.asked == [("split", body)]
    sync_api.expect(page.locator(".portion").nth(1)).to_contain_text("20.0 %")
    assert page.locator(".version").nth(1).locator(".badge").inner_text() == "shadow"
    shares.nth(0).fill("1")
    page.get_by_role("button", name="Undo").click()
    assert shares.nth(0).input_value() == "80"


def test_versions_are_compared_side_by_side_on_one_text(page: Page, service: StandIn) -> None:
    page.get_by_label("Text", exact=True).fill("hello")
    page.get_by_role("button", name="Compare versions").click()
    cards = page.locator("#answer .result")
    sync_api.expect(cards).to_have_count(2)
    assert [card.locator("code").inner_text() for card in cards.all()] == [OLD, NEW]
    assert [card.locator(".big").inner_text() for card in cards.all()] == [
        "normal 90.0 %",
        "spam 75.0 %",
    ]
    assert cards.nth(1).locator(".name").all_inner_texts() == ["normal", "spam"]  # in one order
    assert cards.nth(1).locator(".value small").all_inner_texts() == ["−0.6500", "+0.6500"]
    sync_api.expect(page.locator("#try-message")).to_have_text("The versions do not agree.")
    assert [item for item in service.asked if item[0] == "predict"] == [
        ("predict", (OLD, None)),
        ("predict", (NEW, None)),
    ]


def test_a_version_that_has_gone_says_so_in_its_own_column(
    browser: Browser, service: StandIn
) -> None:
    with opened(browser, service, refusals=1) as page:
        page.get_by_role("button", name="Compare versions").wait_for()
        page.get_by_role("button", name="Pause").click()
        service.loaded.remove(NEW)
        page.get_by_role("button", name="Compare versions").click()
        cards = page.locator("#answer .result")
        sync_api.expect(cards).to_have_count(2)
        assert "no version bbbbbbbbbbbb is loaded" in cards.nth(1).inner_text()


def test_a_service_with_a_serve_key_is_asked_with_it(browser: Browser, service: StandIn) -> None:
    service.serve_key = SERVE
    with opened(browser, service, refusals=1) as page:
        page.get_by_role("button", name="Classify").click()
        sync_api.expect(page.locator("#try-message")).to_contain_text("missing or wrong")
        sync_api.expect(page.get_by_label("Serve key")).to_be_focused()
        page.keyboard.type(SERVE)
        page.keyboard.press("Enter")
        page.get_by_label("Sticky key").fill("customer 7")
        page.get_by_role("button", name="Classify").click()
        page.locator("#answer .big").wait_for()
        assert service.asked == [("predict", (OLD, "customer 7"))]


def test_the_chart_of_arms_shows_who_answered(page: Page, service: StandIn) -> None:
    arms = page.locator("svg[aria-label^='Answers by version']")
    arms.wait_for()
    for _ in range(3):  # the share of one second, as often as the seconds need
        service.answered = {
            OLD: service.answered.get(OLD, 0) + 30,
            NEW: service.answered.get(NEW, 0) + 10,
        }
        page.wait_for_timeout(400)
    sync_api.expect(arms.locator("path.band").first).to_be_attached()
    assert "aaaaaaaaaaaa" in (arms.get_attribute("aria-label") or "")
    assert "bbbbbbbbbbbb" in (arms.get_attribute("aria-label") or "")


@pytest.mark.parametrize("width", [360, 1400])
def test_the_versions_fit_every_width(page: Page, service: StandIn, width: int) -> None:
    service.tell("auto_rollback", NEW, "p99 of 80 ms against 20 ms " * 5)
    service.loaded.append(THIRD)
    sync_api.expect(page.locator("#version-list li")).to_have_count(3, timeout=10_000)
    page.set_viewport_size({"width": width, "height": 900})
    page.get_by_role("button", name="Compare versions").click()
    sync_api.expect(page.locator("#answer .result")).to_have_count(3)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
