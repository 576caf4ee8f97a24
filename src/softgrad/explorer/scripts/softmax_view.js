/** Softmax: its formula, and a table of every number in it. */

import { html, prose, table } from "#elements.js";
import { format } from "#numbers.js";
import { classNames } from "#state.js";
import { formula } from "#formulas.js";

/** @returns {import("#store.js").View} */
export function softmaxView() {
  const numbers = html("div", { class: "scroll" });
  const element = html(
    "div",
    {},
    html(
      "p",
      {},
      ...prose(
        "A model that chooses among n classes gives each a logit z_j, which may be any number. Softmax turns the logits into probabilities σ_j: " +
          "positive numbers that add up to 1.",
      ),
    ),
    html("div", { class: "formula" }, formula("softmax")),
    html(
      "p",
      {},
      "Only differences of logits matter: move all sliders by the same amount, and no probability changes. So the ",
      "largest logit m may be subtracted first, and no exponential is too large for the computer.",
    ),
    numbers,
    html("p", { class: "note" }, "log is the natural logarithm."),
  );
  return {
    element,
    update({ state, z, row }) {
      const rows = classNames(state).map((name, j) => [
        name,
        format(z[j], 2),
        format(Math.exp(z[j] - row.max)),
        format(row.p[j]),
        format(row.logP[j]),
      ]);
      numbers.replaceChildren(
        table(
          "Softmax of every class",
          ["class", "logit z", "exp(z − m)", "softmax σ", "log σ"],
          [...rows, ["sum", "", format(1 + row.excess), "1", ""]],
        ),
      );
    },
  };
}
