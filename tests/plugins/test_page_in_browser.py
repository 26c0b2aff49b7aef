"""The page in Airflow's UI, used with a browser: views, links, and what it says of faults.

The answers are made up (`page_server.py`); that the server side gives such answers is tested there.
With AM_PAGE_SCREENSHOTS=FOLDER each view is kept as a picture.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.browsers import chromium
from tests.plugins import page_deliveries
from tests.plugins.page_server import PageServer, served

if TYPE_CHECKING:
    from collections.abc import Iterator

    from playwright.sync_api import Browser, Page

pytest.importorskip("playwright", reason="extra 'page' is not installed")
from playwright.sync_api import expect

pytestmark = pytest.mark.slow

AXE = Path(__file__).parents[2] / "ui" / "node_modules" / "axe-core" / "axe.min.js"
AXE_RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


@pytest.fixture(scope="module")
def server() -> Iterator[PageServer]:
    with served() as page_server:
        yield page_server


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as started:
        yield started


@pytest.fixture
def page(server: PageServer, browser: Browser) -> Iterator[Page]:
    """A window in which nothing goes wrong unseen and nothing is loaded from elsewhere."""
    server.fails_with, server.batches, server.is_indexed = None, [], True
    server.asked.clear()
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    context.set_default_timeout(10_000)
    window = context.new_page()
    wrong: list[str] = []
    window.on("pageerror", lambda error: wrong.append(str(error)))
    window.on("console", lambda said: wrong.append(said.text) if is_wrong(said) else None)
    window.on(
        "request",
        lambda sent: wrong.append(sent.url) if not sent.url.startswith(server.url) else None,
    )
    yield window
    context.close()
    assert wrong == []


def is_wrong(said: Any) -> bool:
    # The browser itself writes down each answer that is not 200, and what it thinks of the rights
    # that Airflow gives to its frame.
    usual = ("Failed to load resource", "can escape its sandboxing")
    return said.type in ("error", "warning") and not any(text in said.text for text in usual)


def first(server: PageServer, **wanted: object) -> dict[str, Any]:
    return next(
        row for row in server.deliveries if all(row[name] == is_ for name, is_ in wanted.items())
    )


def picture(page: Page, name: str) -> None:
    if folder := os.environ.get("AM_PAGE_SCREENSHOTS"):
        page.screenshot(path=str(Path(folder) / f"{name}.png"), full_page=True)


def fits(page: Page, width: int) -> bool:
    """Whether nothing is wider than the window; a chart takes its new width in the frame after.

    Asked from here: the page's policy forbids what a browser would have to evaluate to wait itself.
    """
    for _ in range(100):
        if page.evaluate("document.documentElement.scrollWidth") <= width:
            return True
        page.wait_for_timeout(100)
    return False


def violations(page: Page, rules: list[str]) -> list[str]:
    page.evaluate(AXE.read_text())
    found = page.evaluate("rules => axe.run(document, {runOnly: rules})", rules)
    return [
        f"{one['id']}: {node['target']} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]


def test_deliveries_that_are_not_done_with_come_first_and_more_come_when_wanted(
    page: Page, server: PageServer
) -> None:
    page.goto(server.page)
    expect(page.get_by_text("200 deliveries, 5 outstanding")).to_be_visible()
    groups = page.locator("tr.group")
    expect(groups).to_have_text(["Outstanding", "Finished"])
    expect(page.locator("tr.outstanding")).to_have_count(5)
    rows = page.locator("tbody tr:not(.group)")
    expect(rows).to_have_count(50)
    newest = server.deliveries[0]
    expect(rows.first).to_contain_text(f"{newest['rows_read']:,}")
    expect(rows.first).to_contain_text("no items 24")
    expect(rows.first).to_contain_text("and 2 more reasons")
    page.get_by_role("button", name="Show more").click()
    expect(rows).to_have_count(100)
    assert "cursor=50" in server.asked[-1]
    # What a state does not say stands in the row, and what is not in the list beside it.
    failing = first(server, standing="sending_failed")
    row = page.locator("tr.attention").filter(has_text="sending failed")
    expect(row).to_contain_text("Sending failed and is not finished.")
    expect(row).to_contain_text("S3 answered 403 AccessDenied")
    expect(page.get_by_role("link", name="failed runs in Airflow")).to_have_attribute(
        "href", "/dag_runs?state=failed"
    )
    page.get_by_role("link", name="2 need attention").click()
    expect(page.locator("tr.attention")).to_have_count(2)
    row.get_by_role("link").first.click()
    clear = page.get_by_role("link", name="Clear the upload in Airflow")
    expect(clear).to_have_attribute("href", f"{failing['run_url']}/tasks/upload")


def test_filters_are_in_the_address_and_a_link_brings_them_back(
    page: Page, server: PageServer
) -> None:
    page.goto(server.page)
    page.get_by_label("Search").press_sequentially("loy", delay=200)
    expect(page).to_have_url(re.compile("q=lo"))
    expect(page.get_by_label("Search")).to_be_focused()
    page.get_by_label("State").select_option("failed")
    page.get_by_label("Data source").select_option("1201")
    page.get_by_label("Runs").select_option("false")
    page.get_by_label("From (UTC)").fill("2020-01-01")
    page.get_by_label("Search").fill("loyalty")
    wanted = {"state": "failed", "target_data_source": "1201", "is_backfill": False}
    count = sum(all(row[name] == is_ for name, is_ in wanted.items()) for row in server.deliveries)
    assert count > 1
    expect(page).to_have_url(re.compile("q=loyalty"))
    expect(page.get_by_role("status")).to_contain_text(f"{count} deliveries")
    address = page.url
    page.goto("about:blank")
    page.goto(address)
    expect(page.get_by_label("State")).to_have_value("failed")
    expect(page.get_by_label("Search")).to_have_value("loyalty")
    expect(page.get_by_role("status")).to_contain_text(f"{count} deliveries")
    with page.expect_download() as download:
        page.get_by_role("button", name="Export as CSV").click()
    assert len(download.value.path().read_text().splitlines()) == 1 + count
    page.get_by_label("Search").fill("there is no such")
    expect(page.get_by_text("No delivery matches")).to_be_visible()
    picture(page, "no-match")
    page.get_by_role("button", name="Clear filters").click()
    expect(page.get_by_role("status")).to_contain_text("200 deliveries")


def test_one_delivery_says_what_became_of_its_rows(page: Page, server: PageServer) -> None:
    row = first(server, state="reconciled", dag_id="daily_crm", times_sent=2)
    page.goto(f"{server.page}#/deliveries/{row['delivery_id']}")
    for text in (f"{row['rows_read']:,}", f"{row['stored']:,}"):
        expect(page.locator(".funnel")).to_contain_text(text)
    expect(page.locator(".funnel")).to_contain_text(f"−{row['rows_set_aside']} set aside")
    expect(page.get_by_role("region", name="Table of files")).to_contain_text("s3://demdex")
    expect(page.locator(".ladder").first.locator("li.reached")).to_have_count(3)
    expect(page.get_by_role("region", name="Set aside")).to_contain_text("Show the rest")
    expect(page.get_by_role("region", name="Guard", exact=True)).to_contain_text(
        "median of the last 7"
    )
    expect(page.get_by_role("region", name="Sent 2 times")).to_contain_text("sent again by anna")
    expect(page.locator("time").first).to_have_attribute("title", re.compile("Local time"))
    expect(page.get_by_role("link", name="Open the run in Airflow")).to_be_visible()
    expect(page.get_by_role("link", name=re.compile("Clear"))).to_have_count(0)
    expect(page.locator(".ladder").last).to_contain_text("Counted – only a receipt says so")
    page.goto(f"{server.page}#/deliveries/{first(server, state='sent')['delivery_id']}")
    waiting = page.get_by_role("region", name="Waiting for Audience Manager")
    expect(waiting).to_contain_text("mailbox adobe_mail")
    expect(waiting).to_contain_text("5 min")
    page.goto(f"{server.page}#/deliveries/{first(server, state='failed')['delivery_id']}")
    expect(page.locator(".note-box.red")).to_contain_text("The guard: 48,210 lines")
    page.goto(f"{server.page}#/deliveries/none")
    expect(page.get_by_role("alert")).to_contain_text("There is no such delivery")
    # It has only just been made: the page asks again by itself.
    server.deliveries.append({**row, "delivery_id": "none"})
    expect(page.locator(".funnel")).to_be_visible()
    server.deliveries.pop()


def test_the_keyboard_is_enough(page: Page, server: PageServer) -> None:
    page.goto(server.page)
    link = page.locator("tbody a").first
    expect(link).to_be_visible()
    for _ in range(25):
        page.keyboard.press("Tab")
        if link.evaluate("link => link === document.activeElement"):
            break
    expect(link).to_be_focused()
    assert link.evaluate("link => getComputedStyle(link).outlineStyle") == "solid"
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=2, name=re.compile("Data source 478"))).to_be_visible()
    expect(page.locator("main")).to_be_focused()
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="← Deliveries")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("tr.group").first).to_be_visible()


def test_who_is_logged_out_is_led_to_the_login(page: Page, server: PageServer) -> None:
    server.fails_with = 401
    page.goto(server.page)
    login = page.get_by_role("link", name="Log in again")
    expect(login).to_have_attribute("href", re.compile(r"api/v2/auth/login\?next=%2Faudience"))
    picture(page, "logged-out")
    page.goto(f"{server.page}#/charts")
    expect(page.get_by_role("link", name="Log in again")).to_have_count(1)


def test_a_server_that_is_away_is_said_and_asked_again(page: Page, server: PageServer) -> None:
    page.goto(server.page)
    expect(page.locator("tr.outstanding")).to_have_count(5)
    expect(page.get_by_role("option", name="Failed", exact=True)).to_be_attached()
    page.context.set_offline(True)
    page.get_by_label("State").select_option("failed")
    expect(page.get_by_role("alert")).to_contain_text("Airflow cannot be reached")
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    expect(page.get_by_role("alert")).to_have_count(0)
    expect(page.locator("tr.outstanding")).to_have_count(0)
    server.fails_with = 503
    page.get_by_label("State").select_option("sent")
    expect(page.get_by_role("alert")).to_contain_text("The index is being built anew.")


def test_a_list_that_is_still_being_read_says_so_and_is_asked_again(
    page: Page, server: PageServer
) -> None:
    server.is_indexed = False
    page.goto(server.page)
    expect(page.get_by_text("The list is being read from staging.")).to_be_visible()
    server.is_indexed = True
    expect(page.get_by_text("as of")).to_be_visible()
    expect(page.get_by_text("The list is being read")).to_have_count(0)


def test_a_list_of_which_nothing_is_read_yet_does_not_say_that_there_is_nothing(
    page: Page, server: PageServer
) -> None:
    server.is_indexed = False
    page.goto(f"{server.page}#/deliveries?q=of-which-nothing-is-read")
    expect(page.get_by_text("Loading deliveries")).to_be_visible()
    expect(page.get_by_text("0 deliveries")).to_have_count(0)
    server.is_indexed = True
    expect(page.get_by_text("No delivery matches")).to_be_visible()


def test_in_airflows_frame_it_follows_theme_and_address_and_leads_out(
    page: Page, server: PageServer
) -> None:
    row = server.deliveries[0]
    page.goto(f"{server.url}/plugin?mode=dark#/deliveries/{row['delivery_id']}")
    frame = page.frame_locator("iframe")
    expect(frame.locator("html")).to_have_attribute("data-theme", "dark")
    expect(frame.locator("h2").first).to_contain_text("Data source")
    page.evaluate("document.documentElement.className = 'light'")
    expect(frame.locator("html")).to_have_attribute("data-theme", "light")
    frame.get_by_role("link", name="← Deliveries").click()
    expect(page).to_have_url(re.compile(r"mode=dark#/deliveries$"))
    page.evaluate("location.hash = '#/outbound'")
    expect(frame.get_by_role("link", name="Outbound")).to_have_attribute("aria-current", "page")
    frame.get_by_role("link", name="Deliveries").click()
    # Airflow's frame forbids this to a plain link.
    frame.get_by_role("link", name=row["dag_id"]).first.click()
    expect(page).to_have_url(f"{server.url}{row['run_url']}")


def test_the_tab_of_a_run_shows_its_deliveries_alone(page: Page, server: PageServer) -> None:
    row = first(server, dag_id="daily_crm", is_backfill=False)
    scope = f"dag_id={row['dag_id']}&run_id={row['run_id']}&map_index={{MAP_INDEX}}"
    page.goto(f"{server.page}?{scope}")
    expect(page.get_by_role("status")).to_contain_text("1 delivery")
    expect(page.get_by_label("DAG")).to_have_count(0)
    assert all("MAP_INDEX" not in asked for asked in server.asked)
    picture(page, "tab-of-a-run")


def test_charts_have_their_figures_as_tables_and_lead_to_deliveries(
    page: Page, server: PageServer
) -> None:
    page.goto(f"{server.page}#/charts")
    expect(page.locator(".chart > svg[role=img]")).to_have_count(5)
    records = page.get_by_role("region", name="Records by day", exact=True)
    records.get_by_text("Show as a table").click()
    day = server.deliveries[30]["created_at"][:10]
    stored = sum(
        row["stored"] or 0 for row in server.deliveries if row["created_at"].startswith(day)
    )
    assert stored
    expect(records.locator("tbody")).to_contain_text(f"{stored:,}")
    expect(page.get_by_text("Lowest allowed: 90 %")).to_be_visible()
    expect(page.get_by_text("Limit: 24 hours")).to_be_visible()
    expect(page.get_by_role("region", name="Days until traits expire")).to_contain_text("9 days")
    records.locator(".hover-mark").nth(3).hover()
    expect(records.locator(".hover")).to_contain_text("Stored")
    page.get_by_label("Period").select_option("90")
    expect(page).to_have_url(re.compile("days=90"))
    page.locator(".filters").get_by_label("Data source").select_option("1201")
    expect(page).to_have_url(re.compile("data_source=1201"))
    # The calendar is one stop for the tab key; arrows walk in it.
    cell = page.locator(".calendar a[tabindex='0']")
    cell.focus()
    page.keyboard.press("ArrowLeft")
    expect(cell).not_to_be_focused()
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("deliveries.*day="))
    expect(page.get_by_role("button", name=re.compile("Window of"))).to_be_visible()
    assert any("day=" in asked for asked in server.asked)


def test_outbound_batches(page: Page, server: PageServer) -> None:
    page.goto(f"{server.page}#/outbound")
    expect(page.get_by_text("No batches yet")).to_be_visible()
    server.batches = page_deliveries.batches()
    page.reload()
    expect(page.locator("tbody tr")).to_have_count(len(server.batches))
    expect(page.get_by_role("status")).to_contain_text("5 batches")
    rows = page.locator("tbody tr")
    expect(rows.nth(0)).to_contain_text("no batch of this day")
    expect(rows.nth(1)).to_contain_text("has 1,024 of 8,192 bytes")
    expect(rows.nth(3)).to_contain_text("1,199,997")
    page.get_by_label("State").select_option("missing")
    expect(rows).to_have_count(2)
    expect(page).to_have_url(re.compile("state=missing"))
    expect(rows.nth(1).get_by_role("link", name="arrived")).to_have_attribute(
        "href", re.compile("tasks/arrived$")
    )


@pytest.mark.skipif(not AXE.exists(), reason="axe-core is not here: scripts/ui.sh brings it")
def test_everybody_can_use_each_view(page: Page, server: PageServer) -> None:
    failed = first(server, state="failed")["delivery_id"]
    whole = first(server, state="reconciled", dag_id="daily_crm")["delivery_id"]
    server.batches = page_deliveries.batches()
    stuck = first(server, standing="sending_failed")["delivery_id"]
    waits = first(server, state="sent")["delivery_id"]
    views = {
        "sending-failed": f"#/deliveries/{stuck}",
        "waiting": f"#/deliveries/{waits}",
        "deliveries": "#/deliveries?since=" + server.deliveries[20]["created_at"][:10],
        "failed": f"#/deliveries/{failed}",
        "reconciled": f"#/deliveries/{whole}",
        "charts": "#/charts",
        "outbound": "#/outbound",
        "empty": "#/deliveries?q=none",
        "wrong": "#/nowhere",
    }
    for name, place in views.items():
        page.goto(server.page + place)
        expect(page.locator(".card, .empty, table").first).to_be_visible()
        expect(page.get_by_text("Loading")).to_have_count(0)
        for mode in ("light", "dark"):
            page.emulate_media(color_scheme=mode)
            # Only colours differ between the two.
            rules = AXE_RULES if mode == "light" else ["color-contrast"]
            assert violations(page, rules) == [], (name, mode)
            picture(page, f"{name}-{mode}")
        page.set_viewport_size({"width": 800, "height": 900})
        assert fits(page, 800), name
        picture(page, f"{name}-narrow")
        page.set_viewport_size({"width": 1280, "height": 900})
