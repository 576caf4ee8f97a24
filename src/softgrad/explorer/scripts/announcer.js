/** Texts for screen readers, which are read out when nothing has changed for a moment. */

import { html } from "#elements.js";

const PAUSE = 600; // milliseconds

export function announcer() {
  const element = html("p", { class: "unseen", "aria-live": "polite" });
  let timer = 0;
  return {
    element,
    /** @param {string} text read out if it is another than before */
    say(text) {
      clearTimeout(timer);
      timer = window.setTimeout(() => {
        if (element.textContent !== text) element.textContent = text;
      }, PAUSE);
    },
  };
}
