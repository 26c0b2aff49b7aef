"""A person at Airflow's own pages: what is clicked and typed there, and what is waited for.

With AM_PAGE_SCREENSHOTS=FOLDER pictures are kept, in light and dark.
"""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from playwright.sync_api import TimeoutError as NotInTime
from playwright.sync_api import expect

if TYPE_CHECKING:
    from datetime import date

    from playwright.sync_api import Browser, FrameLocator, Locator, Page, Response

_PICTURES = "AM_PAGE_SCREENSHOTS"
# For what only has to be drawn, on a machine that is busy.
_PAGE_MS = 30_000.0
#: For what a task, a run or a look into staging has to do first.
RUN_MS = 90_000.0


class Person:
    """Somebody who is logged in, or not yet.

    :param browser: the browser.
    :param url: Airflow's.
    """

    def __init__(self, browser: Browser, url: str) -> None:
        self.url = url
        context = browser.new_context(viewport={"width": 1400, "height": 900}, color_scheme="light")
        context.set_default_timeout(_PAGE_MS)
        expect.set_options(timeout=_PAGE_MS)
        self.request = context.request
        self.window: Page = context.new_page()

    def log_in(self, user: str, password: str, *, at: str = "/") -> None:
        """Open a page of Airflow's, which leads to the login and back."""
        window = self.window
        window.goto(f"{self.url}{at}")
        window.locator("input[name=username]").fill(user)
        window.locator("input[name=password]").fill(password)
        window.locator("input[name=password]").press("Enter")
        expect(window.get_by_role("link", name="Audience Manager").first).to_be_visible()

    def page(self, place: str = "") -> FrameLocator:
        """The page *Audience Manager*, in Airflow's frame.

        :param place: what stands after ``#``.
        """
        self.window.goto(f"{self.url}/plugin/audience-manager{place}")
        return self.frame

    @property
    def frame(self) -> FrameLocator:
        """The page where the window is, also as a tab."""
        return self.window.frame_locator("iframe[title='Audience Manager']")

    def trigger(self, dag_id: str) -> str:
        """Trigger a DAG by the form as it opens; gives back the run's ID."""
        form = self._open_form(dag_id)
        self.picture("trigger")
        with self.window.expect_response(_is_new_run) as answer:
            form.get_by_test_id("trigger-dag-submit").click()
        return str(answer.value.json()["dag_run_id"])

    def backfill(self, dag_id: str, first: date, last: date) -> None:
        """Start a backfill by the form, for all days that have no run yet."""
        form = self._open_form(dag_id)
        form.get_by_text("Backfill", exact=True).click()
        for number, day in enumerate((first, last)):
            form.get_by_test_id("datetime-input").nth(number).click()
            field = self.window.get_by_placeholder("YYYY/MM/DD")
            field.fill(f"{day:%Y/%m/%d}")
            field.blur()
            form.get_by_text("Date Range").click()
            expect(field).to_be_hidden()
        days = (last - first).days + 1
        expect(form.get_by_text(f"{days} runs will be triggered.")).to_be_visible()
        self.picture("backfill")
        form.get_by_role("button", name="Run Backfill").click()
        expect(form).to_be_hidden()

    def answer(self, dag_id: str, run_id: str, task_id: str, option: str, reason: str) -> None:
        """Answer the question of a task under *Required Actions*."""
        window = self.window
        window.goto(f"{self.url}/dags/{dag_id}/runs/{run_id}/tasks/{task_id}/required_actions")
        field = window.locator("#element_reason")
        field.fill(reason)
        field.blur()
        self.picture(f"question-{option.lower()}")
        with window.expect_response(re.compile("hitlDetails")):
            window.get_by_role("button", name=option, exact=True).click()

    def until(self, found: Locator, count: int) -> None:
        """Load the page again until it shows so many, as with the next look into staging."""
        deadline = time.monotonic() + RUN_MS / 1000
        while found.count() != count:
            assert time.monotonic() < deadline, found.all_inner_texts()
            self.window.reload()
            with suppress(NotInTime):
                found.first.wait_for(timeout=5_000)

    def picture(self, name: str) -> None:
        """Keep a picture in light and in dark, if somebody wants them."""
        folder = os.environ.get(_PICTURES)
        if not folder:
            return
        for mode in ("light", "dark"):
            self.window.emulate_media(color_scheme=mode)
            self.window.evaluate("mode => document.documentElement.className = mode", mode)
            self.window.screenshot(path=str(Path(folder) / f"airflow-{name}-{mode}.png"))
        self.window.emulate_media(color_scheme="light")
        self.window.evaluate("document.documentElement.className = 'light'")

    def _open_form(self, dag_id: str) -> Locator:
        self.window.goto(f"{self.url}/dags/{dag_id}")
        self.window.get_by_role("button", name="Trigger Dag").click()
        form = self.window.get_by_role("dialog").filter(has_text=dag_id)
        expect(form).to_be_visible()
        return form


def _is_new_run(answer: Response) -> bool:
    return answer.request.method == "POST" and answer.url.endswith("/dagRuns")
