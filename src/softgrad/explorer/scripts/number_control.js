/** A number that is moved by a slider and typed into a field. */

import { html } from "#elements.js";
import { parse } from "#numbers.js";

/** @typedef {object} Range @property {number} low @property {number} high @property {boolean} [logarithmic] */

/**
 * @param {string} id
 * @param {Range} range of both; a logarithmic slider moves the exponent
 * @param {(value: number) => void} change
 */
export function numberControl(id, { low, high, logarithmic = false }, change) {
  const position = logarithmic ? Math.log10 : (/** @type {number} */ value) => value;
  const slider = html("input", {
    id,
    type: "range",
    min: position(low),
    max: position(high),
    step: 0.01,
    oninput: () => change(logarithmic ? Number((10 ** Number(slider.value)).toPrecision(3)) : Number(slider.value)),
  });
  const number = html("input", { class: "number", type: "text", inputmode: "decimal", onchange: () => readNumber() });
  const label = html("label", { for: id });
  const element = html("div", { class: "number-control" }, label, slider, number);

  function readNumber() {
    const value = parse(number.value);
    if (value !== null && value >= low && value <= high) change(value);
    else number.setCustomValidity(`expected a number from ${low} to ${high}; received ${number.value}`);
    number.reportValidity();
  }

  return {
    element,
    /**
     * @param {number} value
     * @param {string} text of the label
     * @param {string} [name] what the number is, if the label alone does not say it
     */
    update(value, text, name = text) {
      label.textContent = text;
      slider.setAttribute("aria-label", name);
      number.setAttribute("aria-label", `${name}, as a number`);
      number.setCustomValidity("");
      number.value = String(value);
      slider.value = String(position(value));
      slider.setAttribute("aria-valuetext", String(value));
    },
  };
}
