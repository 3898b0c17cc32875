"""A person reviews captions on the report page, in headless Chromium.

Covers: ten tracks by keys and clicks, kept after a reload, saved, applied, exported, shown again and read as training
pairs; undo; tags; filters by review, tag and certainty; `review sample`; names for screen readers; 420 px.
"""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from jobs.cli import app
from pipeline.training.pair_files import read_pairs
from tests.browser import BROWSER_MARKS, Page, opened_browser
from tests.finished_output import caption_row, write_captions

pytestmark = BROWSER_MARKS
HEADING = "#detail h2"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with opened_browser(tmp_path_factory.mktemp("browser")) as tab:
        yield tab


@pytest.fixture
def page(browser: Page, output: Path) -> Page:
    """The tab with the page of the output."""
    browser.reset()
    browser.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(output.parent))
    muscaps("report", output, output / "report.html", "--spectrograms", 0)
    browser.open(output / "report.html")
    return browser


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Twelve captioned tracks with alternatives, tags and evidence; the first is the least certain."""
    rows = []
    for n in range(12):
        tags = [("instrument", "piano", 0.9), ("instrument", "drums", 0.3), ("mood", "dark", 0.6)]
        rows.append(
            caption_row(
                n,
                caption=f"A dark piano piece {n}.",
                alternatives=[{"caption": f"A piano tune {n}.", "log_prob": -7.0}],
                tags=[dict(zip(("facet", "tag", "score"), tag, strict=True)) for tag in tags],
                evidence=[{"word": "piano", "tag": "piano", "score": 0.4 + 0.05 * n}],
            )
        )
    write_captions(tmp_path / "output", rows)
    return tmp_path / "output"


def muscaps(*words: Any) -> str:
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return str(result.stdout)


def saved(page: Page, file: Path) -> list[dict[str, Any]]:
    """Save the reviews and read the file."""
    page.click("#save-reviews")
    deadline = time.monotonic() + 20
    while not file.exists():
        assert time.monotonic() < deadline, f"{file} was not saved"
        time.sleep(0.05)
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_ten_reviews_reach_exports_and_training(page: Page, output: Path) -> None:
    for _ in range(4):
        page.key("a")  # tracks 0 to 3
    page.key("r")  # 4
    page.key("1")  # 5: the alternative
    page.key("e")  # 6
    page.run("document.querySelector('.edit textarea').select()")
    page.type("A calm piano piece, written anew.")
    page.key("Enter")
    page.click(".tag", "drums")  # 7
    page.click(".tag", "dark")
    page.click(".review-button.accepted")
    page.key("r")  # 8
    page.key("a")  # 9
    assert page.text("#progress-text") == "10 of 12 reviewed"
    assert page.text(HEADING) == "Track 10"

    page.open(output / "report.html")
    assert page.text("#progress-text") == "10 of 12 reviewed"
    file = output.parent / "reviews.jsonl"
    lines = saved(page, file)
    assert [line["verdict"] for line in lines] == [*4 * ["accepted"], "rejected", "edited", "edited", "accepted",
                                                   "rejected", "accepted"]  # fmt: skip
    assert muscaps("review", "apply", output, file).startswith("10 reviews written: 6 accepted, 2 edited, 2 rejected")

    muscaps("export", output, output.parent / "x.jsonl")
    rows = [json.loads(line) for line in (output.parent / "x.jsonl").read_text().splitlines()]
    assert [row["caption"] for row in rows[4:8]] == [
        None, "A piano tune 5.", "A calm piano piece, written anew.", "A dark piano piece 7.",
    ]  # fmt: skip
    assert sum(row["reviewed_by_human"] for row in rows) == 10
    assert {(tag["tag"], tag["score"]) for tag in rows[7]["tags"]} == {("piano", 0.9), ("drums", 1.0)}
    assert len(read_pairs(str(output))) == 8
    assert json.loads(muscaps("review", "score", output, "--json"))["total"]["share_accepted"] == 0.6

    page.run("localStorage.clear()")
    muscaps("report", output, output / "report.html", "--spectrograms", 0)
    page.open(output / "report.html")
    assert page.text("#progress-text") == "10 of 12 reviewed"
    assert page.run("document.querySelectorAll('.row.track.rejected').length") == 2
    assert page.problems == []


def test_undo_goes_back_to_the_track(page: Page, output: Path) -> None:
    page.key("a")
    page.key("r")
    page.key("u")
    assert (page.text("#progress-text"), page.text(HEADING)) == ("1 of 12 reviewed", "Track 1")
    page.click(".review-bar button", "Undo")
    assert (page.text("#progress-text"), page.text(HEADING)) == ("0 of 12 reviewed", "Track 0")
    assert page.run("document.getElementById('save-reviews').disabled")


def test_an_edit_can_be_cancelled_and_an_unchanged_text_is_accepted(page: Page) -> None:
    page.key("e")
    page.type(" with a")
    page.key("Escape")
    assert page.text("#detail blockquote p") == "A dark piano piece 0."
    page.key("e")
    page.key("Enter")
    assert page.run("document.querySelector('.row.track').classList.contains('accepted')")


def test_filters_by_review_tag_and_certainty(page: Page) -> None:
    def pick(name: str, label: str) -> str:
        select = f"document.getElementById({name!r})"
        option = f"[...{select}.querySelectorAll('option')].find((o) => o.textContent.startsWith({label!r}))"
        page.run(f"{select}.value = {option}.value; {select}.dispatchEvent(new Event('change'))")
        return page.text("#count")

    page.key("a")
    assert pick("review-pick", "Not reviewed") == "11 of 12 tracks"
    assert pick("certainty-pick", "below 0.5") == "1 of 12 tracks"
    page.key("ArrowDown")
    page.key("a")  # a reviewed track leaves the list
    assert page.text("#count") == "0 of 12 tracks"
    assert page.text("#detail") == "No track matches any more."
    assert pick("review-pick", "Accepted") == "2 of 12 tracks"
    assert pick("certainty-pick", "Any") == "2 of 12 tracks"
    assert pick("tag-pick", "dark") == "2 of 12 tracks"


def test_without_a_match_no_track_is_open_and_keys_decide_nothing(page: Page) -> None:
    def search(text: str) -> None:
        box = "document.getElementById('filter')"
        page.run(f"{box}.value = {text!r}; {box}.dispatchEvent(new Event('input'))")

    search("nothing of that name")
    page.wait_for("document.querySelector('#count').textContent.startsWith('0 of')")
    assert page.text("#detail") == "No track matches."
    for key in ("a", "r", "1", "ArrowDown", "Enter"):
        page.key(key)
    assert page.text("#progress-text") == "0 of 12 reviewed"
    search("")
    page.wait_for("document.querySelector('#detail h2') !== null")
    assert page.text(HEADING) == "Track 0"
    assert page.problems == []


def test_a_sample_has_the_least_certain_tracks_without_a_review(page: Page, output: Path) -> None:
    page.key("a")
    file = output.parent / "reviews.jsonl"
    saved(page, file)
    muscaps("review", "apply", output, file)
    assert "review.html" in muscaps("review", "sample", output, 3, "--by", "least-certain", "--spectrograms", 0)
    page.run("localStorage.clear()")
    page.open(output / "review.html")
    assert page.run("[...document.querySelectorAll('.name b')].map((b) => b.textContent)") == [
        "Track 1", "Track 2", "Track 3",
    ]  # fmt: skip
    file.unlink()
    page.key("a")
    [line] = saved(page, file)
    assert (line["sample"], line["certainty"]) == ("least_certain", 0.45)


def test_screen_readers_get_names_states_and_messages(page: Page) -> None:
    unnamed = """[...document.querySelectorAll('button, select, input, textarea, [role=group], progress')].filter((n) =>
        !(n.getAttribute('aria-label') || n.textContent.trim() || n.closest('label'))).length"""
    assert page.run(unnamed) == 0
    page.click(".tag", "drums")
    assert page.run("document.querySelectorAll('.tag')[1].getAttribute('aria-pressed')") == "true"
    page.key("a")
    assert page.text("#announced") == "Accepted: Track 0. 1 of 12 reviewed"
    assert page.run("document.querySelector('.row .sign').getAttribute('aria-label')") == "Accepted"
    page.key("e")
    assert "Caption of Track 1" in page.run("document.activeElement.getAttribute('aria-label')")


def test_reviewing_fits_420_pixels(page: Page) -> None:
    page.size(420, 800)
    page.click(".row.track")
    assert page.run("document.getElementById('detail').scrollWidth") <= 420
    page.click(".review-button.accepted")
    assert page.text(HEADING) == "Track 1"
    assert page.run("getComputedStyle(document.getElementById('detail')).position") == "fixed"
    page.click("#detail .close")
    assert page.run("document.documentElement.scrollWidth") <= 420
    assert page.run(
        "[...document.querySelectorAll('.row.track > .text')].every((n) => n.scrollHeight <= n.clientHeight + 1)"
    )
