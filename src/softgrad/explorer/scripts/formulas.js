/** Formulas that the page was built with, as MathML, with numbers in the place of symbols where they are given. */

/** @typedef {Record<string, string | string[]>} Values by name; a list has one value for each class */

/**
 * A copy of a formula, or of text with formulas.
 * @param {string} name of the template in the page
 * @param {Values} [values] what stands for "{name}" in it
 * @returns {Element}
 */
export function formula(name, values = {}) {
  const template = document.getElementById(`formula-${name}`);
  if (!(template instanceof HTMLTemplateElement) || !template.content.firstElementChild) {
    throw new Error(`no formula ${name} in the page`);
  }
  const copy = /** @type {Element} */ (template.content.firstElementChild.cloneNode(true));
  for (const mark of copy.querySelectorAll("mo")) if (mark.textContent === "{each}") repeat(mark, values);
  fill(copy, (slot) => single(values, slot));
  return copy;
}

/**
 * Repeats what follows a mark in its row for each class, with + between.
 * @param {Element} mark
 * @param {Values} values
 */
function repeat(mark, values) {
  const row = /** @type {Element} */ (mark.parentElement);
  mark.remove();
  const body = [...row.children];
  const count = Math.max(...Object.values(values).map((value) => (Array.isArray(value) ? value.length : 0)));
  const terms = Array.from({ length: count }, (_, i) => {
    const term = document.createElementNS(row.namespaceURI, "mrow");
    term.append(...body.map((part) => part.cloneNode(true)));
    fill(term, (slot) => (Array.isArray(values[slot]) ? values[slot][i] : single(values, slot)));
    return term;
  });
  row.replaceChildren(...terms.flatMap((term, i) => (i === 0 ? [term] : [plus(term), term])));
}

/** @param {Element} beside */
function plus(beside) {
  const sign = document.createElementNS(beside.namespaceURI, "mo");
  sign.textContent = "+";
  return sign;
}

/**
 * @param {Element} element
 * @param {(slot: string) => string} value
 */
function fill(element, value) {
  for (const leaf of element.querySelectorAll("mi, mn, mtext")) {
    const slot = /^\{(.+)\}$/.exec(leaf.textContent ?? "");
    if (slot) leaf.textContent = value(slot[1]);
  }
}

/**
 * @param {Values} values
 * @param {string} slot
 */
function single(values, slot) {
  const value = values[slot];
  if (typeof value !== "string") throw new Error(`the formula needs a value for ${slot}`);
  return value;
}
