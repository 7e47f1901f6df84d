"""Time the answer of avae explore to a slider: the handler alone, and in a browser until it is seen.

    python benchmarks/explore.py RUN [--data DATA]

Needs the extra `explore`, Playwright, and Chromium (the one on the path, or Playwright's own).
"""

import argparse
import shutil
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from playwright.sync_api import sync_playwright

from avae.explore import html
from avae.explore.drawn import draw
from avae.explore.explored import Explored, open_explored
from avae.explore.serve import serving
from avae.explore.stage import first_shown, nearest_pictures
from avae.load_data import load_dataset_for
from avae.model import load
from avae.recipes.saved_run import read_run

SMALLEST = ["run", "--count", "2"]

SLIDE = """async ([selector, value]) => {
  const shown = () => [...document.querySelectorAll("#panels img")].map(image => image.src).join();
  const slider = document.querySelector(selector), before = shown(), start = performance.now();
  const move = () => { slider.value = value; slider.dispatchEvent(new Event("input", {bubbles: true})); };
  move();
  for (let waited = 1; shown() == before; waited++) {
    await new Promise(resolve => setTimeout(resolve, 1));
    if (waited % 3000 == 0) move();  // the page had not started to listen
  }
  await new Promise(requestAnimationFrame);
  return (performance.now() - start) / 1000;
}"""

SLIDERS = {
    "realism": ("#realism input[type=range]", 0.02),
    "direction": ("#directions input[type=range]", 0.1),
}
"""Each slider, and a move of it: a multiple of its step, so that every move changes the picture."""


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("--data", help="by default that of the run")
    parser.add_argument("--count", type=int, default=30, help="moves of each slider")
    options = parser.parse_args(arguments)
    model = load(options.run, device="cpu")
    saved = read_run(options.run)
    explored = open_explored(model, load_dataset_for(model, options.data or saved.config.data))
    print("| what | median, s | slowest, s |\n|---|---|---|")
    for name, seconds in (
        handler_times(explored, options.count) | browser_times(explored, options.count)
    ).items():
        print(f"| {name} | {statistics.median(seconds):.3f} | {max(seconds):.3f} |")


def handler_times(explored: Explored, count: int) -> dict[str, list[float]]:
    """Return the seconds of the function that answers a slider, without and with the map."""
    first = first_shown(explored)

    def answer(amount: float, shows_map: bool) -> None:
        amounts = (amount, *[0.0] * (len(explored.directions) - 1))
        shown = replace(first, amounts=amounts, shows_map=shows_map)
        html.panels(draw(explored, shown))
        nearest_pictures(explored, shown)

    return {
        "handler": _timed(lambda number: answer(number / count, False), count),
        "handler, with the map": _timed(lambda number: answer(number / count, True), count),
    }


def browser_times(explored: Explored, count: int) -> dict[str, list[float]]:
    """Return the seconds from moving a slider to the new picture in the page."""
    found = {}
    with serving(explored, "127.0.0.1", None) as address, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.goto(address)
        page.wait_for_selector("#panels img")
        page.wait_for_selector("#source input[type=file]", state="attached")  # its script has started
        for name, (selector, move) in SLIDERS.items():
            found[f"browser, {name}"] = _moves(page, selector, move, range(1, count + 2))
        page.check("#invented input")
        page.wait_for_timeout(1000)
        back = range(-1, -count - 2, -1)
        found["browser, direction, with the map"] = _moves(page, *SLIDERS["direction"], back)
        browser.close()
    return found


def _moves(page: Any, selector: str, move: float, numbers: range) -> list[float]:
    """Return the seconds of moves to these numbers of moves from 0; the first warms up."""
    return [page.evaluate(SLIDE, [selector, round(move * number, 2)]) for number in numbers][1:]


def _timed(call: Callable[[int], None], count: int) -> list[float]:
    call(0)
    seconds = []
    for number in range(count):
        start = time.perf_counter()
        call(number + 1)
        seconds.append(time.perf_counter() - start)
    return seconds


if __name__ == "__main__":
    main()
