"""The report page in a real browser, headless Chromium over its debugging port.

Covers: page and 5,000 rows; hostile titles and captions; filter, sort and keyboard; spectrogram and attention
of a chosen track; light, dark and narrow; no network requests; no console error.
"""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import soundfile

from pipeline.reading.report import ReportConfig, write_report
from tests.browser import BROWSER_MARKS, Page, opened_browser
from tests.finished_output import (
    STARTED,
    caption_row,
    failure_row,
    write_captions,
    write_failures,
    write_run,
)

pytestmark = BROWSER_MARKS
HOSTILE = "</script><script>document.title='owned'</script><img src=x onerror=\"document.title='owned'\">"

FAINT_TEXTS = """
(() => {
  const probe = document.createElement('canvas').getContext('2d', { willReadFrequently: true });
  const rgb = (c) => { probe.clearRect(0, 0, 1, 1); probe.fillStyle = c; probe.fillRect(0, 0, 1, 1); return [...probe.getImageData(0, 0, 1, 1).data]; };
  const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => { v /= 255; return v <= .03928 ? v / 12.92 : ((v + .055) / 1.055) ** 2.4; }); return .2126 * r + .7152 * g + .0722 * b; };
  const behind = (n) => { for (; n; n = n.parentElement) { const c = rgb(getComputedStyle(n).backgroundColor); if (c[3] > 250) return c; } return [255, 255, 255]; };
  const bad = [];
  for (const n of document.querySelectorAll('body *')) {
    if (!n.offsetParent || ![...n.childNodes].some((t) => t.nodeType === 3 && t.textContent.trim())) continue;
    const a = light(rgb(getComputedStyle(n).color)), b = light(behind(n));
    const ratio = (Math.max(a, b) + .05) / (Math.min(a, b) + .05);
    if (ratio < 4.5) bad.push(`${n.tagName}.${n.className}: ${ratio.toFixed(2)}`);
  }
  return bad;
})()
"""  # noqa: E501
"""Texts whose contrast with their background is below 4.5."""


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with opened_browser(tmp_path_factory.mktemp("browser")) as tab:
        yield tab


@pytest.fixture
def page(browser: Page) -> Page:
    """The tab, as a new one would be."""
    browser.reset()
    return browser


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of 5,000 tracks and 60 failures, one of each hostile."""
    output = tmp_path_factory.mktemp("large")
    rows = [caption_row(n) for n in range(5_000)]
    rows[0] |= {"track_id": HOSTILE, "title": HOSTILE, "artist": HOSTILE, "caption": f"{HOSTILE} zyzzyva \u2028"}
    write_captions(output, rows)
    failures = [failure_row(n, created_at=STARTED + timedelta(seconds=40 * n)) for n in range(60)]
    failures[0] |= {"message": HOSTILE, "track_id": HOSTILE + "2", "error_type": HOSTILE}
    write_failures(output, failures)
    write_run(output, wall_seconds=3_500.0, note=HOSTILE)
    file = output / "report.html"
    write_report(ReportConfig(output=str(output), file=str(file), title=HOSTILE, max_spectrograms=0))
    return file


@pytest.fixture(scope="module")
def with_audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of four tracks with audio, attention and segments."""
    output = tmp_path_factory.mktemp("with-audio")
    seconds = np.arange(16_000 * 12) / 16_000
    rows = []
    for n in range(4):
        soundfile.write(output / f"t ü{n}.wav", 0.3 * np.sin(2 * np.pi * (300 + 400 * n) * seconds), 16_000)
        attention = np.full((5, 4), 0.1)
        attention[:, n] = 0.7
        segments = [{"start_s": s, "end_s": s + 6.0, "caption": f"part {s}", "log_prob": -5.0} for s in (0.0, 6.0)]
        rows.append(
            caption_row(
                n, uri=str(output / f"t ü{n}.wav"), caption="a pure sine tone", attention=attention.tolist(),
                segments=segments, duration_s=12.0, num_chunks=4,
                alternatives=[{"caption": "a plain tone", "log_prob": -7.5}],
            )
        )  # fmt: skip
    write_captions(output, rows)
    file = output / "report.html"
    write_report(ReportConfig(output=str(output), file=str(file)))
    return file


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of four tracks with facts of the catalogue and evidence; one contradicts its catalogue."""
    output = tmp_path_factory.mktemp("compared")
    texts = (
        ("A fast piano piece.", "60", "tango"),
        ("Piano and <unk>.", "100", ""),
        ("A sad piano and a sad flute in a long and winding tune at a moderate tempo.", "100", ""),
        ("Drums.", "100", ""),
    )
    rows = []
    for n, (caption, bpm, label) in enumerate(texts):
        evidence = [{"word": "piano", "tag": "piano", "score": (0.4, 0.6, 0.8, 0.2)[n]}]
        tags = [{"facet": "instrument", "tag": "piano", "score": 0.9}]
        damage = "the file ends early" if n == 3 else None
        row = {"caption": caption, "bpm": bpm, "label": label, "description": f"Composer's words {n}."}
        rows.append(caption_row(n, **row, evidence=evidence, tags=tags, damage=damage))
    write_captions(output, rows)
    file = output / "report.html"
    write_report(ReportConfig(output=str(output), file=str(file)))
    return file


def count(page: Page) -> str:
    return page.run("document.getElementById('count').textContent")


def test_five_thousand_rows_open_within_two_seconds_and_few_exist(page: Page, large: Path) -> None:
    page.open(large)
    assert page.run("Number(document.documentElement.dataset.readyAfter)") < 2_000
    assert count(page) == "5,000 tracks"
    assert page.run("document.querySelectorAll('.row.track').length") < 60
    page.run("document.getElementById('viewport').scrollTop = 1e9")
    page.wait_for("[...document.querySelectorAll('.name b')].some((b) => b.textContent === 'Track 4999')")


def test_hostile_text_is_shown_and_never_run(page: Page, large: Path) -> None:
    page.open(large)
    assert page.run("document.title") == HOSTILE
    assert page.run("document.querySelector('#detail h2').textContent") == HOSTILE
    assert page.run("document.querySelectorAll('img').length") == 0
    assert page.run("document.querySelectorAll('script').length") == 2
    assert HOSTILE in page.run("document.querySelector('.failures').textContent")
    page.run("document.querySelectorAll('details').forEach((d) => { d.open = true; })")
    assert page.problems == []
    assert [url for url in page.requests if not url.startswith(("file://", "data:"))] == []


def test_filter_and_sort(page: Page, large: Path) -> None:
    page.open(large)
    page.key("/")
    page.type("zyzzyva")
    page.wait_for("document.getElementById('count').textContent === '1 of 5,000 tracks'")
    assert page.run("document.querySelector('.row.track mark').textContent") == "zyzzyva"
    page.key("Escape")
    page.wait_for("document.getElementById('count').textContent === '5,000 tracks'")
    page.type("zoe marr piano")  # folded: the artist is Zoë Marr
    page.wait_for("document.getElementById('count').textContent.includes(' of ')")
    texts = page.run("[...document.querySelectorAll('.row.track')].map((r) => r.textContent)")
    assert texts
    assert all("Zoë Marr" in text and "piano" in text for text in texts)
    page.key("Escape")
    page.wait_for("document.getElementById('count').textContent === '5,000 tracks'")
    numbers = "[...document.querySelectorAll('.row.track .certainty')].map((c) => Number(c.textContent))"
    page.run("document.querySelectorAll('#header button')[2].click()")  # log-probability: there is no evidence
    page.run("document.getElementById('viewport').scrollTop = 0")
    rising = page.run(numbers)
    assert rising == sorted(rising)
    page.run("document.querySelectorAll('#header button')[2].click()")
    falling = page.run(numbers)
    assert falling == sorted(falling, reverse=True)
    assert falling[0] > rising[-1]
    assert page.run("document.querySelectorAll('#header > *')[2].getAttribute('aria-sort')") == "descending"
    page.run("document.querySelector('.word').click()")
    page.wait_for("document.getElementById('filter').value !== ''")
    assert page.problems == []


def test_a_minus_excludes_and_all_columns_are_searched(page: Page, compared: Path) -> None:
    page.open(compared)
    page.key("/")
    for text, found in (("tango", 1), ("-tango", 3), ("piano -tango", 2), ('"sad piano"', 1)):
        page.run("document.getElementById('filter').select()")
        page.type(text)
        page.wait_for(f"document.getElementById('count').textContent === '{found} of 4 tracks'")
    assert page.problems == []


def test_contradictions_are_marked_and_come_first(page: Page, compared: Path) -> None:
    page.open(compared)
    page.run("document.querySelectorAll('#header button')[2].click()")
    first = "document.querySelector('.row.track')"
    assert page.run(f"{first}.querySelector('.beside .conflict').textContent") == "60 bpm"
    assert page.run(f"{first}.querySelector('.text .claim.conflict').textContent") == "fast"
    page.run(f"{first}.click()")
    assert "contradicts the catalogue" in page.text(".compared .conflict")
    assert "Composer's words 0." in page.text(".compared")
    page.run("[...document.querySelectorAll('.chip')].find((c) => c.textContent.startsWith('Tempo conflict')).click()")
    assert count(page) == "1 of 4 tracks"


def test_the_least_certain_come_first_by_evidence(page: Page, compared: Path) -> None:
    page.open(compared)
    page.run("document.querySelectorAll('#header button')[3].click()")
    certainties = page.run("[...document.querySelectorAll('.row.track .certainty')].map((c) => c.textContent)")
    assert certainties == ["0.20", "0.40", "0.60", "0.80"]  # the longest caption is the most certain one


def test_marks_of_words_and_damage_filter(page: Page, compared: Path) -> None:
    page.open(compared)
    chips = page.run("[...document.querySelectorAll('.chip')].map((c) => c.textContent)")
    assert {"Repeated words (1)", "<unk> (1)", "Damaged file (1)"} <= set(chips)


def test_a_filter_that_hides_the_chosen_track_chooses_a_track_of_the_table(page: Page, compared: Path) -> None:
    page.open(compared)
    heading = "document.querySelector('#detail h2').textContent"
    before = page.run(heading)
    page.click(".chip", "Damaged file")
    assert page.run(heading) == page.text(".row.track .name b") != before
    page.click(".chip", "Damaged file")
    page.key("/")
    page.type("tango")
    page.wait_for("document.getElementById('count').textContent === '1 of 4 tracks'")
    assert page.run(heading) == page.text(".row.track .name b") == before
    assert page.problems == []


def test_keys_work_without_a_click_and_moving_plays(page: Page, with_audio: Path) -> None:
    page.open(with_audio)
    heading = "document.querySelector('#detail h2').textContent"
    page.key("ArrowDown")
    assert page.run(heading) == "Track 1"
    page.wait_for("document.querySelector('#detail audio').duration === 12")  # the player shows the length
    page.key(" ")
    page.wait_for("!document.querySelector('#detail audio').paused")
    page.key(" ")
    page.wait_for("document.querySelector('#detail audio').paused")
    page.run("document.getElementById('play-on-move').click()")
    page.key("ArrowDown")
    assert page.run(heading) == "Track 2"
    page.wait_for("!document.querySelector('#detail audio').paused")
    assert page.problems == []


def test_the_keyboard_reaches_every_track(page: Page, large: Path) -> None:
    page.open(large)
    page.run("document.getElementById('viewport').focus()")
    heading = "document.querySelector('#detail h2').textContent"
    page.key("ArrowDown")
    page.key("ArrowDown")
    assert page.run(heading) == "Track 2"
    page.key("ArrowUp")
    assert page.run(heading) == "Track 1"
    assert page.run("document.getElementById('viewport').getAttribute('aria-activedescendant')") == "row-1"
    page.key("End")
    assert page.run(heading) == "Track 4999"
    assert page.run("document.querySelector('.row.track[aria-selected=true] b').textContent") == "Track 4999"
    page.key("Enter")
    assert page.run("document.activeElement.id") == "detail"
    page.key("Escape")
    assert page.run("document.activeElement.id") == "viewport"


def test_a_track_shows_attention_and_plays_segments(page: Page, with_audio: Path) -> None:
    page.open(with_audio)
    page.run("document.getElementById('viewport').focus()")
    page.key("ArrowDown")
    page.key("ArrowDown")
    assert page.run("[...document.querySelectorAll('.terms button')].map((b) => b.textContent)") == [
        "a", "pure", "sine", "tone", "(end)",
    ]  # fmt: skip
    canvas = "document.querySelector('.heat canvas')"
    alphas = f"[...{canvas}.getContext('2d').getImageData(0, 0, 4, 1).data].filter((_, i) => i % 4 === 3)"
    assert page.run(alphas) == [36, 36, 255, 36]  # 0.1 / 0.7 of 255, and the peak in the third chunk
    assert page.run("document.querySelectorAll('.stack canvas')[0].height") == 72
    page.run("document.querySelectorAll('.terms button')[1].focus()")
    assert "“pure” has its highest weight at 0:08 (70 % of its attention)" in page.run(
        "document.querySelector('#detail .hint').textContent"
    )
    assert page.run("[...document.querySelectorAll('.segs span')].map((s) => s.textContent)") == [
        "part 0.0",
        "part 6.0",
    ]
    assert "a plain tone" in page.run("document.querySelector('.alts').textContent")
    page.run("document.querySelectorAll('.segs button')[1].click()")
    page.wait_for("document.querySelector('#detail audio').currentTime >= 6")
    assert page.problems == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_has_enough_contrast(page: Page, with_audio: Path, compared: Path, scheme: str) -> None:
    page.colours(scheme)
    for file in (with_audio, compared):
        page.open(file)
        assert page.run(FAINT_TEXTS) == []
    background = page.run("getComputedStyle(document.body).backgroundColor")
    assert (background == "rgb(13, 18, 23)") == (scheme == "dark")
    page.run("document.getElementById('theme').click(); document.getElementById('theme').click()")
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(13, 18, 23)"


def test_nothing_overflows_a_narrow_screen(page: Page, with_audio: Path) -> None:
    page.size(360, 740)
    page.open(with_audio)
    assert page.run("document.documentElement.scrollWidth") <= 360
    assert not page.run("document.getElementById('detail').offsetParent")
    page.run("document.querySelector('.row.track').click()")
    assert page.run("getComputedStyle(document.getElementById('detail')).position") == "fixed"
    assert page.run("document.getElementById('detail').scrollWidth") <= 360
    page.run("document.querySelector('#detail .close').click()")
    assert page.run("getComputedStyle(document.getElementById('detail')).display") == "none"
