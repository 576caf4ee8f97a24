/** Descent from the logits by the gradient, by the diagonal alone, or by Newton's method: a path, step by step. */

import { html, prose, table } from "#elements.js";
import { extend, MAX_STEPS, point } from "#descent.js";
import { explanation, standing } from "#descent_notes.js";
import { descentSettings } from "#descent_settings.js";
import { format, plain } from "#numbers.js";
import { lossScale, pathChart, unitScale } from "#path_chart.js";
import { simplex } from "#simplex.js";
import { classNames, SCORES } from "#state.js";

/** @typedef {import("#descent.js").Point} Point */
/** @typedef {import("#state.js").Method} Method */
/** @typedef {import("#store.js").Model} Model */
/** @typedef {import("#store.js").Store} Store */

const PACE = 30; // steps per second

/** In the pictures, where there is less space. @type {Record<Method, string>} */
const NAMES = { gradient: "gradient", diagonal: "diagonal", newton: "Newton" };

/** @type {{[ending: string]: string}} */
const ENDINGS = {
  infinite: "The loss is ∞: the target gives weight to a class with a logit of −∞, and no step changes that.",
  converged: "Converged: no component of the gradient is above 10⁻⁶.",
  drift: "Stopped: all logits rise by the same amount in every further step, which does not change σ.",
  indefinite: "Stopped: H + λI is not positive definite here, so Newton's step may lead uphill. Choose a larger λ.",
  overflow: "Stopped: the next step overflows. Choose a smaller η, or a larger λ.",
  steps: `Stopped after ${MAX_STEPS} steps.`,
};

/** @param {Store} store @returns {import("#store.js").View} */
export function descentView(store) {
  const settings = descentSettings(store, () => draw());
  const run = html("button", { type: "button", onclick: () => (running ? pause() : start()) }, "Run");
  const status = html("p", { class: "status", role: "status" });
  const count = html("p", {});
  const aim = html("p", {});
  const note = html("p", {});
  const loss = pathChart("Loss");
  const probabilities = pathChart("Probabilities σ");
  const triangle = simplex();
  const standings = html("div", { class: "scroll" });
  const numbers = stepTable();
  const element = html(
    "div",
    {},
    aim,
    settings.element,
    html(
      "div",
      { class: "controls" },
      html("button", { type: "button", onclick: () => advance(1) }, "Step"),
      run,
      html("button", { type: "button", onclick: () => reset() }, "Reset"),
      html("button", { type: "button", onclick: () => useLogits() }, "Move the sliders here"),
    ),
    html("div", { class: "outcome" }, count, status),
    html("div", { class: "columns" }, loss.element, probabilities.element, triangle.element, standings),
    note,
    numbers.element,
  );

  /** @type {Model} */
  let model;
  let origin = ""; // what the path starts from
  /** @type {Point[]} */
  let path = [];
  /** @type {string | null} */
  let end = null;
  let running = false;
  let request = 0; // of the next frame

  function options() {
    const { method, rate, damping } = model.state;
    return { method, rate, damping };
  }

  function reset() {
    running = false;
    path = [point(model.z, model.target)];
    end = null;
    draw();
  }

  /** @param {number} steps */
  function advance(steps) {
    end = extend(path, model.target, options(), steps);
    if (end) running = false;
    draw();
  }

  function start() {
    if (matchMedia("(prefers-reduced-motion: reduce)").matches) {
      advance(MAX_STEPS);
      return;
    }
    running = true;
    draw();
    cancelAnimationFrame(request); // of a run that was paused since the last frame
    request = requestAnimationFrame((began) => frame(began, began, 0));
  }

  function pause() {
    running = false;
    draw();
  }

  /** @param {number} began @param {number} now in milliseconds @param {number} done steps since then */
  function frame(began, now, done) {
    if (!running) return;
    if (store.state.view !== "descent") {
      running = false;
      return;
    }
    const due = Math.floor(((now - began) / 1000) * PACE);
    if (due > done) advance(due - done);
    request = requestAnimationFrame((next) => frame(began, next, due));
  }

  function useLogits() {
    const { temperature } = model.state;
    const scores = path[path.length - 1].z.map((logit) => Number((logit * temperature).toFixed(4)));
    const held = scores.every((score) => score === -Infinity || Math.abs(score) <= SCORES.high);
    if (held) store.set({ scores });
    else status.textContent = `The sliders hold logits from ${plain(SCORES.low)} to ${plain(SCORES.high)} only.`;
  }

  function draw() {
    const { state, target } = model;
    const compared = settings.compared();
    const other = comparison();
    const otherName = compared && other.length ? NAMES[compared] : "";
    const goal = target.mass > 0 ? target.y.map((y) => y / target.mass) : null;
    const now = path[path.length - 1];
    aim.textContent =
      "Descent moves the logits, one step at a time, against the gradient g of the loss, so that the loss falls. " +
      `The target, from the tab Cross-entropy, is y = (${target.y.map((y) => format(y, 2)).join(", ")}).`;
    const names = classNames(state);
    run.textContent = running ? "Pause" : "Run";
    count.textContent = `Step ${path.length - 1}: the loss is ${format(now.loss)}.`;
    status.textContent = end ? ENDINGS[end] : "";
    const lines = lossLines(path, NAMES[state.method], other, otherName);
    loss.update(lines, lossScale(lines.flatMap(({ values }) => values)), otherName);
    probabilities.update([...dashedLines(other), ...classLines(names, path)], unitScale(), otherName);
    triangle.element.hidden = names.length !== 3;
    if (!triangle.element.hidden)
      triangle.update(names, probabilitiesOf(path), probabilitiesOf(other), goal, otherName);
    standings.replaceChildren(standing(names, path, goal));
    note.replaceChildren(...prose(explanation(model, path)));
    if (running) return; // the table follows when the path rests
    /** @type {[string, Point[]][]} */
    const paths = [[`Path: ${NAMES[state.method]}`, path]];
    numbers.update(names, other.length ? [...paths, [`Path: ${otherName}`, other]] : paths);
  }

  /** The path of the method to compare with, of as many steps. @returns {Point[]} */
  function comparison() {
    const method = settings.compared();
    if (method === "" || method === model.state.method) return [];
    const other = [path[0]];
    extend(other, model.target, { ...options(), method }, path.length - 1);
    return other;
  }

  /** @param {Model} next */
  function update(next) {
    model = next;
    settings.update(next);
    const { z, target, state } = next;
    const current = JSON.stringify([z.map(String), target, state.method, state.rate, state.damping]);
    if (current !== origin) {
      origin = current;
      reset();
    } else draw();
  }

  return { element, update };
}

/** @param {Point[]} path */
function probabilitiesOf(path) {
  return path.map(({ row }) => row.p);
}

/**
 * @param {Point[]} path
 * @param {string} name of its method
 * @param {Point[]} other path to compare with; may be empty
 * @param {string} otherName
 */
function lossLines(path, name, other, otherName) {
  const losses = (/** @type {Point[]} */ points) => points.map((at) => at.loss);
  const line = { name: other.length ? name : "loss", values: losses(path), colour: "var(--accent)" };
  const dashed = { name: otherName, values: losses(other), colour: "var(--bad)", dashed: true };
  return other.length ? [line, dashed] : [line];
}

/** @param {string[]} names @param {Point[]} path */
function classLines(names, path) {
  return names.map((name, j) => ({ name, values: path.map(({ row }) => row.p[j]), colour: `var(--class-${j})` }));
}

/** The same without names, which the other lines carry. @param {Point[]} path */
function dashedLines(path) {
  if (path.length === 0) return [];
  return classLines(
    path[0].z.map(() => ""),
    path,
  ).map((line) => ({ ...line, dashed: true }));
}

/** Every number of the pictures. It is filled only while it is open: it may have a thousand rows. */
function stepTable() {
  const content = html("div", { class: "scroll tall" });
  const element = html(
    "details",
    { ontoggle: () => fill() },
    html("summary", {}, "The numbers of every step"),
    content,
  );
  /** @type {() => HTMLTableElement[]} */
  let tables = () => [];

  function fill() {
    content.replaceChildren(...(element.open ? tables() : []));
  }

  return {
    element,
    /**
     * @param {string[]} names of the classes
     * @param {[string, Point[]][]} paths with their captions
     */
    update(names, paths) {
      const columns = ["step", "loss", ...names.map((name) => `σ ${name}`)];
      tables = () =>
        paths.map(([caption, path]) =>
          table(
            caption,
            columns,
            path.map(({ loss, row }, i) => [i, format(loss), ...row.p.map((p) => format(p))]),
          ),
        );
      fill();
    },
  };
}
