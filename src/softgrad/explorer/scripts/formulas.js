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
  // Once for all, and last: a value may look like a slot.
  for (const [leaf, slot] of slots(copy)) leaf.textContent = valueOf(values, slot);
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
    for (const [leaf, slot] of slots(term)) if (Array.isArray(values[slot])) leaf.textContent = `{${slot} ${i}}`;
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
 * The leaves of a formula that are slots, with their names.
 * @param {Element} element
 * @returns {[Element, string][]}
 */
function slots(element) {
  return [...element.querySelectorAll("mi, mn, mtext")].flatMap((leaf) => {
    const slot = /^\{(.+)\}$/.exec(leaf.textContent ?? "");
    return slot ? [[leaf, slot[1]]] : [];
  });
}

/**
 * @param {Values} values
 * @param {string} slot the name of a value, and the index of a class where the value is a list
 */
function valueOf(values, slot) {
  const [name, index] = slot.split(" ");
  const value = index ? values[name][Number(index)] : values[name];
  if (typeof value !== "string") throw new Error(`the formula needs a value for ${slot}`);
  return value;
}
