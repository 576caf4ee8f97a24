/** The page: the logits beside one of five views, and the address that holds their state. */

import { crossEntropyView } from "#cross_entropy_view.js";
import { descentView } from "#descent_view.js";
import { html } from "#elements.js";
import { jacobianView } from "#jacobian_view.js";
import { lessonsView } from "#lessons_view.js";
import { logitsView } from "#logits_view.js";
import { precisionView } from "#precision_view.js";
import { watchScrollers } from "#scrollers.js";
import { softmaxView } from "#softmax_view.js";
import { fragment, parseFragment } from "#state.js";
import { Store } from "#store.js";
import { tabs } from "#tabs.js";

const read = parseFragment(location.hash.slice(1));
const store = new Store(read.state);
const lessons = lessonsView(store);
const logits = logitsView(store);
const views = tabs(store, [
  ["softmax", "Softmax", softmaxView()],
  ["jacobian", "Jacobian", jacobianView(store)],
  ["cross-entropy", "Cross-entropy", crossEntropyView(store)],
  ["descent", "Descent", descentView(store)],
  ["precision", "Precision", precisionView(store)],
]);
const MOST = 8; // problems that are listed
/** Browsers limit how often the address may change, so it follows when the state has rested. */
let timer = 0;
let address = location.hash; // as this page last read or wrote it
const problems = html("div", { class: "careful", role: "alert" });

document.getElementById("explorer")?.append(problems, lessons.element, logits.element, views.element);
watchScrollers(views.element);
showProblems(read.problems);
store.subscribe((model) => {
  lessons.update(model);
  logits.update(model);
  views.update(model);
  writeAddress();
});
addEventListener("hashchange", () => {
  address = location.hash;
  const { state, problems: found } = parseFragment(location.hash.slice(1));
  if (fragment(state) !== fragment(store.state)) store.set(state);
  showProblems(found);
});

function writeAddress() {
  clearTimeout(timer);
  timer = window.setTimeout(() => {
    if (location.hash !== address) return; // a new link, whose event is about to come
    const text = fragment(store.state);
    history.replaceState(null, "", text ? `#${text}` : location.pathname + location.search);
    address = location.hash;
  }, 200);
}

/** @param {string[]} found parts of the address that could not be read */
function showProblems(found) {
  const more = found.length > MOST ? [`and ${found.length - MOST} more`] : [];
  const listed = [...found.slice(0, MOST), ...more];
  problems.hidden = found.length === 0;
  problems.replaceChildren(
    html("p", {}, html("strong", {}, "Part of this link could not be read; the page shows its usual value instead.")),
    html("ul", {}, ...listed.map((problem) => html("li", {}, problem))),
  );
}
