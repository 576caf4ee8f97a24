"""Size and first paint of the page of ``softgrad explore``.

``python -m benchmarks.explorer`` prints the size of the page, and two times from the start of its navigation in
headless Chromium: to its first contentful paint, which is the heading, and until its scripts have drawn the pictures.
Each is the median, the fastest and the slowest of ten visits in new contexts, from a file. It needs Playwright, a
Chromium on PATH and ``softgrad[derivation]``.
"""

from __future__ import annotations

import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import softgrad.explorer

if TYPE_CHECKING:
    from collections.abc import Iterator

VISITS = 10
_TIMES = """() => new Promise((resolve) => new PerformanceObserver((list) => {
  const paint = list.getEntriesByName("first-contentful-paint")[0];
  const [navigation] = performance.getEntriesByType("navigation");
  if (paint) resolve([paint.startTime, navigation.domContentLoadedEventEnd]);
}).observe({ type: "paint", buffered: true }))"""


def main() -> None:
    """Print the size in kB and the times in ms."""
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if chromium is None:
        sys.exit("error: no Chromium on PATH")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "explorer.html"
        path.write_text(softgrad.explorer.page(), encoding="utf-8")
        visits = list(_visits(chromium, path.as_uri()))
        print(f"size         {path.stat().st_size / 1000:7.1f} kB")
    for name, times in zip(("first paint", "pictures"), zip(*visits, strict=True), strict=True):
        print(f"{name:12} {statistics.median(times):7.1f} ms  ({min(times):.1f} to {max(times):.1f})")


def _visits(chromium: str, address: str) -> Iterator[list[float]]:
    """Visit the page in one browser; yields the milliseconds to the first paint and to the pictures."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for _ in range(VISITS):
            context = browser.new_context(viewport={"width": 1280, "height": 800})
            page = context.new_page()
            page.goto(address)
            yield page.evaluate(_TIMES)
            context.close()
        browser.close()


if __name__ == "__main__":
    main()
