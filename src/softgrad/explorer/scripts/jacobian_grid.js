/** The Jacobian as a grid of which one entry is chosen, by mouse, touch or the arrow keys, with the sums beside it. */

import { html, prose } from "#elements.js";
import { largestIn, showValue } from "#heat_map.js";
import { sum } from "#softmax.js";
import { signed } from "#numbers.js";
import { logit, sigma } from "#symbols.js";

/** @typedef {import("#store.js").Store} Store */

const DENSE = 5; // more classes than this are set in smaller cells

/** @param {Store} store */
export function jacobianGrid(store) {
  const element = html("table", { class: "heat", role: "grid", "aria-label": "Jacobian of softmax" });
  /** @type {HTMLTableCellElement[][]} */
  let cells = [];
  /** @type {HTMLElement[][]} headings of rows and of columns, sums of rows and of columns */
  let margins = [];

  /** @param {number} count */
  function build(count) {
    const indices = Array.from({ length: count }, (_, i) => i);
    element.classList.toggle("dense", count > DENSE);
    cells = indices.map((j) => indices.map((k) => entryCell(j, k)));
    /** @type {import("#elements.js").Attributes[]} */
    const kinds = [{ scope: "row" }, { scope: "col" }, { role: "gridcell" }, { role: "gridcell" }];
    margins = kinds.map((attributes, i) => indices.map(() => html(i < 2 ? "th" : "td", attributes)));
    const [rows, columns, rowSums, columnSums] = margins;
    element.replaceChildren(
      html("thead", {}, html("tr", {}, html("th", { scope: "col" }, "∂σ ╱ ∂z"), ...columns, sumHeading("col"))),
      html("tbody", {}, ...indices.map((j) => html("tr", {}, rows[j], ...cells[j], rowSums[j]))),
      html("tfoot", {}, html("tr", {}, sumHeading("row"), ...columnSums, html("td", { role: "gridcell" }))),
    );
  }

  /** @param {number} j @param {number} k */
  function entryCell(j, k) {
    return html("td", {
      role: "gridcell",
      class: j === k ? "diagonal" : "",
      onclick: () => choose(j, k),
      onkeydown: (/** @type {KeyboardEvent} */ event) => move(event, j, k),
    });
  }

  /** @param {number} j @param {number} k */
  function choose(j, k) {
    store.set({ entry: [j, k] });
    cells[j][k].focus();
  }

  /** @param {KeyboardEvent} event @param {number} j @param {number} k */
  function move(event, j, k) {
    const last = cells.length - 1;
    /** @type {Record<string, [number, number]>} */
    const targets = {
      ArrowUp: [j - 1, k],
      ArrowDown: [j + 1, k],
      ArrowLeft: [j, k - 1],
      ArrowRight: [j, k + 1],
      Home: [event.ctrlKey ? 0 : j, 0],
      End: [event.ctrlKey ? last : j, last],
    };
    const target = targets[event.key];
    if (!target) return;
    event.preventDefault();
    const [row, column] = target;
    if (cells[row]?.[column]) choose(row, column);
  }

  /**
   * @param {import("#state.js").State} state
   * @param {number[][]} matrix
   */
  function update(state, matrix) {
    const count = matrix.length;
    if (cells.length !== count) build(count);
    const largest = largestIn(matrix);
    cells.flat().forEach((cell, i) => {
      const [j, k] = [Math.floor(i / count), i % count];
      const chosen = j === state.entry[0] && k === state.entry[1];
      showValue(cell, matrix[j][k], largest);
      cell.tabIndex = chosen ? 0 : -1;
      cell.setAttribute("aria-selected", String(chosen));
    });
    matrix.forEach((_, i) => {
      margins[0][i].replaceChildren(...prose(sigma(state, i)));
      margins[1][i].replaceChildren(...prose(logit(state, i)));
      showSum(margins[2][i], matrix[i]);
      showSum(
        margins[3][i],
        matrix.map((line) => line[i]),
      );
    });
  }

  return { element, update };
}

/** @param {"row" | "col"} scope */
function sumHeading(scope) {
  return html("th", { scope, class: "sum" }, "sum");
}

/**
 * @param {HTMLElement} cell
 * @param {number[]} values
 */
function showSum(cell, values) {
  const total = sumOrZero(values);
  cell.className = total === 0 ? "sum" : "sum broken";
  cell.textContent = total === 0 ? "0" : `${signed(total)} ≠ 0`;
}

/**
 * The sum of values, and 0 if what is left of them is only their rounding.
 * @param {number[]} values
 */
export function sumOrZero(values) {
  const total = sum(values);
  return Math.abs(total) <= values.length * Number.EPSILON * sum(values.map(Math.abs)) ? 0 : total;
}
