"""Pages as a parser reads them, and as Chromium lays them out in a light and a dark theme and at three widths."""

import json
import re
import shutil
import subprocess
from html import escape, unescape
from html.parser import HTMLParser

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WIDTHS = [320, 400, 1200]
THEMES = {"dark": 0, "light": 1}  # Blink's numbers of preferred colour schemes
# No GPU and no sandbox, as in containers; no traffic of the browser's own; no data of the user's browser.
OPTIONS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

# What every page is asked: `all` is querySelectorAll as an array; colours as luminances and contrasts of WCAG 2.
PROBE = """
const measure = (frame) => {
  const page = frame.contentDocument, root = page.documentElement, view = frame.contentWindow;
  const all = (selector) => [...page.querySelectorAll(selector)];
  const box = (element) => element.getBoundingClientRect();
  const luminance = (color) => {
    const parts = color.match(/[\\d.]+/g).slice(0, 3).map(Number);
    const [r, g, b] = (color.startsWith("color(") ? parts : parts.map((v) => v / 255)).map(
      (v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const ground = (element) => {
    for (; element; element = element.parentElement) {
      const color = view.getComputedStyle(element).backgroundColor;
      if (color !== "rgba(0, 0, 0, 0)") return color;
    }
  };
  const contrast = (element) => {
    const style = view.getComputedStyle(element);
    const pair = [element.closest("svg") ? style.fill : style.color, ground(element)].map(luminance);
    pair.sort((a, b) => b - a);
    return (pair[0] + 0.05) / (pair[1] + 0.05);
  };
  return {
    width: view.innerWidth,
    overflow: root.scrollWidth - root.clientWidth,
    requests: view.performance.getEntriesByType("resource").filter((entry) => !entry.name.startsWith("data:")).length,
    ground: luminance(ground(page.querySelector("h1"))),
    ...(MEASURE)({page, root, all, box, ground, contrast}),
  };
};
addEventListener("load", () => {
  document.body.dataset.report = JSON.stringify([...document.querySelectorAll("iframe")].map(measure));
});
"""


class Reader(HTMLParser):
    """Checks that elements are closed in order, and collects the contents of a page."""

    def __init__(self, content):
        super().__init__()
        self.open, self.seen, self.self_closed, self.attributes, self.text = [], [], [], [], []
        self.feed(content)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.seen.append(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]
        if tag not in {"meta", "mspace", "br"}:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.seen.append(tag)
        self.self_closed.append(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open:
            self.text.append(data)


def measured(pages, measure, theme, folder):
    """For each page, an object per width: what PROBE finds, and what the function `measure`, in JavaScript, adds."""
    frames = "".join(
        f'<iframe srcdoc="{escape(page)}" width="{width}" height="900" style="border:0"></iframe>'
        for page in pages
        for width in WIDTHS
    )
    script = PROBE.replace("MEASURE", measure)
    path = folder / "frames.html"
    path.write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><body>{frames}<script>{script}</script></body>', encoding="utf-8"
    )
    run = subprocess.run(
        [
            CHROMIUM, *OPTIONS, f"--user-data-dir={folder / 'profile'}",
            f"--blink-settings=preferredColorScheme={THEMES[theme]}", "--virtual-time-budget=10000", "--dump-dom",
            path.as_uri(),
        ],
        capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    reports = json.loads(unescape(re.search(r'data-report="([^"]*)"', run.stdout).group(1)))
    assert len(reports) == len(pages) * len(WIDTHS)
    return [reports[start : start + len(WIDTHS)] for start in range(0, len(reports), len(WIDTHS))]
