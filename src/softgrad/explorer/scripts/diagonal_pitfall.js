/** The warning beside "only the diagonal": which laws that matrix breaks, in numbers, and where it leads. */

import { html, prose } from "#elements.js";
import { change } from "#nudge.js";
import { stepText } from "#nudge_view.js";
import { signed } from "#numbers.js";
import { logit, sigma } from "#symbols.js";
import { goToTab } from "#tabs.js";

/** @typedef {import("#store.js").Model} Model */
/** @typedef {import("#store.js").Store} Store */

/** @param {Store} store */
export function diagonalPitfall(store) {
  const laws = html("ul");
  const element = html(
    "div",
    { class: "careful" },
    html("p", { role: "status" }, html("strong", {}, "Only the diagonal: this matrix is wrong.")),
    html("p", {}, "It forgets that every logit is in the denominator of every σ. Three laws fail:"),
    laws,
    html(
      "button",
      { type: "button", onclick: () => goToTab(store, "descent", { method: "diagonal" }) },
      "See where gradient descent goes with it",
    ),
  );

  /** @param {Model} model */
  function update(model) {
    element.hidden = !model.state.diagonalOnly;
    laws.replaceChildren(...brokenLaws(model).map((law) => html("li", {}, ...prose(law))));
  }

  return { element, update };
}

/** @param {Model} model */
function brokenLaws({ state, row, jacobian }) {
  const [j, k] = state.entry;
  const other = j === k ? (k + 1) % row.p.length : j;
  const moved = change(jacobian[other][k], row.p[k], state.step);
  return [
    "Each row must sum to 0, because the same number added to all logits changes no probability. " +
      `The row of ${sigma(state, j)} sums to ${signed(jacobian[j][j])}.`,
    "Each column must sum to 0, because the probabilities keep the sum 1. " +
      `The column of ${logit(state, k)} sums to ${signed(jacobian[k][k])}.`,
    `The nudge is off: as if ${sigma(state, other)} did not depend on ${logit(state, k)}. ` +
      `A step h = ${stepText(state.step)} changes it by ${signed(moved)}.`,
  ];
}
