/** Parts that scroll sideways are in the order of the Tab key, so that the arrow keys reach what is hidden. */

const PAUSE = 300; // milliseconds without a change of the page

/**
 * A function to be called after each change of an element: it looks once the changes have paused.
 * @param {HTMLElement} element
 */
export function watchScrollers(element) {
  let timer = 0;

  function mark() {
    for (const part of /** @type {NodeListOf<HTMLElement>} */ (element.querySelectorAll(".scroll, .formula"))) {
      const reachable = part.querySelector("button, input, [tabindex]") !== null;
      if (part.scrollWidth > part.clientWidth && !reachable) part.tabIndex = 0;
      else part.removeAttribute("tabindex");
    }
  }

  function changed() {
    clearTimeout(timer);
    timer = window.setTimeout(mark, PAUSE);
  }

  new ResizeObserver(changed).observe(element);
  return changed;
}
