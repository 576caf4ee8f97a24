/** Views of which one is shown, behind tabs that the arrow keys move through (the tab pattern of WAI-ARIA). */

import { html } from "#elements.js";

/** @typedef {import("#store.js").View} View */
/** @typedef {import("#state.js").ViewName} ViewName */

/**
 * Shows a view, and moves the focus to its tab.
 * @param {import("#store.js").Store} store
 * @param {ViewName} view
 * @param {Partial<import("#state.js").State>} [change] of the state beside the view
 */
export function goToTab(store, view, change = {}) {
  store.set({ ...change, view });
  document.getElementById(`tab-${view}`)?.focus();
}

/**
 * @param {import("#store.js").Store} store
 * @param {[ViewName, string, View][]} views name, title and content
 * @returns {View}
 */
export function tabs(store, views) {
  const names = views.map(([name]) => name);
  const buttons = views.map(([name, title]) =>
    html(
      "button",
      {
        type: "button",
        role: "tab",
        id: `tab-${name}`,
        "aria-controls": `view-${name}`,
        onclick: () => store.set({ view: name }),
      },
      title,
    ),
  );
  const panels = views.map(([name, , { element }]) =>
    html("div", { role: "tabpanel", id: `view-${name}`, "aria-labelledby": `tab-${name}`, tabindex: 0 }, element),
  );
  const list = html("div", { role: "tablist", "aria-label": "Views", onkeydown: moveFocus }, ...buttons);

  /** @param {KeyboardEvent} event */
  function moveFocus(event) {
    const at = names.indexOf(store.state.view);
    const next = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: names.length - 1 }[event.key];
    if (next === undefined) return;
    event.preventDefault();
    const index = (next + names.length) % names.length;
    store.set({ view: names[index] });
    buttons[index].focus();
  }

  return {
    element: html("section", { class: "panel views", "aria-label": "Views" }, list, ...panels),
    update(model) {
      const chosen = names.indexOf(model.state.view);
      buttons.forEach((button, i) => {
        button.setAttribute("aria-selected", String(i === chosen));
        button.tabIndex = i === chosen ? 0 : -1;
      });
      panels.forEach((panel, i) => (panel.hidden = i !== chosen));
      views[chosen][2].update(model);
    },
  };
}
