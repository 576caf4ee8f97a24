import assert from "node:assert/strict";
import { test } from "node:test";

import { digitsRight, results, ulps } from "../../src/softgrad/explorer/scripts/float32.js";
import { significant } from "../../src/softgrad/explorer/scripts/numbers.js";
import { reasons } from "../../src/softgrad/explorer/scripts/precision_reasons.js";
import { endOfDigits } from "../../src/softgrad/explorer/scripts/precision_view.js";

test("a confident row: the textbook's loss and gradient are 0, softgrad's are not", () => {
  const { exact, unshifted, shifted, softgrad } = results([0, 40, 0], 1);
  for (const textbook of [unshifted, shifted]) assert.ok(textbook.loss === 0 && textbook.gradient === 0);
  assert.deepEqual([softgrad.loss, -softgrad.gradient], [2 * Math.exp(-40), 2 * Math.exp(-40)].map(Math.fround));
  assert.equal(exact.loss, 2 * Math.exp(-40));
  assert.ok(shifted.sum > 0);
  assert.equal(softgrad.sum, 0);
});

test("a large offset overflows, and a large negative one underflows, without the shift only", () => {
  for (const z of [
    [1002, 1001, 1000],
    [-1002, -1003, -1004],
  ]) {
    const { unshifted, shifted, softgrad } = results(z, 0);
    for (const part of ["p", "loss", "gradient", "sum"]) assert.ok(Number.isNaN(unshifted[part]));
    for (const variant of [shifted, softgrad]) assert.equal(variant.p, Math.fround(0.6652409557748219));
  }
});

test("a class 100 below: −log p has three right digits", () => {
  const { exact, unshifted, shifted, softgrad } = results([0, -100, 0], 1);
  assert.equal(exact.loss, Math.log(2) + 100);
  assert.equal(digitsRight(unshifted.loss, exact.loss), 3);
  for (const variant of [shifted, softgrad]) assert.equal(digitsRight(variant.loss, exact.loss), 9);
  assert.equal(softgrad.p, Math.fround(exact.p));
  assert.notEqual(unshifted.p, softgrad.p);
});

test("softgrad's formulas are within 2 ULP of exact; the textbook's are not", () => {
  const worst = { unshifted: 0, shifted: 0, softgrad: 0 };
  let seed = 1;
  const random = () => (seed = (seed * 48271) % 2147483647) / 2147483647;
  for (let trial = 0; trial < 3000; trial++) {
    const spread = [1, 3, 20, 60][trial % 4];
    const z = Array.from({ length: 2 + (trial % 7) }, () => Math.fround(spread * (2 * random() - 1)));
    const found = results(z, trial % z.length);
    for (const variant of Object.keys(worst)) {
      for (const part of ["p", "loss", "gradient"]) {
        worst[variant] = Math.max(worst[variant], ulps(found[variant][part], found.exact[part]));
      }
    }
  }
  assert.ok(worst.softgrad <= 2, `${worst.softgrad} ULP`);
  assert.ok(worst.unshifted > 1e6 && worst.shifted > 1e6);
});

test("an error is counted in distances between float32", () => {
  assert.equal(ulps(1 + 2 ** -23, 1), 1);
  assert.equal(ulps(3, 3), 0);
  assert.equal(ulps(0, 2 ** -149), 1);
  assert.equal(ulps(Infinity, Infinity), 0);
  assert.ok(Number.isNaN(ulps(NaN, 1)));
});

for (const [value, exact, digits] of [
  [1, 1, 9],
  [-0, 0, 9],
  [Infinity, Infinity, 9],
  [0.99999994, 1, 6],
  [1.5, 1.4, 0],
  [1.5, 1.51, 2],
  [0, 1e-18, 0],
  [1, -1, 0],
  [NaN, 1, 0],
  [Infinity, 1, 0],
  [1, Infinity, 0],
]) {
  test(`${value} has ${digits} right digits of ${exact}`, () => {
    assert.equal(digitsRight(Math.fround(value), exact), digits);
  });
}

test("leading zeros, signs, points and exponents are no significant digits", () => {
  const beginning = (text, count) => text.slice(0, endOfDigits(text, count));
  assert.equal(beginning("−0.00123456789", 3), "−0.00123");
  assert.equal(beginning("100.693146", 3), "100");
  assert.equal(beginning("100.693146", 4), "100.6");
  assert.equal(beginning("8.49670826·10⁻¹⁸", 2), "8.4");
  assert.equal(beginning("0.665", 0), "");
  assert.equal(beginning("NaN", 3), "");
  assert.deepEqual(
    [0, 0.00012345678912, -1e-7, NaN, 9999, 9999.6].map((value) => significant(value, 4)),
    ["0", "0.0001235", "−1.000·10⁻⁷", "NaN", "9999", "1.000·10⁴"],
  );
});

for (const [z, label, words] of [
  [[2, 1, 0], 0, "Nothing is lost here"],
  [[0, 40, 0], 1, "In double precision, with 53 binary digits, 1 + s′ is 1 as well"],
  [[0, 20, 0], 1, "1 + s′ rounds to 1"],
  [[0, 8, 0], 1, "drops the digits"],
  [[1002, 1001, 1000], 0, "the largest float32"],
  [[-200, -201, -202], 0, "the smallest float32"],
  [[0, -100, 0], 1, "multiples of"],
  [[0, -200, 0], 1, "−log 0 is ∞"],
  [[0.3, -80.7, 0], 1, "rounded before the exponential"],
  [[2, 1, -Infinity], 2, "masked"],
]) {
  test(`the row ${z} is explained: ${words}`, () => {
    const logits = z.map(Math.fround);
    const found = reasons(logits, label, results(logits, label));
    assert.equal(found.length, 1);
    assert.ok(found[0].includes(words), found[0]);
  });
}
