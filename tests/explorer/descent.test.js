import assert from "node:assert/strict";
import { test } from "node:test";

import { hessian, targets } from "../../src/softgrad/explorer/scripts/cross_entropy.js";
import { ending, extend, isPositiveDefinite, point } from "../../src/softgrad/explorer/scripts/descent.js";

/** Whether every pivot of Gaussian elimination of H + λI is positive. */
function hasPositivePivots(matrix, damping) {
  const rows = matrix.map((line, i) => line.with(i, line[i] + damping));
  return rows.every((pivotRow, i) => {
    for (const row of rows.slice(i + 1)) {
      const factor = row[i] / pivotRow[i];
      pivotRow.forEach((value, j) => (row[j] -= factor * value));
    }
    return pivotRow[i] > 0;
  });
}

test("H + λI is positive definite where all its pivots are positive", () => {
  const found = new Set();
  for (let i = 0; i < 500; i++) {
    const logits = [-8, -1, -6, -7].map((value, j) => value * Math.cos(i * (j + 1)) ** 2 - 3);
    const target = targets([0.5, 0.2, 0, 0.1], 0, (i % 10) / 10);
    const { row } = point(logits, target);
    const damping = 10 ** (1.5 * Math.sin(i));
    const expected = hasPositivePivots(hessian(row, target), damping);
    assert.equal(isPositiveDefinite(row, target, damping), expected, `${i}`);
    found.add(expected);
  }
  assert.deepEqual(found, new Set([true, false]));
});

const gradient = { method: "gradient", rate: 1, damping: 0.1 };

/** The ending of a path from z, and its number of steps. */
function finish(z, q, options, zLoss = 0) {
  const target = targets(q, 0, zLoss);
  const path = [point(z, target)];
  return [extend(path, target, { ...gradient, ...options }, 1000), path.length - 1, path];
}

test("a path ends where the gradient vanishes", () => {
  const [end, steps, path] = finish([2, 1, 0], [0.7, 0.2, 0.1], {});
  assert.equal(end, "converged");
  assert.ok(steps > 10 && steps < 500);
  path.at(-1).row.p.forEach((p, j) => assert.ok(Math.abs(p - [0.7, 0.2, 0.1][j]) < 1e-5));
});

test("a path ends after 500 steps", () => {
  assert.deepEqual(finish([0, 0], [1, 0], { rate: 0.01 }).slice(0, 2), ["steps", 500]);
});

test("a path ends before a step that overflows, at a finite loss", () => {
  const [end, , path] = finish([300, 0], [1, 0], { rate: 100 }, 1);
  assert.equal(end, "overflow");
  assert.ok(Number.isFinite(path.at(-1).loss));
});

test("a path does not begin where the loss is infinite", () => {
  assert.deepEqual(finish([0, -Infinity], [0, 1], {}).slice(0, 2), ["infinite", 0]);
});

test("a masked class without weight stays masked", () => {
  const [end, , path] = finish([3, 0, -Infinity], [0.5, 0.5, 0], {});
  assert.equal(end, "converged");
  assert.equal(path.at(-1).z[2], -Infinity);
});

test("the diagonal drifts where all logits rise alike, which is not the target", () => {
  const [end, , path] = finish([0, 0, 0, -Infinity], [0.4, 0.3, 0.3, 0], { method: "diagonal", rate: 10 });
  assert.equal(end, "drift");
  const { p } = path.at(-1).row;
  const rises = [0.4, 0.3, 0.3].map((y, k) => y * (1 - p[k]));
  assert.ok(Math.max(...rises) - Math.min(...rises) < 1e-5);
  assert.ok(Math.abs(p[0] - (1 - 2 / (0.4 * (1 / 0.4 + 2 / 0.3)))) < 1e-4);
  assert.ok(Math.abs(p[0] - 0.4) > 0.05);
});

test("Newton's method stops where H + λI is not positive definite; the gradient goes on", () => {
  assert.deepEqual(finish([-8, -9], [1, 0], { method: "newton" }, 1).slice(0, 2), ["indefinite", 0]);
  const target = targets([1, 0], 0, 1);
  assert.equal(ending([point([-8, -9], target)], target, gradient), null);
});

test("Newton's step is defined where the factor of the Jacobian is 0", () => {
  const target = targets([1, 0], 0, 0.5); // Σ y + 2ζ lse = 1 − 1
  const path = [point([-1, -Infinity], target)];
  extend(path, target, { ...gradient, method: "newton" }, 1);
  // One class: H = 2ζ = 1, and the gradient is −1.
  assert.ok(Math.abs(path[1].z[0] - (-1 + 1 / 1.1)) < 1e-15);
});
