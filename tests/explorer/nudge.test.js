import assert from "node:assert/strict";
import { test } from "node:test";

import { change, linearisationError } from "../../src/softgrad/explorer/scripts/nudge.js";
import { jacobian, softmax } from "../../src/softgrad/explorer/scripts/softmax.js";

// p_j(z + h e_k) − p_j(z), and how far that is from J_jk h: in 60 digits, by mpmath.
/** @type {[number[], number, number, number, number, number][]} */
const CASES = [
  [[2, 1, 0], 0, 1, 0.1, -0.01669254521642909, -0.0004122050174486472],
  [[2, 1, 0], 1, 1, 1e-4, 1.848411648246201e-5, 4.718314641375298e-10],
  [[2, 1, 0], 0, 1, 1e-8, -1.6280340240539515e-9, -4.155907331383675e-18],
  [[2, 1, 0], 2, 0, 2, -0.07288274762486006, 0.0469013014647778],
  [[0, 0], 0, 1, 0.1, -0.02497918747893999, 2.0812521060013906e-5],
  [[0, 0], 0, 1, 1e-8, -2.5e-9, 2.0833333333333335e-26],
  [[0, 12, 0], 1, 1, 1e-6, 1.2288116557551337e-11, -6.143908303045826e-18],
  [[0, 12, 0], 0, 2, 1, -6.486517186115477e-11, -2.7114754210394208e-11],
];

for (const [z, j, k, h, moved, error] of CASES) {
  test(`a nudge of z_${k} by ${h} in ${z}`, () => {
    const row = softmax(z);
    const slope = jacobian(row)[j][k];
    close(change(slope, row.p[k], h), moved);
    close(linearisationError(slope, row.p[k], h), error);
  });
}

test("a masked class does not move", () => {
  const row = softmax([0, -Infinity]);
  assert.equal(Math.abs(change(jacobian(row)[0][1], row.p[1], 0.1)), 0);
});

/** @param {number} computed @param {number} exact */
function close(computed, exact) {
  assert.ok(Math.abs(computed - exact) <= 1e-14 * Math.abs(exact), `${computed} is not ${exact}`);
}
