/** Five lessons: each explains one idea, asks for something that is answered by moving the page, and checks it. */

import { format, signed } from "#numbers.js";
import { className, oneHot } from "#state.js";
import { logit as z, sigma } from "#symbols.js";

/** @typedef {import("#state.js").State} State */
/** @typedef {import("#store.js").Model} Model */

/**
 * @typedef {object} Answer
 * @property {boolean} done
 * @property {string} feedback what the page shows now, or why the answer is right
 */

/**
 * A lesson; in its texts σ_{A} is σ with the subscript A.
 * @typedef {object} Lesson
 * @property {string} title
 * @property {import("#state.js").ViewName} view the tab that it needs
 * @property {(state: State) => Partial<State>} start what it sets when it is opened, never the logits
 * @property {(state: State) => string} text
 * @property {(state: State) => string} question
 * @property {(state: State) => string} hint
 * @property {(model: Model) => Answer} check
 */

/** @param {string} feedback @returns {Answer} */
const wrong = (feedback) => ({ done: false, feedback });
/** @param {string} feedback @returns {Answer} */
const right = (feedback) => ({ done: true, feedback: `Yes. ${feedback}` });

/** @type {Lesson} */
const SOFTMAX = {
  title: "What softmax does",
  view: "softmax",
  start: () => ({}),
  text: () =>
    "Every class has a logit z, any number. Softmax turns the logits into probabilities σ: it takes the exponential of " +
    "each logit, which is positive, and divides it by the sum of all, so that the total is 1.",
  question: (state) => `Move the sliders until the probability of ${className(state, 1)} is more than 0.9.`,
  hint: (state) =>
    `Raise the logit of ${className(state, 1)}, or lower the others. With a lead of 3, a class is e³ ≈ 20 times as ` +
    "probable as the one behind.",
  check({ state, row }) {
    if (state.scores[1] === -Infinity) return wrong(masked(state, 1));
    if (!(row.p[1] > 0.9)) return wrong(`${sigma(state, 1)} is ${format(row.p[1])}.`);
    return right("Its lead over the others decides. Add 5 to every logit, and no probability changes.");
  },
};

/** @type {Lesson} */
const SAME = {
  title: "A class and its own logit: j = k",
  view: "jacobian",
  start: () => ({ entry: [0, 0], diagonalOnly: false }),
  text: (state) =>
    "The Jacobian is the matrix of all derivatives ∂σ_{j}/∂z_{k}. Row j is the probability that changes, column k the logit " +
    `that is moved. On the diagonal, j = k: the quotient rule gives ∂${sigma(state, 0)}/∂${z(state, 0)} = ` +
    `${sigma(state, 0)}(1 − ${sigma(state, 0)}), which is never negative.`,
  question: (state) =>
    `Move only the slider of ${className(state, 0)} until this derivative is largest. At which ${sigma(state, 0)} is that?`,
  hint: (state) =>
    `σ(1 − σ) is 0 at σ = 0 and at σ = 1, and a parabola between. Move ${z(state, 0)}, and watch where the number ` +
    "stops growing.",
  check({ state, row, jacobian }) {
    if (state.scores[0] === -Infinity) return wrong(masked(state, 0));
    if (state.scores.every((score, j) => j === 0 || score === -Infinity)) return wrong(masked(state, 1));
    if (Math.abs(row.p[0] - 0.5) > 0.01) {
      return wrong(
        `${sigma(state, 0)}(1 − ${sigma(state, 0)}) is ${format(jacobian[0][0])}, at ${sigma(state, 0)} = ${format(row.p[0])}.`,
      );
    }
    return right("σ(1 − σ) is largest, 1/4, at σ = 1/2. Near 0 and near 1, softmax hardly moves.");
  },
};

/** @type {Lesson} */
const OTHER = {
  title: "A class and another's logit: j ≠ k",
  view: "jacobian",
  start: () => ({ entry: [0, 0], diagonalOnly: false }),
  text: (state) =>
    `Raise ${z(state, 0)}: the denominator of ${sigma(state, 1)} grows, and its numerator stays. The quotient rule gives ` +
    "∂σ_{j}/∂z_{k} = −σ_{j} σ_{k} for every j ≠ k, which is never positive.",
  question: (state) =>
    `You raise ${z(state, 0)} a little. In the Jacobian, choose the entry that tells how ${sigma(state, 1)} changes.`,
  hint: (state) => `Row ${className(state, 1)}, because ${sigma(state, 1)} changes. Which logit is moved?`,
  check({ state }) {
    const [j, k] = state.entry;
    if (state.diagonalOnly) return wrong("The diagonal alone lacks all entries with j ≠ k: switch it off.");
    const chosen = `Row ${className(state, j)}, column ${className(state, k)} tells how ${sigma(state, j)} changes with ${z(state, k)}.`;
    if (j === 0 && k === 1)
      return wrong(`${chosen} The value is the same, as J is symmetric; the question is the other way round.`);
    if (j !== 1 || k !== 0) return wrong(chosen);
    return right(
      `It is −${sigma(state, 1)} ${sigma(state, 0)}, below 0: what ${className(state, 0)} gains, the others lose, and each ` +
        "column adds up to 0.",
    );
  },
};

/** @param {State} state @returns {Partial<State>} */
const firstClassIsLabel = (state) => ({ target: oneHot(0, state.scores.length), smoothing: 0, zLoss: 0 });

/** @type {Lesson} */
const CROSS_ENTROPY = {
  title: "Cross-entropy",
  view: "cross-entropy",
  start: firstClassIsLabel,
  text: (state) =>
    "Cross-entropy is a loss: a number that tells how badly the probabilities predict the true class, the label. Here " +
    `the label is ${className(state, 0)}, and the loss is ℓ = −log ${sigma(state, 0)}, with the natural logarithm. It is 0 for ` +
    `${sigma(state, 0)} = 1, and the smaller ${sigma(state, 0)}, the larger the loss.`,
  question: () => "Move the sliders until the loss is 3, give or take 0.05. How probable is the label then?",
  hint: (state) => `The loss grows as ${sigma(state, 0)} shrinks. −log σ = 3 is σ = e⁻³ ≈ 0.05.`,
  check({ state, row, loss }) {
    if (state.target[0] !== 1 || !isOneHot(state.target)) {
      return wrong(`The target is not ${className(state, 0)} alone: set it to ${className(state, 0)} in this tab.`);
    }
    if (state.smoothing !== 0 || state.zLoss !== 0) return wrong("Set the smoothing and the z-loss to 0 in this tab.");
    if (!(Math.abs(loss - 3) <= 0.05)) {
      return wrong(`The loss is ${format(loss)}, at ${sigma(state, 0)} = ${format(row.p[0])}.`);
    }
    return right(
      `The loss is 3 at ${sigma(state, 0)} = e⁻³ ≈ 0.05. Halve ${sigma(state, 0)}, and it grows by log 2, without any limit.`,
    );
  },
};

/** @type {Lesson} */
const ONE_HOT = {
  title: "One-hot targets",
  view: "cross-entropy",
  start: firstClassIsLabel,
  text: () =>
    "The target y gives every class a weight. It is one-hot if y = 1 for the label and 0 for all other classes. The gradient " +
    "of the loss is ∂ℓ/∂z_{k} = σ_{k} − y_{k}, and descent moves each logit against it, so that the loss falls.",
  question: (state) => `Under Target, choose a label for which descent lowers ${z(state, 0)}.`,
  hint: (state) =>
    `Descent lowers ${z(state, 0)} if its gradient, ${sigma(state, 0)} − y_{${className(state, 0)}}, is above 0. ` +
    `Which y_{${className(state, 0)}} makes it so?`,
  check({ state, gradient }) {
    const entry = `The gradient of ${className(state, 0)} is ${signed(gradient[0])}`;
    if (!(gradient[0] > 0)) {
      return wrong(`${entry}: descent ${gradient[0] < 0 ? "raises" : "keeps"} ${z(state, 0)}.`);
    }
    if (!isOneHot(state.target)) return wrong(`${entry}, but the target is not one-hot: one 1, and 0 elsewhere.`);
    return right(
      `With y_{${className(state, 0)}} = 0 the gradient of ${className(state, 0)} is ${sigma(state, 0)} itself. ` +
        "Descent raises the logit of the label alone, and lowers all others.",
    );
  },
};

export const LESSONS = [SOFTMAX, SAME, OTHER, CROSS_ENTROPY, ONE_HOT];

/** @param {State} state @param {number} j */
const masked = (state, j) => `${className(state, j)} is masked, so its probability is 0: give it a number first.`;

/** @param {number[]} target */
function isOneHot(target) {
  return target.every((value) => value === 0 || value === 1) && target.filter(Boolean).length === 1;
}
