"""The page of the sample application in a real browser: its mistakes are found on any screen, in light and dark."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from rome.engine.observing.full_scans import FullScan
from rome.insights.document import document
from rome.insights.entries import CommitEntry, ConflictEntry, Part, Process, RepeatEntry, StatementEntry, Totals
from rome.insights.reporting import merged

EXAMPLE = Path(__file__).parents[2] / "examples" / "insights" / "shop.py"
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")

CONTRAST = (Path(__file__).parent / "contrast.js").read_text()
"""Returns the texts whose contrast with what is behind them is below 4.5."""

Scheme = Literal["light", "dark"]


class Opened(NamedTuple):
    """A page, and what the browser has said and asked for since it was opened."""

    page: Page
    complaints: list[str]
    requests: list[str]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    path = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if path is None:
        pytest.skip(f"no browser: apt-get install {BROWSERS[0]}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """The page of the shop, which has closed for today."""
    with subprocess.Popen([sys.executable, EXAMPLE], stdout=subprocess.PIPE, text=True) as shop:
        assert shop.stdout is not None
        found = re.search(r"http://\S+", shop.stdout.readline())
        assert found is not None
        yield found[0]
        shop.kill()


def opened(browser: Browser, url: str, width: int = 1280, scheme: Scheme = "light") -> Opened:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    found = Opened(page, [], [])
    page.on("console", lambda message: found.complaints.append(message.text))
    page.on("pageerror", lambda error: found.complaints.append(str(error)))
    page.on("request", lambda request: found.requests.append(request.url))
    page.goto(url)
    return found


@pytest.fixture
def shown(browser: Browser, url: str) -> Iterator[Opened]:
    found = opened(browser, url)
    yield found
    found.page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [420, 1280])
def test_it_is_readable_on_any_screen(browser: Browser, url: str, width: int, scheme: Scheme) -> None:
    page, complaints, requests = opened(browser, url, width, scheme)
    for details in page.locator("details").all():
        details.evaluate("each => { each.open = true }")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    assert page.evaluate(CONTRAST) == []
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", ground)[:3])) < 3 * 64) == (scheme == "dark")
    assert complaints == []
    assert {request for request in requests if not request.startswith(url)} <= {"data:,"}
    page.close()


def test_a_person_finds_the_four_mistakes(shown: Opened) -> None:
    page = shown.page
    stands_out = page.locator("#findings").inner_text()
    for kind, detail in (
        ("N+1 load", "SELECT customer ran up to 40 times in one transaction, after SELECT orders"),
        ("Hot row", "Row name='visits' of table counter"),
        ("Full scan", "SELECT orders reads all of orders"),
        ("Slow commit", "UPDATE orders"),
    ):
        assert kind in stands_out
        assert detail in stands_out
    repeat = page.locator("#repeats tbody tr").first.inner_text()
    assert "FROM customer WHERE customer.id = ?" in repeat
    assert "in list_orders" in repeat
    assert "selectinload()" in repeat
    hot = page.locator("#conflicts tbody tr").first.inner_text()
    assert "Row name='visits' of table counter" in hot
    assert "UPDATE counter SET value=? WHERE counter.name = ?" in hot
    assert "in count_visit" in hot
    assert "CREATE INDEX ix_orders_state ON orders (state);" in page.locator("#scans").inner_text()
    commits = page.locator("#commits tbody tr").all_inner_texts()
    assert [row for row in commits if "UPDATE orders" in row and "It writes 2,010 rows at once" in row]


def numbers(page: Page, column: int) -> list[float]:
    cells = page.locator(f"#time tbody tr td:nth-child({column + 1})").all()
    return [float(cell.get_attribute("data-sort") or "nan") for cell in cells]


def test_a_click_on_a_heading_sorts(shown: Opened) -> None:
    page = shown.page
    assert numbers(page, 1) == sorted(numbers(page, 1), reverse=True)
    heading = page.locator("#time thead th", has_text="Calls")
    heading.locator("button").click()
    assert numbers(page, 2) == sorted(numbers(page, 2), reverse=True)
    assert heading.get_attribute("aria-sort") == "descending"
    heading.locator("button").press("Enter")  # the keyboard does it, too
    assert numbers(page, 2) == sorted(numbers(page, 2))
    assert heading.get_attribute("aria-sort") == "ascending"
    page.locator("#time thead th button").first.click()
    texts = page.locator("#time tbody summary").all_inner_texts()
    assert texts == sorted(texts, key=str.lower)


def test_a_narrow_screen_sorts_by_a_list(browser: Browser, url: str) -> None:
    page = opened(browser, url, 420).page
    assert not page.locator("#time thead").is_visible()
    page.locator("#time select").select_option(label="Rows read per call")
    assert numbers(page, 7) == sorted(numbers(page, 7), reverse=True)
    assert numbers(page, 7)[0] > 2000
    page.close()


def test_the_filter_leaves_what_has_all_of_its_words(shown: Opened) -> None:
    page = shown.page
    page.fill("#filter", "CUSTOMER select")
    rows = [(row.text_content() or "").lower() for row in page.locator("tbody tr:visible").all()]
    assert rows
    assert all("customer" in row and "select" in row for row in rows)
    assert re.fullmatch(rf"{len(rows)} of \d+ rows match", page.locator("#filtered").inner_text())
    page.fill("#filter", "")
    assert page.locator("tbody tr:visible").count() > len(rows)
    assert page.locator("#filtered").inner_text() == ""


def test_a_statement_opens_from_where_it_is_named(shown: Opened) -> None:
    page = shown.page
    page.locator("#repeats tbody tr a").first.click()
    details = page.locator("details[open]")
    details.wait_for()
    assert "FROM customer\nWHERE customer.id = ?" in details.inner_text()
    assert "in list_orders" in details.inner_text()


def test_refreshing_keeps_order_filter_and_what_is_open(shown: Opened) -> None:
    page = shown.page
    page.locator("#time thead th", has_text="Calls").locator("button").click()
    page.fill("#filter", "orders")
    page.locator("#time tbody tr:visible summary").first.click()
    before = page.locator("#time tbody tr:visible").all_inner_texts()
    old = page.locator("main").element_handle()
    page.click("#refresh")
    page.wait_for_function("old => !old.isConnected", arg=old)
    assert page.locator("#time tbody tr:visible").all_inner_texts() == before
    assert page.locator("details[open]").count() == 1
    assert shown.complaints == []


def test_it_can_be_used_by_keyboard_alone(shown: Opened) -> None:
    page = shown.page
    reached = set()
    while True:
        page.keyboard.press("Tab")
        focus = "document.activeElement"
        if page.evaluate(f"{focus} === document.body"):
            break
        assert page.evaluate(f"getComputedStyle({focus}).outlineStyle") != "none"
        reached.add(page.evaluate(f"{focus}.id || {focus}.closest('summary, th, nav, td, li').localName"))
    assert reached == {"filter", "refresh", "live", "li", "nav", "th", "summary", "td"}


def crowded() -> str:
    """The page of an application with 60 statements, all of whose names are as long as names can be."""
    word = "w" * 300
    part = Part(process=Process("p", word, 1, word, 0.0, 1.0), totals=Totals(statements=60))
    for number in range(60):
        text = f"SELECT {word}.{word}, {word} FROM {word} WHERE {word} = ? AND number{number} = ?"
        entry = StatementEntry(f"s{number}", word, text, f"SELECT {word}", places={f"{word}.py:1 in {word}": 7})
        entry.times.note(0.001 * (number + 1))
        entry.rows_read = 1000
        entry.scans = [FullScan(word, word, (f"CREATE INDEX {word} ON {word} ({word})",))]
        part.statements.append(entry)
    part.repeats.append(RepeatEntry("r", word, "s1", "s2", word, False, 1, 100, 100, 1.0, 100))
    part.conflicts.append(ConflictEntry("c", word, word, f"row {word}", True, 9, 9, {"s1": 9}, {"s2": 9}, 1, {word: 9}))
    commit = CommitEntry("w", word, word, word)
    commit.times.note(1.0)
    part.commits.append(commit)
    return document(merged([part]))


@pytest.mark.parametrize("width", [420, 1280])
def test_long_words_do_not_widen_the_page(browser: Browser, tmp_path: Path, width: int) -> None:
    file = tmp_path / "crowded.html"
    file.write_text(crowded())
    page = opened(browser, file.as_uri(), width).page
    for details in page.locator("details").all():
        details.evaluate("each => { each.open = true }")
    assert page.evaluate("document.documentElement.scrollWidth") == width
    page.close()


def test_a_long_table_shows_its_first_rows_at_first(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "crowded.html"
    file.write_text(crowded())
    page = opened(browser, file.as_uri()).page
    rows = page.locator("#time tbody tr:visible")
    assert rows.count() == 25
    page.fill("#filter", "number7")
    assert rows.count() == 1
    page.fill("#filter", "")
    page.locator("#time").get_by_role("button", name="Show all 60 rows").click()
    assert rows.count() == 60
    assert not page.locator("#time .rest").is_visible()
    page.goto(f"{file.as_uri()}#scan-s0")  # a row that is hidden
    page.locator("#scan-s0").wait_for()
    page.close()


def test_a_file_is_complete_by_itself(browser: Browser, tmp_path: Path) -> None:
    file = tmp_path / "shop.html"
    subprocess.run([sys.executable, EXAMPLE, "--html", file], check=True, capture_output=True)
    page, complaints, requests = opened(browser, file.as_uri())
    page.locator("#time thead th", has_text="Calls").locator("button").click()
    assert numbers(page, 2) == sorted(numbers(page, 2), reverse=True)
    assert page.locator("#refresh").count() == 0
    assert complaints == []
    assert {request for request in requests if request != file.as_uri()} <= {"data:,"}
    page.close()
