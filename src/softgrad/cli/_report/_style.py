"""The style of reports: the colours of the derivations' pages (`softgrad.derivation`), on a wider page."""

CSS = """
:root { --page: #ffffff; --ink: #1b1d21; --soft: #5a6069; --line: #dcdfe4; --tint: #f4f6f9; --accent: #1d58b3;
  --plus: #f6a07c; --minus: #86b6f0; color-scheme: light dark; }
@media (prefers-color-scheme: dark) {
  :root { --page: #14161a; --ink: #e7e8ea; --soft: #a5abb5; --line: #343941; --tint: #1d2026; --accent: #8db8ff;
    --plus: #9c4a25; --minus: #2b5f9e; } }
*, *::before { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
main { max-width: 62rem; margin: 0 auto; padding: 1.5rem 1.25rem 2.5rem; overflow-wrap: break-word; }
h1 { font-size: 1.75rem; line-height: 1.2; font-weight: 650; margin: 0 0 .4rem; letter-spacing: -.01em; }
h2 { font-size: 1.15rem; font-weight: 650; margin: 2.2rem 0 .6rem; padding-top: .9rem;
  border-top: 1px solid var(--line); }
h2 small { font-weight: 400; font-size: .9rem; color: var(--soft); margin-left: .4rem; }
p { margin: .35rem 0 .8rem; max-width: 46rem; }
.summary { font-size: 1.05rem; color: var(--soft); margin-bottom: 1.2rem; max-width: none; }
.sections { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(27rem, 100%), 1fr)); gap: 0 2.4rem; }
.sections > * { min-width: 0; } .sections > .wide { grid-column: 1 / -1; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10.5rem, 1fr)); gap: .7rem; margin: 1rem 0; }
.tiles div { background: var(--tint); border-radius: 8px; padding: .7rem .9rem; display: flex;
  flex-direction: column-reverse; justify-content: flex-end; }
.tiles dt { color: var(--soft); font-size: .88rem; line-height: 1.35; }
.tiles dd { margin: 0; font-size: 1.55rem; font-weight: 650; font-variant-numeric: tabular-nums; line-height: 1.3; }
.facts { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; margin: .6rem 0; }
.facts dt { color: var(--soft); } .facts dd { margin: 0; min-width: 0; }
.facts div { display: contents; }
code { font: .9em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
pre { background: var(--tint); border-left: 4px solid var(--accent); border-radius: 6px; padding: .6rem .8rem;
  margin: .6rem 0; white-space: pre-wrap; overflow-wrap: anywhere; }
pre span { display: inline-block; max-width: 100%; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .93em; }
caption { text-align: left; padding: .2rem 0 .5rem; font-weight: 600; }
th, td { text-align: right; vertical-align: bottom; padding: .28rem .55rem; border-bottom: 1px solid var(--line); }
th { font-weight: 600; color: var(--soft); white-space: nowrap; }
th:first-child { text-align: left; padding-left: 0; }
tbody th { font-weight: 400; color: var(--ink); white-space: normal; }
tfoot th, tfoot td { border-bottom: 0; color: var(--soft); }
figure { margin: 0; } figcaption { color: var(--soft); font-size: .9em; }
svg { display: block; max-width: 100%; height: auto; }
svg * { stroke-linejoin: round; stroke-linecap: butt; }
.numbered svg { max-width: none; }
svg image { image-rendering: pixelated; }
.images { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(10.5rem, 40%), 1fr)); gap: 1rem; }
.images svg { width: 100%; border: 1px solid var(--line); border-radius: 4px; }
.images figcaption { text-align: center; font-weight: 600; color: var(--ink); }
.bars { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(19rem, 100%), 1fr)); gap: 1.4rem 1.6rem; }
.bars figure { display: flex; flex-direction: column-reverse; justify-content: flex-end; }
.bars svg { width: 100%; } .bars figcaption { font-weight: 600; color: var(--ink); font-size: 1em; }
b.plus, b.minus { font-weight: inherit; padding: 0 .3em; border-radius: 4px; }
b.plus { background: var(--plus); } b.minus { background: var(--minus); }
.scale { display: flex; gap: .6rem; align-items: center; font-size: .85em; color: var(--soft); margin-top: .8rem; }
.scale i { width: 11rem; max-width: 45vw; height: .8rem; border-radius: 4px; border: 1px solid var(--line);
  background: linear-gradient(to right, rgb(63 134 221), rgb(63 134 221 / .77) 20%, rgb(63 134 221 / .45) 40%,
  rgb(63 134 221 / .22) 47.5%, transparent, rgb(232 112 58 / .22) 52.5%, rgb(232 112 58 / .45) 60%,
  rgb(232 112 58 / .77) 80%, rgb(232 112 58)); }
footer { margin-top: 2rem; padding-top: .8rem; border-top: 1px solid var(--line); color: var(--soft); font-size: .9em; }
@media (max-width: 34rem) { main { padding-inline: .8rem; } table { font-size: .87em; }
  th, td { padding-inline: .3rem; } }
@media print { main { max-width: none; padding: 0; } .numbered svg { max-width: 100%; } h2 { break-after: avoid; }
  figure, tr, .tiles { break-inside: avoid; } * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""
