"""The console in a real browser, in front of a real `thinfer serve` on a real socket."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.support.bundles import make_fake_bundle
from tests.support.chromium import CHROMIUM_ARGUMENTS, find_chromium
from tests.support.serving import Process, serve_process
from thinfer.classifier import Classifier

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page, Route

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = find_chromium()
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed on this machine"),
]

# Labels and texts that would run if they were ever taken for markup.
SCRIPT = "<script>window.broken = 1</script>"
IMAGE = '<img src=x onerror="window.broken = 2">'
LABELS = ("normal", SCRIPT, IMAGE)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_api.sync_playwright() as playwright:
        opened = playwright.chromium.launch(executable_path=CHROMIUM, args=list(CHROMIUM_ARGUMENTS))
        yield opened
        opened.close()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("console") / "bundle"
    return make_fake_bundle(folder, labels=LABELS, options={"latency_ms": 3}).path


@pytest.fixture(scope="module")
def server(bundle: Path) -> Iterator[Process]:
    with serve_process(bundle) as process:
        yield process


def address(server: Process) -> str:
    return f"http://{server.host}:{server.port}/"


def note(message: ConsoleMessage, troubles: list[str]) -> None:
    """Chromium's advice on password managers (`debug`) is no trouble."""
    if message.type in ("error", "warning"):
        troubles.append(message.text)


@contextmanager
def opened(browser: Browser, url: str, *, width: int = 1200) -> Iterator[Page]:
    """A page that may neither complain nor ask anybody but its own service."""
    page = browser.new_page(viewport={"width": width, "height": 900})
    troubles: list[str] = []
    asked: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda message: note(message, troubles))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(url)
    sync_api.expect(page.locator("#state")).to_have_text("live")
    yield page
    page.close()
    assert troubles == []
    assert [item for item in asked if not item.startswith((url, "data:"))] == []


@pytest.fixture
def page(browser: Browser, server: Process) -> Iterator[Page]:
    with opened(browser, address(server)) as page:
        yield page


@pytest.mark.parametrize(
    "trouble",
    [
        "console.error('x')",
        "setTimeout(() => { throw new Error('x') })",
        "fetch('http://127.0.0.1:9/').catch(() => null)",
    ],
)
def test_a_complaint_or_a_request_elsewhere_fails_a_test(
    browser: Browser, server: Process, trouble: str
) -> None:
    with pytest.raises(AssertionError), opened(browser, address(server)) as page:
        page.evaluate(trouble)
        page.wait_for_timeout(100)


def classify(page: Page, text: str) -> None:
    page.get_by_label("Text", exact=True).fill(text)
    page.get_by_role("button", name="Classify").click()
    page.locator("#answer:not([aria-busy]) .big").wait_for()


def test_a_text_is_typed_and_all_its_scores_are_read(
    page: Page, server: Process, bundle: Path
) -> None:
    with Classifier.open(bundle) as classifier:
        (expected,) = classifier.predict(["hello 你好"])
    classify(page, "hello 你好")
    assert page.locator(".big").inner_text().startswith(expected.label)
    shown = {
        row.locator(".name").inner_text(): row.locator(".value").inner_text()
        for row in page.locator(".bars li").all()
    }
    assert shown == {label: f"{score:.4f}" for label, score in expected.scores.items()}
    facts = page.locator(".facts").inner_text()
    assert server.version in facts
    assert f"{expected.tokens} tokens" in facts
    assert " ms" in facts
    assert "cut" not in facts
    widths = [bar.bounding_box()["width"] for bar in page.locator(".bars .lane i").all()]
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 2 * widths[1]


def test_the_head_of_the_page_tells_what_answers(page: Page, server: Process) -> None:
    sync_api.expect(page.locator("#version")).to_have_text(server.version)
    sync_api.expect(page.locator("#summary")).to_contain_text("3 labels, up to 24 tokens a text")
    sync_api.expect(page.locator("#summary")).to_contain_text("fake in FP32 on ")


def test_a_cut_text_says_so_and_a_pair_is_read(page: Page, bundle: Path) -> None:
    classify(page, "hello " * 40)
    assert "24 tokens" in page.locator(".facts").inner_text()
    # Five letters a word, and a token a letter, beside the two special ones.
    assert page.locator(".facts .badge").inner_text() == "cut, 178 of 202 tokens not read"
    page.get_by_text("More", exact=True).click()
    page.get_by_label("A text that is too long").select_option("windows")
    classify(page, "hello " * 40)
    assert "windows" in page.locator(".facts").inner_text()
    assert page.locator(".facts .badge").count() == 0
    page.get_by_label("A text that is too long").select_option("")
    page.get_by_label("Second text").fill("and more")
    classify(page, "ab")
    with Classifier.open(bundle) as classifier:
        (expected,) = classifier.predict(["ab"], ["and more"])
    assert page.locator(".big").inner_text().startswith(expected.label)
    assert f"{expected.tokens} tokens" in page.locator(".facts").inner_text()


def test_whatever_else_the_service_says_of_an_answer_is_shown(page: Page) -> None:
    def add(route: Route) -> None:
        reply = route.fetch()
        more = {"x-thinfer-degraded": "upstream away", "x-thinfer-new": "<b>x</b>"}
        route.fulfill(response=reply, headers={**reply.headers, **more})

    page.route("**/predict", add)
    classify(page, "hello")
    badges = page.locator(".facts .badge").all_inner_texts()
    assert badges == ["degraded upstream away", "new <b>x</b>"]


def test_many_labels_are_folded_and_all_of_them_can_be_read(
    browser: Browser, tmp_path: Path
) -> None:
    labels = [f"label {number}" for number in range(30)]
    bundle = make_fake_bundle(tmp_path / "bundle", labels=labels, multi_label=True).path
    with serve_process(bundle) as process, opened(browser, address(process)) as page:
        classify(page, "hello")
        assert "several may apply" in page.locator(".result").inner_text()
        rows = page.locator(".bars li")
        assert rows.count() == 12
        page.get_by_role("button", name="Show all 30 labels").press("Enter")
        assert {row.locator(".name").inner_text() for row in rows.all()} == set(labels)


def test_an_empty_text_is_answered(page: Page) -> None:
    classify(page, "")
    assert page.locator(".facts").inner_text()


def test_markup_in_a_text_or_a_label_stays_text(page: Page) -> None:
    for text in (SCRIPT, IMAGE, "</textarea>" + SCRIPT):
        classify(page, text)
    names = page.locator(".bars .name").all_inner_texts()
    assert set(names) == set(LABELS)
    assert page.evaluate("window.broken") is None
    assert page.locator("main img, main script").count() == 0


@contextmanager
def load(server: Process, *, threads: int = 4) -> Iterator[None]:
    """Callers that ask without a pause while the block runs."""
    done = threading.Event()

    def call() -> None:
        link = server.connect()
        while not done.is_set():
            server.ask("POST", "/predict", {"inputs": ["hello", "you"]}, connection=link)
        link.close()

    callers = [threading.Thread(target=call) for _ in range(threads)]
    for caller in callers:
        caller.start()
    try:
        yield
    finally:
        done.set()
        for caller in callers:
            caller.join()


def test_the_charts_move_under_load_and_come_to_rest_after_it(page: Page, server: Process) -> None:
    requests = page.locator(".chart", has_text="Requests a second")
    sync_api.expect(requests.locator("svg")).to_have_attribute(
        "aria-label", "Requests a second: all 0, refused 0, failed 0"
    )
    with load(server):
        # Some hundreds a second on any machine; the scrape itself would be one.
        page.wait_for_function(
            "() => parseFloat(document.querySelector(\"svg[aria-label^='Requests']\")"
            ".getAttribute('aria-label').match(/all ([\\d.,]+)/)[1].replace(',', '')) > 20"
        )
        latency = page.locator("svg[aria-label^='Latency']")
        sync_api.expect(latency).to_have_attribute(
            "aria-label", re.compile(r"Latency: p50 [\d.]+ m?s, p99 [\d.]+ m?s")
        )
        batch = page.locator("svg[aria-label^='Texts a batch']")
        sync_api.expect(batch).to_have_attribute(
            "aria-label", re.compile(r"Texts a batch: texts [2-9]")
        )
        line = page.locator("svg[aria-label^='Requests'] path.line.one")
        first = line.get_attribute("d")
        page.wait_for_function(
            "(old) => document.querySelector(\"svg[aria-label^='Requests'] path.line.one\")"
            ".getAttribute('d') !== old",
            arg=first,
        )
    sync_api.expect(requests.locator("svg")).to_have_attribute(
        "aria-label", "Requests a second: all 0, refused 0, failed 0"
    )


def test_a_chart_is_read_by_keyboard_and_the_reading_can_be_paused(page: Page) -> None:
    page.wait_for_timeout(2500)
    svg = page.locator("svg[aria-label^='Queue']")
    svg.focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowLeft")
    sync_api.expect(page.locator(".chart", has_text="Queue").locator(".when")).to_be_visible()
    page.keyboard.press("Escape")
    assert page.locator(".when").count() == 0
    page.get_by_role("button", name="Pause").press("Enter")
    sync_api.expect(page.locator("#state")).to_have_text("paused")
    scrapes: list[str] = []
    page.wait_for_timeout(300)
    page.on("request", lambda request: scrapes.append(request.url))
    page.wait_for_timeout(1500)
    assert scrapes == []
    page.get_by_role("button", name="Go on").press("Enter")
    sync_api.expect(page.locator("#state")).to_have_text("live")


def test_a_page_that_nobody_sees_asks_nothing(page: Page) -> None:
    page.evaluate("Object.defineProperty(document, 'hidden', { get: () => true })")
    page.wait_for_timeout(300)
    scrapes: list[str] = []
    page.on("request", lambda request: scrapes.append(request.url))
    page.wait_for_timeout(1500)
    assert scrapes == []


def test_the_keyboard_alone_asks_and_every_control_has_a_name(page: Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "text"
    page.keyboard.type("good")
    page.keyboard.press("Control+Enter")
    page.locator("#answer .big").wait_for()
    nameless = page.evaluate(
        "[...document.querySelectorAll('input, textarea, select')]"
        ".filter((field) => field.labels.length === 0).map((field) => field.id)"
    )
    assert nameless == []
    assert page.evaluate("document.querySelectorAll('button:not([type])').length") == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1400])
def test_it_fits_every_width_in_both_colours(
    browser: Browser, server: Process, width: int, scheme: str
) -> None:
    with opened(browser, address(server), width=width) as page:
        page.emulate_media(color_scheme=scheme)
        classify(page, "a" * 300)  # one word, longer than any line
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        ink, paper = (
            page.evaluate(f"getComputedStyle(document.body).{name}")
            for name in ("color", "backgroundColor")
        )
        assert ink != paper


def test_the_policy_is_sent_and_the_browser_obeys_it(browser: Browser, server: Process) -> None:
    page = browser.new_page()
    reply = page.goto(address(server))
    assert "frame-ancestors 'none'" in reply.headers["content-security-policy"]
    assert reply.headers["x-content-type-options"] == "nosniff"
    tried = page.evaluate(
        """async () => {
            const script = document.createElement('script');
            const found = {};
            const attempt = async (name, action) => {
                try { await action(); } catch { found[name] = 'refused'; }
            };
            await attempt('script', () => {
                script.textContent = 'window.broken = 3';
                document.body.append(script);
            });
            await attempt('markup', () => { document.body.innerHTML = '<b>x</b>'; });
            await attempt('fetch', () => fetch('http://127.0.0.1:9/'));
            return { ...found, broken: window.broken ?? null };
        }"""
    )
    assert tried == {"script": "refused", "markup": "refused", "fetch": "refused", "broken": None}
    page.close()


def test_a_service_that_is_gone_is_told_and_its_return_is_seen(
    browser: Browser, tmp_path: Path
) -> None:
    bundle = make_fake_bundle(tmp_path / "bundle").path
    with serve_process(bundle) as process:
        page = browser.new_page()
        page.goto(address(process))
        sync_api.expect(page.locator("#state")).to_have_text("live")
        process.popen.kill()
        process.wait()
        sync_api.expect(page.locator("#state")).to_have_text("no answer")
        page.get_by_role("button", name="Classify").click()
        sync_api.expect(page.locator("#try-message")).to_contain_text("did not get through")
        with serve_process(bundle, "--port", str(process.port)):
            sync_api.expect(page.locator("#state")).to_have_text("live")
        page.close()


def test_percentiles_are_those_that_prometheus_would_estimate(page: Page) -> None:
    found = page.evaluate(
        """async () => {
            const { read, quantile, grown } = await import('./console/metrics.js');
            const text = (counts) => ['0.1', '0.2', '0.4', '+Inf']
                .map((le, i) => `x_bucket{le="${le}",route="/a"} ${counts[i]}`).join('\\n');
            const none = read(text([0, 0, 0, 0]));
            const some = read(text([0, 5, 10, 10]));
            const more = read(text([0, 5, 10, 20]));
            return [
                quantile(0.5, none, some, 'x'), quantile(0.75, none, some, 'x'),
                quantile(0.99, some, more, 'x'),
                quantile(0.5, some, some, 'x'), quantile(0.5, some, none, 'x'),
                grown(some, more, 'x_bucket'), grown(more, some, 'x_bucket'),
                grown(some, more, 'y'),
                read('a{l="q\\\\"}\\\\n\\\\\\\\"} 1e3').get('a')[0].labels.get('l'),
            ];
        }"""
    )
    assert found[:2] == [pytest.approx(0.2), pytest.approx(0.3)]
    assert found[2:] == [pytest.approx(0.4), None, None, 10, None, None, 'q"}\n\\']
