/** Elements of the document, created in one expression. */

/** @typedef {Node | string | number} Child */
/** @typedef {Record<string, string | number | boolean | ((event: any) => void)>} Attributes */

/**
 * An HTML element. A function is a listener ("onclick"), true an attribute without a value, false no attribute.
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {HTMLElementTagNameMap[Tag]}
 */
export function html(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  fill(element, attributes, children);
  return element;
}

/**
 * An SVG element.
 * @template {keyof SVGElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Attributes} [attributes]
 * @param {...Child} children
 * @returns {SVGElementTagNameMap[Tag]}
 */
export function svg(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  fill(element, attributes, children);
  return element;
}

/**
 * @param {Element} element
 * @param {Attributes} attributes
 * @param {Child[]} children
 */
function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") element.addEventListener(name.slice(2), value);
    else if (value !== false) element.setAttribute(name, value === true ? "" : String(value));
  }
  element.append(...children.map((child) => (child instanceof Node ? child : String(child))));
}

/**
 * A sentence as nodes: an index such as in "σ_k", "δ_jk" or "σ_{cat}" becomes a subscript.
 * @param {string} text
 */
export function prose(text) {
  const parts = text.split(/(?<=[δσyz])_(\{.*?\}|[jk]+)/);
  return parts.map((part, i) => (i % 2 ? html("sub", {}, part.replaceAll(/^\{|\}$/g, "")) : part));
}

/**
 * A table: a caption, the headings of its columns, and rows that begin with their heading.
 * @param {string} caption
 * @param {Child[]} columns
 * @param {Child[][]} rows
 */
export function table(caption, columns, rows) {
  return html(
    "table",
    {},
    html("caption", {}, caption),
    html("thead", {}, html("tr", {}, ...columns.map((column) => html("th", { scope: "col" }, column)))),
    html(
      "tbody",
      {},
      ...rows.map(([first, ...cells]) =>
        html("tr", {}, html("th", { scope: "row" }, first), ...cells.map((cell) => html("td", {}, cell))),
      ),
    ),
  );
}

/**
 * A choice of one of several buttons, as radio buttons that look like one bar.
 * @template {string} Value
 * @param {string} legend
 * @param {[Value, string][]} options value and label
 * @param {(value: Value) => void} choose
 */
export function choice(legend, options, choose) {
  const name = `choice-${legend.replaceAll(/\W+/g, "-")}`;
  const inputs = options.map(([value]) => html("input", { type: "radio", name, value, onchange: () => choose(value) }));
  const element = html(
    "fieldset",
    { class: "choice" },
    html("legend", {}, legend),
    ...options.map(([, label], i) => html("label", {}, inputs[i], html("span", {}, label))),
  );
  return {
    element,
    /** @param {Value} value */
    set: (value) => inputs.forEach((input) => (input.checked = input.value === value)),
  };
}
