/** Cross-entropy of the logits and a target: the loss, its gradient in two parts, and its Hessian. */

import { html, prose, svg, table } from "#elements.js";
import { className, classNames } from "#state.js";
import { formula } from "#formulas.js";
import { largestIn, smallHeatMap } from "#heat_map.js";
import { format, signed } from "#numbers.js";
import { targetView } from "#target_view.js";
import { curvature } from "#cross_entropy.js";

/** @typedef {import("#store.js").Model} Model */

const BAR = 26; // pixels from one class to the next
const WIDE = 4; // classes, above which the Hessian has the width of the page

/** @param {import("#store.js").Store} store @returns {import("#store.js").View} */
export function crossEntropyView(store) {
  const target = targetView(store);
  const parts = [lossPart(), gradientPart(), hessianPart()];
  const sections = [{ title: "Target", part: target }, ...parts].map(({ title, part }) =>
    html("section", {}, html("h3", {}, title), part.element),
  );
  return {
    element: html(
      "div",
      {},
      html(
        "p",
        {},
        "Cross-entropy is a loss: the less probability softmax gives to the label, the true class, the larger it is. ",
        "Its unit is the nat, as log is the natural logarithm.",
      ),
      html("div", { class: "columns" }, ...sections),
    ),
    update(model) {
      target.update(model);
      parts.forEach(({ part }) => part.update(model));
      sections[sections.length - 1].classList.toggle("wide", model.hessian.length > WIDE);
    },
  };
}

function lossPart() {
  const shown = html("div", { class: "formula" });
  const numbers = html("div", { class: "scroll" });
  const note = html("p", { class: "note" });
  return {
    title: "Loss",
    part: {
      element: html("div", {}, shown, numbers, note),
      /** @param {Model} model */
      update(model) {
        shown.replaceChildren(formula(model.state.zLoss ? "loss-z" : "loss"));
        numbers.replaceChildren(
          table("Terms of the loss, in nats", ["class", "y", "log σ", "−y log σ"], lossRows(model)),
        );
        note.textContent = lossNote(model);
      },
    },
  };
}

/** @param {Model} model */
function lossRows({ state, row, target, loss }) {
  // 0·log 0 = 0: a class without weight adds nothing, even if it is masked.
  const terms = target.y.map((y, j) => (y === 0 ? 0 : -y * row.logP[j]));
  const rows = classNames(state).map((name, j) => [name, format(target.y[j]), format(row.logP[j]), format(terms[j])]);
  const zLoss = state.zLoss * row.lse ** 2;
  const extra = state.zLoss ? [["ζ lse²", "", "", format(zLoss)]] : [];
  return [...rows, ...extra, ["loss ℓ", format(target.mass), "", format(loss)]];
}

/** @param {Model} model */
function lossNote({ state, row, target }) {
  const masked = row.p.findIndex((p, j) => p === 0 && target.y[j] > 0 && row.logP[j] === -Infinity);
  if (masked >= 0) {
    return `The loss is ∞: ${className(state, masked)} has the target weight ${format(target.y[masked])} and the probability 0.`;
  }
  return state.zLoss ? `lse = log Σ exp(z) = ${format(row.lse)}; the z-loss keeps it near 0.` : "";
}

function gradientPart() {
  const shown = html("div", { class: "formula" });
  const chart = html("div", { class: "gradient-bars", "aria-hidden": "true" });
  const numbers = html("div", { class: "scroll" });
  const note = html("p", {});
  const residual = html("div", { class: "formula" }, formula("residual"));
  return {
    title: "Gradient",
    part: {
      element: html("div", {}, shown, chart, numbers, note, residual),
      /** @param {Model} model */
      update(model) {
        const terms = gradientTerms(model);
        shown.replaceChildren(formula(model.state.zLoss ? "gradient-z" : "gradient"));
        chart.replaceChildren(...gradientBars(model, terms));
        numbers.replaceChildren(gradientTable(model, terms));
        note.replaceChildren(...prose(gradientNote(model)));
        residual.hidden = !isResidual(model);
      },
    },
  };
}

/**
 * The terms of the gradient's components: −y_k, σ_k Σ y, and 2ζ lse σ_k.
 * @param {Model} model
 */
function gradientTerms({ state, row, target }) {
  const terms = [
    { name: "−y", kind: "minus", values: target.y.map((y) => -y) },
    { name: "+σ Σ y", kind: "plus", values: row.p.map((p) => p * target.mass) },
  ];
  const slope = 2 * state.zLoss * row.lse;
  return state.zLoss ? [...terms, { name: "+2ζ lse σ", kind: "extra", values: row.p.map((p) => slope * p) }] : terms;
}

/** @param {Model} model @param {ReturnType<typeof gradientTerms>} terms */
function gradientTable({ state, gradient }, terms) {
  return table(
    "Terms of the gradient",
    ["class", ...terms.map(({ name }) => name), "sum"],
    classNames(state).map((name, k) => [name, ...terms.map(({ values }) => signed(values[k])), signed(gradient[k])]),
  );
}

/**
 * Bars to both sides of 0: negative terms to the left, positive ones to the right, and a mark at their sum.
 * @param {Model} model
 * @param {ReturnType<typeof gradientTerms>} terms
 */
function gradientBars({ state, gradient }, terms) {
  const ends = gradient.map((_, k) => stack(terms.map(({ values }) => values[k])));
  const reach = Math.max(1e-300, ...ends.flat(2).map(Math.abs));
  /** @param {number} value */
  const x = (value) => `${50 + (48 * value) / reach}%`;
  const bars = ends.flatMap((spans, k) => [
    ...spans.map(([from, to], i) =>
      svg("rect", {
        class: terms[i].kind,
        x: x(Math.min(from, to)),
        y: k * BAR + 4,
        width: `${(48 * Math.abs(to - from)) / reach}%`,
        height: BAR - 10,
      }),
    ),
    svg("line", { class: "sum", x1: x(gradient[k]), x2: x(gradient[k]), y1: k * BAR + 1, y2: (k + 1) * BAR - 3 }),
  ]);
  const height = BAR * gradient.length;
  return [
    html(
      "div",
      { class: "key" },
      ...terms.map(({ name, kind }) => html("span", {}, html("i", { class: kind }), name)),
      html("span", {}, html("i", { class: "sum" }), "sum"),
    ),
    html("div", { class: "bar-names" }, ...classNames(state).map((name) => html("span", {}, name))),
    svg("svg", { height }, svg("line", { class: "axis", x1: "50%", x2: "50%", y1: 0, y2: height }), ...bars),
  ];
}

/** Where each value begins and ends if those of one sign are placed end to end. @param {number[]} values */
function stack(values) {
  const ends = { below: 0, above: 0 };
  return values.map((value) => {
    const side = value < 0 ? "below" : "above";
    const from = ends[side];
    ends[side] += value;
    return [from, ends[side]];
  });
}

/** Whether the gradient is σ − y. @param {Model} model */
function isResidual({ state, target }) {
  return Math.abs(target.mass - 1) < 1e-9 && !state.zLoss;
}

/** @param {Model} model */
function gradientNote(model) {
  const { state, row, target, gradient } = model;
  const label = target.y.indexOf(1);
  if (isResidual(model) && label >= 0) {
    const name = className(state, label);
    return (
      `y is one-hot, so the gradient is σ_k − y_k: σ − 1 = ${format(gradient[label])} for ${name}, ` +
      "and σ itself for every other class."
    );
  }
  if (isResidual(model)) return "The weights y add up to 1, so the gradient is σ_k − y_k:";
  if (target.mass === 0) return "All weights are 0, so cross-entropy and its gradient are 0.";
  const factor = format(target.mass + 2 * state.zLoss * row.lse);
  return state.zLoss
    ? `The gradient is not σ − y: the factor of σ is Σ y + 2ζ lse = ${factor}. It is 0 where σ_k = y_k/Σ y and lse = 0.`
    : `The gradient is not σ − y: the factor of σ is Σ y = ${factor}. It is 0 where σ_k = y_k/Σ y.`;
}

function hessianPart() {
  const shown = html("div", {});
  const numbers = html("div", { class: "scroll" });
  const note = html("p", { class: "note" });
  return {
    title: "Hessian",
    part: {
      element: html("div", {}, shown, numbers, note),
      /** @param {Model} model */
      update({ state, row, target, hessian }) {
        const { a, b } = curvature(row, target);
        const names = state.zLoss ? ["hessian-z", "a", "b"] : ["hessian-entry", "hessian"];
        shown.replaceChildren(...names.map((name) => html("div", { class: "formula" }, formula(name))));
        numbers.replaceChildren(
          smallHeatMap("Second derivatives of the loss", classNames(state), hessian, largestIn(hessian)),
        );
        note.textContent = state.zLoss
          ? `Here a = ${format(a)} and b = ${format(b)}; J = Diag(σ) − σσᵀ is the Jacobian of softmax.`
          : `H is Σ y = ${format(a)} times the Jacobian of softmax. Which class is the label does not matter.`;
      },
    },
  };
}
