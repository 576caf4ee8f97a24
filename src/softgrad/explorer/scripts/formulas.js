/** Formulas that the page was built with, as MathML, with numbers in the place of symbols where they are given. */

/**
 * A copy of a formula.
 * @param {string} name of the template in the page
 * @param {Record<string, string>} [values] what stands for "{name}" in it
 * @returns {Element}
 */
export function formula(name, values = {}) {
  const template = document.getElementById(`formula-${name}`);
  if (!(template instanceof HTMLTemplateElement) || !template.content.firstElementChild) {
    throw new Error(`no formula ${name} in the page`);
  }
  const math = /** @type {Element} */ (template.content.firstElementChild.cloneNode(true));
  for (const leaf of math.querySelectorAll("mi, mn, mtext")) {
    const slot = /^\{(.+)\}$/.exec(leaf.textContent ?? "");
    if (!slot) continue;
    if (!(slot[1] in values)) throw new Error(`formula ${name} needs a value for ${slot[1]}`);
    leaf.textContent = values[slot[1]];
  }
  return math;
}
