/** Probabilities of three classes as points of a triangle: a corner is a class with probability 1. */

import { html, svg } from "#elements.js";

const WIDTH = 300;
const HEIGHT = 272;
const CORNERS = [
  [150, 28],
  [276, 246],
  [24, 246],
];
/** @type {[number, number, string][]} where the names of the classes are written: inside the picture, however long */
const NAMES = [
  [150, 18, "middle"],
  [282, 264, "end"],
  [18, 264, "start"],
];

/** @param {number[]} p @returns {[number, number]} */
function place(p) {
  const along = (/** @type {number} */ axis) => p.reduce((total, pj, j) => total + pj * CORNERS[j][axis], 0);
  return [along(0), along(1)];
}

/** @param {number[][]} path @param {string} kind */
function trace(path, kind) {
  const points = path.map((p) =>
    place(p)
      .map((value) => value.toFixed(1))
      .join(),
  );
  return svg("polyline", { class: `trace ${kind}`, points: points.join(" ") });
}

/** @param {number[]} p @param {number} size */
function cross(p, size) {
  const [x, y] = place(p);
  const d = `M${x - size} ${y - size}l${2 * size} ${2 * size}m0 ${-2 * size}l${-2 * size} ${2 * size}`;
  return svg("path", { class: "target", d });
}

export function simplex() {
  const key = html("p", { class: "note" });
  const picture = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}` });
  const element = html(
    "div",
    { class: "simplex", "aria-hidden": "true" },
    html("p", { class: "chart-title" }, "σ in the triangle of probabilities"),
    picture,
    key,
  );
  return {
    element,
    /**
     * @param {string[]} names of the three classes
     * @param {number[][]} path
     * @param {number[][]} other path to compare with; may be empty
     * @param {number[] | null} target probabilities, if there are any
     * @param {string} dashed what the other path is
     */
    update(names, path, other, target, dashed) {
      key.textContent = ["○ start", "● now", "✕ target y/Σ y", ...(dashed ? [`dashed: ${dashed}`] : [])].join(", ");
      const [x0, y0] = place(path[0]);
      const [x, y] = place(path[path.length - 1]);
      picture.replaceChildren(
        svg("polygon", { class: "frame", points: CORNERS.join(" ") }),
        ...names.map((name, j) => {
          const [at, line, anchor] = NAMES[j];
          return svg("text", { x: at, y: line, "text-anchor": anchor }, name);
        }),
        trace(other, "dashed"),
        trace(path, "line"),
        ...(target ? [cross(target, 6)] : []),
        svg("circle", { class: "start", cx: x0, cy: y0, r: 5 }),
        svg("circle", { class: "now", cx: x, cy: y, r: 5 }),
      );
    },
  };
}
