"""The console's versions part in a real browser, in front of a real `thinfer serve` with keys.

Loading, switching, splitting and going back, what is said of a refusal, and where keys are kept.
"""

from __future__ import annotations

import http.client
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.bundles import make_fake_bundle
from tests.support.chromium import CHROMIUM_ARGUMENTS, find_chromium
from tests.support.serving import Process, serve_process

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Page

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
CHROMIUM = find_chromium()
pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed on this machine"),
]

ADMIN, SERVE = "the-admin-key-of-the-tests", "the-serve-key-of-the-tests"
MARKUP = "<img src=x onerror='window.broken = 1'>"
# The bundles answer differently on purpose; nothing shall take an arm off for it.
CALM = {"THINFER_SERVE_COMPARE_SHARE": "0"}


@dataclass(frozen=True, slots=True)
class Bundles:
    """Three versions of other answers, by folder and by name."""

    folders: tuple[Path, ...]
    names: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Served:
    """A service with an admin key."""

    process: Process
    bundles: Bundles

    @property
    def url(self) -> str:
        return f"http://{self.process.host}:{self.process.port}/"

    def admin(self, method: str, path: str, body: object = None) -> Any:  # noqa: ANN401 - JSON
        link = http.client.HTTPConnection(self.process.host, self.process.port, timeout=30)
        raw = None if body is None else json.dumps(body)
        link.request(method, f"/admin/{path}", raw, {"authorization": f"Bearer {ADMIN}"})
        reply = link.getresponse()
        found = json.loads(reply.read())
        link.close()
        assert reply.status == 200, found
        return found

    def load(self, place: int) -> None:
        body = {"bundle": str(self.bundles.folders[place]), "activate": False}
        self.admin("POST", "versions", body)

    def current(self) -> str:
        return str(self.admin("GET", "versions")["current"])


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Bundles:
    root = tmp_path_factory.mktemp("versions")
    made = [make_fake_bundle(root / f"salt-{salt}", options={"salt": salt}) for salt in range(3)]
    return Bundles(tuple(item.path for item in made), tuple(item.version for item in made))


@contextmanager
def served(bundles: Bundles, folder: Path, *arguments: str) -> Iterator[Served]:
    key = folder / "admin.key"
    key.write_text(ADMIN)
    with serve_process(
        bundles.folders[0], "--admin-key-file", str(key), *arguments, environment=CALM
    ) as process:
        yield Served(process, bundles)


@pytest.fixture
def service(bundles: Bundles, tmp_path: Path) -> Iterator[Served]:
    with served(bundles, tmp_path) as started:
        started.load(1)
        yield started


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
def opened(browser: Browser, url: str, *, refusals: int = 0) -> Iterator[Page]:
    """A page whose console shows nothing but the refusals that the test brings about."""
    page = browser.new_page(viewport={"width": 1200, "height": 1000})
    troubles: list[str] = []
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda message: note(message, troubles))
    page.goto(url)
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
def page(browser: Browser, service: Served) -> Iterator[Page]:
    with opened(browser, service.url) as page:
        unlock(page)
        page.locator("#version-list li").first.wait_for()
        yield page


def message(page: Page) -> Any:  # noqa: ANN401 - playwright is not typed here
    return sync_api.expect(page.locator("#admin-message"))


def press(page: Page, name: str) -> None:
    page.get_by_role("button", name=name, exact=True).click()


def confirm(page: Page, verb: str) -> None:
    page.locator("#confirm").get_by_role("button", name=verb).click()


def test_a_wrong_key_is_refused_and_the_right_one_opens(browser: Browser, service: Served) -> None:
    with opened(browser, service.url, refusals=1) as page:
        assert not page.locator("#admin").is_visible()
        unlock(page, "wrong")
        message(page).to_have_text("The service does not accept this key.")
        assert not page.locator("#admin").is_visible()
        unlock(page)
        sync_api.expect(page.locator("#version-list li")).to_have_count(2)
        press(page, "Lock")
        assert not page.locator("#admin").is_visible()


def test_without_an_admin_key_the_part_is_not_there(browser: Browser, bundles: Bundles) -> None:
    with serve_process(bundles.folders[0]) as process:
        url = f"http://{process.host}:{process.port}/"
        with opened(browser, url) as page:
            sync_api.expect(page.locator("#version")).to_have_text(process.version)
            sync_api.expect(page.locator("#summary")).to_contain_text("3 labels")
            page.wait_for_timeout(300)
            assert not page.locator("#versions").is_visible()


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


def test_a_bundle_is_loaded_switched_to_and_rolled_back(page: Page, service: Served) -> None:
    first, _, third = service.bundles.names
    page.get_by_label("Bundle to load").fill(str(service.bundles.folders[2]))
    press(page, "Load")
    message(page).to_contain_text(f"{third} answers now, in place of {first} (")
    current = page.locator(".version.current")
    sync_api.expect(current).to_contain_text(third)
    sync_api.expect(page.locator("#version")).to_have_text(third)
    sync_api.expect(page.locator("#event-list li").first).to_contain_text("switched")
    press(page, f"Roll back to {first}")
    confirm(page, "Cancel")
    assert service.current() == third
    press(page, f"Roll back to {first}")
    confirm(page, "Roll back")
    message(page).to_have_text(f"Rolled back: {first} answers again.")
    sync_api.expect(current).to_contain_text(first)
    sync_api.expect(page.locator("#version")).to_have_text(first)
    assert service.current() == first
    sync_api.expect(page.locator("#event-list li").first).to_contain_text("rolled back")


def test_a_bundle_may_be_loaded_without_switching_and_unloaded(page: Page, service: Served) -> None:
    third = service.bundles.names[2]
    page.get_by_label("Bundle to load").fill(str(service.bundles.folders[2]))
    page.get_by_label("switch to it").uncheck()
    press(page, "Load")
    message(page).to_contain_text(f"{third} is loaded (")
    assert service.current() == service.bundles.names[0]
    assert page.get_by_role("button", name=f"Unload {service.bundles.names[0]}").is_disabled()
    press(page, f"Unload {third}")
    confirm(page, "Unload")
    message(page).to_have_text(f"{third} is unloaded.")
    sync_api.expect(page.locator("#version-list li")).to_have_count(2)


def test_a_loaded_version_is_made_current(page: Page, service: Served) -> None:
    first, second, _ = service.bundles.names
    assert page.get_by_role("button", name=f"Make {first} current").is_disabled()
    press(page, f"Make {second} current")
    page.keyboard.press("Escape")
    assert service.current() == first
    press(page, f"Make {second} current")
    confirm(page, "Make current")
    message(page).to_contain_text(f"{second} answers now")
    assert service.current() == second


def test_a_damaged_bundle_is_told_as_text_and_changes_nothing(
    browser: Browser, service: Served, tmp_path: Path
) -> None:
    broken = tmp_path / MARKUP
    broken.mkdir()
    with opened(browser, service.url, refusals=1) as page:
        unlock(page)
        page.get_by_label("Bundle to load").fill(str(broken))
        press(page, "Load")
        message(page).to_contain_text("the bundle was refused; the present version goes on")
        newest = page.locator("#event-list li").first
        sync_api.expect(newest.locator(".badge.broken")).to_have_text("refused")
        assert MARKUP in newest.inner_text()
        assert page.locator("main img").count() == 0
        assert service.current() == service.bundles.names[0]


def test_a_split_must_be_whole_outlives_the_next_reading_and_is_applied(
    page: Page, service: Served
) -> None:
    first, second, third = service.bundles.names
    apply = page.get_by_role("button", name="Apply split")
    assert apply.is_disabled()
    shares = page.get_by_label("Share, %")
    shares.nth(0).fill("80")
    sync_api.expect(page.locator("#split-sum")).to_have_text("Shares add up to 80 %, not 100 %")
    assert apply.is_disabled()
    shares.nth(1).fill("20")
    service.load(2)
    sync_api.expect(page.locator("#version-list li")).to_have_count(3)
    assert [field.input_value() for field in shares.all()] == ["80", "20", "0"]
    page.get_by_label("Shadow").select_option(third)
    apply.click()
    message(page).to_have_text("The split is in force.")
    state = service.admin("GET", "versions")
    assert state["split"] == pytest.approx({first: 0.8, second: 0.2})
    assert state["shadow"] == third
    service.process.ask("GET", "/check?content=a")
    sync_api.expect(page.locator("#counts")).to_have_text(
        re.compile("^Shadow (agreed|differed) 1$")
    )
    sync_api.expect(page.locator(".portion").nth(1)).to_contain_text("20.0 %")
    sync_api.expect(page.locator(".version").nth(2).locator(".badge")).to_have_text("shadow")
    shares.nth(0).fill("1")
    press(page, "Undo")
    assert shares.nth(0).input_value() == "80"


def test_typing_goes_on_while_the_service_works(page: Page, service: Served) -> None:
    field = page.get_by_label("Share, %").nth(0)
    field.fill("")
    done = threading.Event()
    caller = threading.Thread(
        target=lambda: [
            service.process.ask("GET", "/check?content=a") for _ in iter(done.is_set, True)
        ]
    )
    caller.start()
    try:
        for digit in "6", "2", ".", "5":
            page.keyboard.type(digit)
            page.wait_for_timeout(1100)  # two and more readings come in between
    finally:
        done.set()
        caller.join()
    assert field.input_value() == "62.5"
    sync_api.expect(field).to_be_focused()


def test_versions_are_compared_side_by_side_on_one_text(page: Page, service: Served) -> None:
    names = service.bundles.names[:2]
    answers = {}
    for text in "abcdefghijkl":  # one on which they do not agree
        for name in names:
            link = service.process.connect()
            link.request("POST", "/predict", json.dumps({"inputs": text}), {"x-thinfer-use": name})
            answers[name] = json.loads(link.getresponse().read())
            link.close()
        if answers[names[0]][0]["label"] != answers[names[1]][0]["label"]:
            break
    page.get_by_label("Text", exact=True).fill(text)
    press(page, "Compare versions")
    cards = page.locator("#answer .result")
    sync_api.expect(cards).to_have_count(2)
    order = [row["label"] for row in answers[names[0]]]
    for card, name in zip(cards.all(), names, strict=True):
        assert card.locator("code").inner_text() == name
        assert card.locator(".big").inner_text().startswith(answers[name][0]["label"])
        assert card.locator(".name").all_inner_texts() == order  # in one order
    one, other = ({row["label"]: row["score"] for row in answers[name]} for name in names)
    changes = [f"{other[label] - one[label]:+.4f}".replace("-", "−") for label in order]
    assert cards.nth(1).locator(".value small").all_inner_texts() == changes
    sync_api.expect(page.locator("#try-message")).to_have_text("The versions do not agree.")


def test_a_version_that_has_gone_says_so_in_its_own_column(
    browser: Browser, service: Served
) -> None:
    second = service.bundles.names[1]
    with opened(browser, service.url, refusals=1) as page:
        page.get_by_role("button", name="Compare versions").wait_for()
        press(page, "Pause")
        service.admin("DELETE", f"versions/{second}")
        press(page, "Compare versions")
        cards = page.locator("#answer .result")
        sync_api.expect(cards).to_have_count(2)
        assert "no loaded version has this name" in cards.nth(1).inner_text()


def test_a_service_with_a_serve_key_is_asked_with_it(
    browser: Browser, bundles: Bundles, tmp_path: Path
) -> None:
    key = tmp_path / "serve.key"
    key.write_text(SERVE)
    with (
        served(bundles, tmp_path, "--serve-key-file", str(key)) as service,
        opened(browser, service.url, refusals=1) as page,
    ):
        press(page, "Classify")
        sync_api.expect(page.locator("#try-message")).to_contain_text("missing or wrong")
        sync_api.expect(page.get_by_label("Serve key")).to_be_focused()
        page.keyboard.type(SERVE)
        page.keyboard.press("Enter")
        press(page, "Classify")
        page.locator("#answer .big").wait_for()
        assert SERVE not in page.evaluate(
            "[...document.querySelectorAll('input')].map((field) => field.value).join()"
        )


def test_the_chart_of_arms_shows_who_answered_and_a_sticky_key_stays(
    page: Page, service: Served
) -> None:
    first, second, _ = service.bundles.names
    shares = {"versions": {first: 0.5, second: 0.5}, "shadow": None}
    service.admin("POST", "split", shares)
    page.get_by_text("More", exact=True).click()
    page.get_by_label("Sticky key").fill("customer 7")
    answered = set()
    for _ in range(4):
        press(page, "Classify")
        page.locator("#answer:not([aria-busy]) .big").wait_for()
        answered.add(page.locator("#answer code").inner_text())
    assert len(answered) == 1
    link = service.process.connect()
    for number in range(600):
        service.process.ask("GET", f"/check?content={number}", connection=link)
    link.close()
    arms = page.locator("svg[aria-label^='Answers by version']")
    sync_api.expect(arms.locator("path.band")).to_have_count(2)
    label = arms.get_attribute("aria-label") or ""
    assert first in label
    assert second in label


def test_under_load_a_switch_is_seen_in_the_chart(page: Page, service: Served) -> None:
    first, second, _ = service.bundles.names
    arms = page.locator("svg[aria-label^='Answers by version']")
    done = threading.Event()

    def call() -> None:
        link = service.process.connect()
        while not done.is_set():
            reply = service.process.ask("GET", "/check?content=a", connection=link)
            assert reply.headers["x-thinfer-version"] in (first, second)
            done.wait(0.005)
        link.close()

    caller = threading.Thread(target=call)
    caller.start()
    try:
        sync_api.expect(arms).to_have_attribute("aria-label", re.compile(f"{first} 100 %"))
        press(page, f"Make {second} current")
        confirm(page, "Make current")
        both = re.compile(f"{first} 0 %, {second} 100 %")
        sync_api.expect(arms).to_have_attribute("aria-label", both)
        sync_api.expect(arms.locator("path.band")).to_have_count(2)
    finally:
        done.set()
        caller.join()


def test_several_workers_are_seen_as_one_service(
    browser: Browser, bundles: Bundles, tmp_path: Path
) -> None:
    first, second, _ = bundles.names
    with (
        served(bundles, tmp_path, "--workers", "2") as service,
        opened(browser, service.url) as page,
    ):
        service.load(1)
        unlock(page)
        press(page, f"Make {second} current")
        confirm(page, "Make current")
        message(page).to_contain_text(f"{second} answers now, in place of {first}")
        for _ in range(4):
            press(page, "Classify")
            page.locator("#answer:not([aria-busy]) .big").wait_for()
            assert page.locator("#answer code").inner_text() == second
        for number in range(300):  # each on a connection, and so a worker, of its own
            reply = service.process.ask("GET", f"/check?content={number}")
            assert reply.headers["x-thinfer-version"] == second
        arms = page.locator("svg[aria-label^='Answers by version']")
        sync_api.expect(arms).to_have_attribute("aria-label", re.compile(f"{second} 100 %"))


@pytest.mark.parametrize("width", [360, 1400])
def test_the_versions_fit_every_width(page: Page, service: Served, width: int) -> None:
    service.load(2)
    sync_api.expect(page.locator("#version-list li")).to_have_count(3)
    page.set_viewport_size({"width": width, "height": 900})
    press(page, "Compare versions")
    sync_api.expect(page.locator("#answer .result")).to_have_count(3)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
