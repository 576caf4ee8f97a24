"""The style of HTML derivations: every rule is kept to the derivation's own element, for notebooks."""

CSS = """
.softgrad { --page: #ffffff; --ink: #1b1d21; --soft: #5a6069; --line: #dcdfe4; --tint: #f4f6f9; --accent: #1d58b3;
  --warn: #8a4b00; --warn-tint: #fff5e3; --warn-line: #e0a44a; --plus: #f6a07c; --minus: #86b6f0; --zero: #ffffff;
  --good: #1c6b3a; --bad: #b3261e; color-scheme: light dark;
  background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, "Segoe UI", "Helvetica Neue", Arial, sans-serif;
  max-width: 50rem; margin: 0 auto; padding: 1.5rem 1.25rem 2.5rem; box-sizing: border-box; overflow-wrap: break-word; }
@media (prefers-color-scheme: dark) {
  .softgrad { --page: #14161a; --ink: #e7e8ea; --soft: #a5abb5; --line: #343941; --tint: #1d2026; --accent: #8db8ff;
    --warn: #f3c27a; --warn-tint: #2c2211; --warn-line: #a8752a; --plus: #9c4a25; --minus: #2b5f9e; --zero: #1d2026;
    --good: #7fd09b; --bad: #ff9d94; } }
.softgrad *, .softgrad *::before { box-sizing: border-box; }
.softgrad .title { font-size: 1.75rem; line-height: 1.2; font-weight: 650; margin: 0 0 .4rem; letter-spacing: -.01em; }
.softgrad .heading { font-size: 1.15rem; font-weight: 650; margin: 2.2rem 0 .6rem; padding-top: .9rem;
  border-top: 1px solid var(--line); }
.softgrad .heading small { font-weight: 400; font-size: .9rem; color: var(--soft); }
.softgrad p { margin: .35rem 0; }
.softgrad .summary { font-size: 1.05rem; color: var(--soft); margin-bottom: 1.2rem; }
.softgrad math { font-size: 1.06em; font-family: "Latin Modern Math", "STIX Two Math", "Cambria Math",
  "DejaVu Math TeX Gyre", math; }
.softgrad .formula { overflow-x: auto; overflow-y: hidden; padding: .25rem 0; }
.softgrad .formula math { display: block math; width: max-content; margin: .3rem 0 .3rem 1.1rem; font-size: 1.2em;
  text-align: left; }
.softgrad .formula .branches mtd { text-align: left; padding-right: 1em; }
.softgrad .results { background: var(--tint); border-left: 4px solid var(--accent); border-radius: 6px;
  padding: .35rem .6rem; margin: 1rem 0; }
.softgrad dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; margin: 1rem 0 0; }
.softgrad dt { text-align: right; } .softgrad dd { margin: 0; color: var(--soft); }
.softgrad details { border: 1px solid var(--line); border-radius: 8px; margin: .55rem 0; background: var(--page); }
.softgrad summary { cursor: pointer; padding: .5rem .8rem; display: flex; flex-wrap: wrap; gap: .1rem .7rem;
  align-items: baseline; list-style: none; border-radius: 8px; }
.softgrad summary::-webkit-details-marker { display: none; }
.softgrad summary::before { content: "▸"; color: var(--soft); width: .8em; }
.softgrad details[open] > summary::before { content: "▾"; }
.softgrad summary:hover { background: var(--tint); }
.softgrad summary:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
.softgrad .number { color: var(--accent); font-variant-numeric: tabular-nums; font-weight: 600; }
.softgrad .rule { font-weight: 600; margin-left: .35rem; display: inline-block; }
.softgrad .rule::first-letter { text-transform: uppercase; }
.softgrad .identity, .softgrad .condition { color: var(--soft); font-size: .93em; }
.softgrad .condition { color: var(--accent); }
.softgrad .verdict { margin-left: auto; font-size: .8em; color: var(--good); }
.softgrad .verdict.fails { color: var(--bad); }
.softgrad .step { padding: 0 .9rem .6rem 2.1rem; }
.softgrad .warning { background: var(--warn-tint); border-left: 4px solid var(--warn-line); border-radius: 6px;
  padding: .5rem .8rem; margin: .5rem 0 .3rem; }
.softgrad .warning strong { color: var(--warn); }
.softgrad .numbers { overflow-x: auto; margin: .8rem 0; }
.softgrad table { border-collapse: separate; border-spacing: 3px; font-variant-numeric: tabular-nums; font-size: .93em;
  margin: 0; border: 0; background: none; }
.softgrad caption { text-align: left; padding: .2rem 0; font-weight: 600; }
.softgrad th { font-weight: 600; text-align: right; color: var(--soft); padding: .2rem .5rem; background: none; }
.softgrad td { text-align: right; padding: .35rem .55rem; min-width: 4.4em; background: none; color: var(--ink); }
.softgrad .heat td { text-align: center; border-radius: 4px; padding: .7rem .5rem; }
.softgrad .plus { background: color-mix(in srgb, var(--plus) var(--share), var(--zero)); }
.softgrad .minus { background: color-mix(in srgb, var(--minus) var(--share), var(--zero)); }
.softgrad .heat td.nil { background: var(--zero); }
.softgrad .scale { display: flex; gap: .6rem; align-items: center; font-size: .85em; color: var(--soft);
  margin-top: .3rem; }
.softgrad .scale i { width: 11rem; max-width: 45vw; height: .8rem; border-radius: 4px; border: 1px solid var(--line);
  background: linear-gradient(to right, var(--minus), color-mix(in srgb, var(--minus) 80%, var(--zero)) 18%,
  color-mix(in srgb, var(--minus) 60%, var(--zero)) 32%, color-mix(in srgb, var(--minus) 40%, var(--zero)) 42%,
  color-mix(in srgb, var(--minus) 20%, var(--zero)) 48%, var(--zero),
  color-mix(in srgb, var(--plus) 20%, var(--zero)) 52%, color-mix(in srgb, var(--plus) 40%, var(--zero)) 58%,
  color-mix(in srgb, var(--plus) 60%, var(--zero)) 68%, color-mix(in srgb, var(--plus) 80%, var(--zero)) 82%,
  var(--plus)); }
.softgrad footer { margin-top: 2rem; padding-top: .8rem; border-top: 1px solid var(--line); color: var(--soft);
  font-size: .9em; }
@media (max-width: 34rem) { .softgrad { padding-inline: .8rem; } .softgrad .step { padding-left: .9rem; }
  .softgrad .formula math { font-size: 1.05em; margin-left: .3rem; } }
@media print { .softgrad { max-width: none; padding: 0; } .softgrad details, .softgrad .warning { break-inside: avoid; }
  .softgrad td { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""

# Of the page around the derivation.
PAGE_CSS = """
body { margin: 0; background: #ffffff; }
@media (prefers-color-scheme: dark) { body { background: #14161a; } }
"""
