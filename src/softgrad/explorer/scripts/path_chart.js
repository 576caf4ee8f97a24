/** Lines over the steps of a path, each with its name and last value at its end. */

import { html, svg } from "#elements.js";
import { format } from "#numbers.js";

/**
 * @typedef {object} Line
 * @property {string} name
 * @property {number[]} values by step
 * @property {string} colour
 * @property {boolean} [dashed] a line to compare with
 */

/** @typedef {object} Scale @property {number[]} ticks @property {(value: number) => number} position 0 at the bottom, 100 at the top */

const LABEL = 9; // least distance of two labels, in percent of the height
const DECADES = 2; // above which a scale is logarithmic
const LEAST_STEPS = 10; // that the horizontal axis shows

/** @param {string} title */
export function pathChart(title) {
  const heading = html("p", { class: "chart-title" });
  const ticks = html("div", { class: "ticks" });
  const labels = html("div", { class: "line-labels" });
  const lines = svg("svg", { viewBox: "0 0 100 100", preserveAspectRatio: "none" });
  const last = html("span", {});
  const element = html(
    "div",
    { class: "path-chart", "aria-hidden": "true" },
    heading,
    html("div", { class: "plot" }, ticks, lines, labels),
    html("div", { class: "steps" }, html("span", {}, "step 0"), last),
  );
  return {
    element,
    /** @param {Line[]} shown @param {Scale} scale @param {string} dashed what the dashed lines are; may be empty */
    update(shown, scale, dashed) {
      heading.textContent = dashed ? `${title} (dashed: ${dashed})` : title;
      const steps = Math.max(LEAST_STEPS, ...shown.map(({ values }) => values.length - 1));
      const levels = scale.ticks.map((value) => ({ value, top: 100 - scale.position(value) }));
      last.textContent = String(steps);
      ticks.replaceChildren(
        ...levels.map(({ value, top }) => html("span", { style: `top: ${top}%` }, tickText(value))),
      );
      lines.replaceChildren(
        ...levels.map(({ top }) => svg("path", { class: "level", d: `M0 ${top}H100` })),
        ...shown.flatMap((line) => drawn(line, scale, steps)),
      );
      labels.replaceChildren(...endLabels(shown, scale));
    },
  };
}

/** @param {Line} line @param {Scale} scale @param {number} steps */
function drawn({ values, colour, dashed = false }, scale, steps) {
  const points = values
    .map((value, i) => [(100 * i) / steps, 100 - scale.position(value)])
    .filter(([, y]) => Number.isFinite(y))
    .map(([x, y]) => `${x.toFixed(2)} ${y.toFixed(2)}`);
  if (points.length === 0) return [];
  const style = `stroke: ${colour}`;
  return [
    svg("path", { class: dashed ? "line dashed" : "line", style, d: `M${points.join("L")}` }),
    svg("path", { class: "end", style, d: `M${points[points.length - 1]}h0` }),
  ];
}

/** @param {Line[]} shown @param {Scale} scale */
function endLabels(shown, scale) {
  const ends = shown
    .filter(({ name }) => name)
    .map((line) => ({ ...line, last: line.values[line.values.length - 1] }))
    .filter(({ last }) => Number.isFinite(last));
  const tops = apart(ends.map(({ last }) => 100 - scale.position(last)));
  return ends.map(({ name, last, colour, dashed }, i) =>
    html(
      "span",
      { style: `top: ${tops[i]}%; --class: ${colour}` },
      html("i", { class: dashed ? "dashed" : "" }),
      html("b", {}, name),
      html("span", {}, format(last, 3)),
    ),
  );
}

/**
 * Positions moved apart so that labels do not cover each other, in the order of the positions.
 * @param {number[]} tops
 */
function apart(tops) {
  const order = tops.map((_, i) => i).sort((a, b) => tops[a] - tops[b]);
  const moved = [...tops];
  order.forEach((index, i) => {
    if (i > 0) moved[index] = Math.max(moved[index], moved[order[i - 1]] + LABEL);
  });
  order.reverse().forEach((index, i) => {
    const highest = i === 0 ? 100 : moved[order[i - 1]] - LABEL;
    moved[index] = Math.min(moved[index], highest);
  });
  return moved;
}

/** @param {number} value */
function tickText(value) {
  const extreme = value !== 0 && (value < 0.001 || value >= 1e6);
  return extreme ? format(value, 2).replace(/^1\.0·/, "") : String(value);
}

/** The scale of probabilities. @returns {Scale} */
export function unitScale() {
  return { ticks: [0, 0.25, 0.5, 0.75, 1], position: (value) => 100 * value };
}

/**
 * A scale of values that are not negative: logarithmic if they are positive and span decades.
 * @param {number[]} values
 * @returns {Scale}
 */
export function lossScale(values) {
  const finite = values.filter(Number.isFinite);
  const high = Math.max(0, ...finite);
  const low = Math.min(high, ...finite);
  if (low > 0 && high / low > 10 ** DECADES) return logScale(low, high);
  return high - low > 1e-6 * high ? linearScale(low, high) : linearScale(0, high || 1);
}

/** @param {number} low @param {number} high @returns {Scale} */
function linearScale(low, high) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const size = power * ([1, 2, 5].find((factor) => factor * power >= rough) ?? 10);
  const first = Math.floor(low / size);
  const count = Math.ceil(high / size) - first;
  const ticks = Array.from({ length: count + 1 }, (_, i) => Number(((first + i) * size).toPrecision(10)));
  return { ticks, position: (value) => (100 * (value / size - first)) / count };
}

/** @param {number} low @param {number} high @returns {Scale} */
function logScale(low, high) {
  const bottom = Math.floor(Math.log10(low));
  const top = Math.ceil(Math.log10(high));
  const every = Math.ceil((top - bottom) / 5);
  const ticks = Array.from({ length: Math.floor((top - bottom) / every) + 1 }, (_, i) =>
    Number(`1e${bottom + i * every}`),
  );
  return { ticks, position: (value) => (100 * (Math.log10(value) - bottom)) / (top - bottom) };
}
