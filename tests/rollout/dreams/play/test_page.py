"""The page in a real browser: nothing asked of elsewhere, keys that act, two tabs, films, how long a key takes."""

import time
from collections.abc import Generator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.rollout.dreams.play.browser import PROGRAM, Tab, browser
from tests.rollout.dreams.play.conftest import Served
from unified.report.video import read_video

pytestmark = [pytest.mark.slow, pytest.mark.skipif(PROGRAM is None, reason="no chromium here")]


@pytest.fixture
def tabs(server: Served) -> Generator[list[Tab]]:
    """Two tabs on the page, each with its dream begun."""
    with browser() as open_tab:
        both = [open_tab(), open_tab()]
        for tab in both:
            tab.go(server.url)
            tab.wait("window.play && window.play.moments > 0")
        yield both


def press(tab: Tab, code: str, seconds: float = 0.0) -> None:
    tab.key(code, True)
    time.sleep(seconds)  # so long it is held
    tab.key(code, False)


def test_the_page_is_played_by_keys(tabs: list[Tab], server: Served, tmp_path: Path) -> None:
    tab, other = tabs
    first = tab.ask("document.querySelector('canvas').toDataURL()")
    assert tab.ask("document.querySelectorAll('canvas').length") == 2, "the dream and the real world"
    press(tab, "Period")
    tab.wait("play.last.number == 1")
    press(tab, "Comma")
    tab.wait("play.last.number == 0")
    assert tab.ask("document.querySelector('canvas').toDataURL()") == first
    tab.ask("document.getElementById('record').click()")
    press(tab, "Space")
    press(tab, "ArrowRight", 1.5)
    tab.wait("play.last.number > 10")
    press(tab, "KeyS", 0.3)
    assert tab.wait("play.last.pushes.length == 4 && play.last.pushes.every((push) => push == 0)")
    pushed = "play.last.pushes.join()"
    tab.key("ArrowUp", True)
    assert tab.wait(f"{pushed} == '0,1,0,0'")
    tab.key("ArrowUp", False)
    tab.wait(f"{pushed} == '0,0,0,0'")
    press(tab, "Space")
    tab.wait("!play.isPlaying")
    assert tab.ask("document.querySelector('canvas').toDataURL()") != first
    tab.ask("document.getElementById('record').click()")
    saved = tab.wait("document.getElementById('message').textContent.replace('Saved ', '')")
    film = read_video(Path(saved))
    assert len(film) > 10
    assert other.ask("play.last.number") == 0, "the other tab stands still"
    delays = tab.ask("[...play.delays].sort((a, b) => a - b)")
    assert delays
    assert delays[len(delays) // 2] < 1000, "milliseconds from a key to its picture"
    own = urlsplit(server.url).netloc
    for each in tabs:
        assert {urlsplit(url).netloc for url in each.requests if not url.startswith(("data:", "blob:"))} == {own}
        assert not each.complaints
    assert len(tab.picture()) > 5_000


def test_a_start_is_picked_and_told_in_words(tabs: list[Tab]) -> None:
    tab, _ = tabs
    tab.ask("document.getElementById('name').selectedIndex = 1")
    tab.ask("document.getElementById('name').onchange()")
    tab.wait("document.getElementById('task').value.toLowerCase().includes('push')")
    tab.ask("document.getElementById('task').value = 'go home'")
    tab.ask("document.getElementById('task').oninput()")
    before = tab.ask("play.moments")
    tab.ask("document.getElementById('start').click()")
    tab.wait(f"play.moments > {before}")
    assert tab.ask("document.getElementById('task').value") == "go home"


def test_the_page_finds_its_dream_again_when_the_line_was_cut(tabs: list[Tab]) -> None:
    tab, _ = tabs
    press(tab, "Period")
    tab.wait("play.last.number == 1")
    tab.ask("play.socket.close()")
    tab.wait("play.socket.readyState == 1 && document.getElementById('message').textContent == ''")
    press(tab, "Period")
    tab.wait("play.last.number == 2")
