/** The lessons: one at a time above the page, with its question, the answer so far, and the way on. */

import { announcer } from "#announcer.js";
import { html, prose } from "#elements.js";
import { LESSONS } from "#lessons.js";
import { goToTab } from "#tabs.js";

/** @typedef {import("#store.js").Model} Model */

const PATIENCE = 3000; // milliseconds on a wrong answer until its hint is shown
const TABS = /** @type {Record<string, string>} */ ({
  softmax: "Softmax",
  jacobian: "Jacobian",
  "cross-entropy": "Cross-entropy",
});

/**
 * @param {import("#store.js").Store} store
 * @returns {import("#store.js").View}
 */
export function lessonsView(store) {
  const invitation = html(
    "div",
    { class: "invitation" },
    html("p", {}, "New to softmax? Five short lessons, each with a question that you answer on this page."),
    html("button", { type: "button", onclick: () => open(1) }, "Start the lessons"),
  );
  const title = html("h2", { id: "lesson-title", tabindex: -1 });
  const steps = LESSONS.map((_, i) => html("button", { type: "button", class: "small", onclick: () => open(i + 1) }));
  const text = html("p", {});
  const question = html("p", { class: "question" });
  const hint = html("p", { class: "note", tabindex: -1 });
  const ask = html("button", { type: "button", onclick: () => askForHint() }, "Hint");
  const goTo = html("button", { type: "button", onclick: () => goToTab(store, LESSONS[store.state.lesson - 1].view) });
  const answer = html("p", { class: "answer" });
  const reading = html("p", {}); // what the page shows once the lesson is answered
  const next = html("button", { type: "button", class: "next", onclick: () => open(store.state.lesson + 1) });
  const spoken = announcer();
  const content = html(
    "div",
    { class: "content panel" },
    html(
      "div",
      { class: "head" },
      title,
      html("div", { class: "steps", role: "group", "aria-label": "Lessons" }, ...steps),
      html("button", { type: "button", onclick: () => open(0) }, "Close the lessons"),
    ),
    text,
    question,
    html("div", { class: "controls" }, ask, hint, goTo),
  );
  const result = html("div", { class: "result" }, answer, next, reading);
  const element = html(
    "section",
    { class: "lessons", "aria-label": "Lessons" },
    invitation,
    content,
    result,
    spoken.element,
  );
  /** The lesson that is shown, what the reader began with, and the answers that were right. */
  let shown = 0;
  let beginning = "";
  let timer = 0;
  const answered = new Map();

  /** @param {number} number of a lesson; 0 or one too many closes them */
  function open(number) {
    const lesson = LESSONS[number - 1];
    if (lesson) store.set({ lesson: number, view: lesson.view, ...lesson.start(store.state) });
    else store.set({ lesson: 0 });
    (lesson ? title : invitation.querySelector("button"))?.focus();
  }

  function askForHint() {
    showHint(true);
    hint.focus(); // in the place of the button, which is hidden now
  }

  /** @param {boolean} visible */
  function showHint(visible) {
    hint.hidden = !visible;
    ask.hidden = visible;
  }

  /** @param {Model} model */
  function update(model) {
    const { state } = model;
    const lesson = LESSONS[state.lesson - 1];
    invitation.hidden = Boolean(lesson);
    content.hidden = result.hidden = !lesson;
    if (shown !== state.lesson) {
      answered.delete(state.lesson);
      showHint(false);
      beginning = moved(state);
    }
    shown = state.lesson;
    clearTimeout(timer);
    if (!lesson) return;
    const { done, feedback } = lesson.check(model);
    if (done) answered.set(state.lesson, feedback);
    title.textContent = `Lesson ${state.lesson} of ${LESSONS.length}. ${lesson.title}`;
    text.replaceChildren(...prose(lesson.text(state)));
    question.replaceChildren(...prose(lesson.question(state)));
    hint.replaceChildren(...prose(`Hint: ${lesson.hint(state)}`));
    goTo.textContent = `Go to the tab ${TABS[lesson.view]}`;
    goTo.classList.toggle("reached", state.view === lesson.view);
    answer.replaceChildren(...prose(answered.get(state.lesson) ?? feedback));
    result.classList.toggle("done", answered.has(state.lesson));
    next.hidden = !answered.has(state.lesson);
    reading.hidden = done || !answered.has(state.lesson);
    reading.replaceChildren(...(reading.hidden ? [] : prose(`Now: ${feedback}`)));
    next.textContent = state.lesson === LESSONS.length ? "Finish" : "Next lesson";
    steps.forEach((step, i) => updateStep(step, i + 1, state.lesson));
    spoken.say(`${answer.textContent} ${reading.textContent}`.trim());
    if (!done && moved(state) !== beginning) timer = window.setTimeout(() => showHint(true), PATIENCE);
  }

  /** @param {HTMLButtonElement} step @param {number} number @param {number} current */
  function updateStep(step, number, current) {
    const done = answered.has(number);
    step.textContent = done ? `${number} ✓` : String(number);
    step.setAttribute("aria-label", `Lesson ${number}${done ? ", answered" : ""}: ${LESSONS[number - 1].title}`);
    step.setAttribute("aria-pressed", String(number === current));
  }

  return { element, update };
}

/** What a reader moves to answer. @param {import("#state.js").State} state */
function moved({ scores, temperature, entry, target }) {
  return [scores, temperature, entry, target].join(";");
}
