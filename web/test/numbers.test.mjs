// Numbers of payloads: the page writes them as the server does.
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';

import { number } from '../src/number.js';
import { Series } from '../src/series.js';

const cases = JSON.parse(readFileSync(new URL('../testdata/numbers.json', import.meta.url)));

test('a number is written by the rule that the rows have', () => {
  for (const [value, shown] of cases) assert.equal(number(Number(value)), shown, value);
});

test('a chart of one number says it as its row does', () => {
  for (const [value, shown] of cases) {
    const series = new Series();
    series.push(1, Number(value), shown);
    assert.equal(series.format(series.latest), shown, value);
  }
});

test('a chart of several numbers says none as 0 that is not', () => {
  const small = new Series();
  for (const n of [1, 2, 5]) small.push(n, n * 1e-5, `${n}e-5`);
  small.push(6, 3.14159e-9, '3.14159e-9');
  small.push(7, 0, '0');
  small.push(8, 21.5, '21.5');
  assert.deepEqual([1e-5, 3.14159e-9, 0, 0.0005, 21.5].map((value) => small.format(value)), ['1e-5', '3.14159e-9', '0', '0.000500000', '21.5000']);
  // What is beside another one has commas where that has some.
  assert.deepEqual([small.format(49_247, 0, true), small.format(5464, 0, true), small.format(5464, 0)], ['49,247', '5,464', '5464']);
  // A reading is rounded to its digits, halves to the even one, as in the row.
  const reading = new Series();
  reading.push(1, 21.25, '21.2');
  assert.deepEqual([21.25, 21.35, 21.75, -0.04, 1e-5, 1010, 12_345.67].map((value) => reading.format(value)), ['21.2', '21.4', '21.8', '0.0', '0.0', '1010.0', '12,345.7']);
});
