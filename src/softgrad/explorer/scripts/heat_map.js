/** The colours of heat maps: orange above zero, blue below, the stronger the larger. */

import { html } from "#elements.js";
import { signed } from "#numbers.js";

/**
 * Shows a value in a cell. The square root keeps small entries visible; the scale in style.css uses it too.
 * @param {HTMLElement} cell
 * @param {number} value
 * @param {number} largest absolute value of the picture
 */
export function showValue(cell, value, largest) {
  const share = largest === 0 ? 0 : Math.sqrt(Math.abs(value) / largest);
  cell.textContent = signed(value);
  cell.classList.toggle("plus", value > 0);
  cell.classList.toggle("minus", value < 0);
  cell.style.setProperty("--share", `${(100 * share).toFixed(1)}%`);
}

/** @param {number[][]} matrix */
export function largestIn(matrix) {
  return Math.max(...matrix.flat().map(Math.abs));
}

/**
 * A small heat map to look at.
 * @param {string} caption
 * @param {string[]} names of rows and columns
 * @param {number[][]} matrix
 * @param {number} largest absolute value that gets the full colour
 */
export function smallHeatMap(caption, names, matrix, largest) {
  const head = names.map((name) => html("th", { scope: "col" }, name));
  const rows = matrix.map((line, j) => html("tr", {}, html("th", { scope: "row" }, names[j]), ...cells(line, j)));

  /** @param {number[]} line @param {number} j */
  function cells(line, j) {
    return line.map((value, k) => {
      const cell = html("td", { class: j === k ? "diagonal" : "" });
      showValue(cell, value, largest);
      return cell;
    });
  }

  return html(
    "table",
    { class: "heat small" },
    html("caption", {}, caption),
    html("thead", {}, html("tr", {}, html("td"), ...head)),
    html("tbody", {}, ...rows),
  );
}
