/** Parts that scroll are in the order of the Tab key, so that the arrow keys reach what is hidden. */

/** @param {HTMLElement} element whose parts are looked at whenever its size changes */
export function watchScrollers(element) {
  const observer = new ResizeObserver(() => {
    for (const part of /** @type {NodeListOf<HTMLElement>} */ (element.querySelectorAll(".scroll, .formula"))) {
      const reachable = part.querySelector("button, input, [tabindex]") !== null;
      const scrolls = part.scrollWidth > part.clientWidth || part.scrollHeight > part.clientHeight;
      if (scrolls && !reachable) part.tabIndex = 0;
      else part.removeAttribute("tabindex");
    }
  });
  observer.observe(element);
}
