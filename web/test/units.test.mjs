// What needs no browser of the page’s scripts: node --test web/test/*.test.mjs
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { busyBefore } from '../src/busy.js';
import { ended, keepLatest, shownText } from '../src/ending.js';
import { indent, numbersIn } from '../src/json.js';
import { alone, edges, join, Series } from '../src/series.js';
import { Stats } from '../src/stats.js';
import { before, compareIDs, Decoder } from '../src/wire.js';

test('a stream is read alike, wherever its bytes are cut', () => {
  const text = '\uFEFFretry: 250\nid: 1-0\nevent: connected\ndata: {"a":1}\n\n: comment\n\ndata: ä\rdata: b\r\rid: 2-0\r\n\r\ndata:x\r\ndata\r\nid: 3-0\r\n\r\nevent: cut off\n';
  const bytes = new TextEncoder().encode(text);
  const want = [
    { event: 'connected', id: '1-0', data: '{"a":1}', hasData: true }, { event: '', id: '', data: 'ä\nb', hasData: true },
    { event: '', id: '2-0', data: '', hasData: false }, { event: '', id: '3-0', data: 'x\n', hasData: true },
  ];
  for (let size = 1; size <= bytes.length; size++) {
    const decoder = new Decoder();
    const got = [];
    for (let at = 0; at < bytes.length; at += size) got.push(...decoder.push(bytes.subarray(at, at + size)));
    assert.deepEqual(got, want, `in pieces of ${size}`);
    assert.equal(decoder.retry, 250);
  }
});

test('IDs have an order, and one before each', () => {
  assert.ok(compareIDs('9-1', '10-0') < 0 && compareIDs('10-2', '10-10') < 0 && compareIDs('5-0', '5-0') === 0);
  assert.equal(before('7-3'), '7-2');
  assert.ok(compareIDs(before('7-0'), '7-0') < 0 && compareIDs(before('7-0'), '6-999999') > 0);
});

test('JSON is laid out without a digit changed, and its inner numbers have paths', () => {
  assert.equal(indent('{"a":12345678901234567890,"b":[1.50,{}],"a":"x,{:"}'), '{\n  "a": 12345678901234567890,\n  "b": [\n    1.50,\n    {}\n  ],\n  "a": "x,{:"\n}');
  assert.deepEqual(numbersIn('{"top":1,"load":{"cpu":2,"disks":[{"used":3}]}}'), [{ path: 'top', depth: 1, value: 1 }, { path: 'load.cpu', depth: 2, value: 2 }, { path: 'load.disks.0.used', depth: 4, value: 3 }]);
  assert.deepEqual(numbersIn('not JSON'), []);
});

test('a chart has gaps where values are missing and nowhere else, and what it says is of every value', () => {
  const series = new Series();
  for (let at = 0; at < 10; at++) series.push(at, at, `${at}.5`);
  for (let n = 0; n < 5; n++) series.push(10, n, String(n)); // a batch
  assert.equal(series.length, 15);
  assert.deepEqual([series.latest, series.values.slice(-2), series.counts.at(-1)], [4, [0, 4], 5]);
  series.gap();
  series.gap();
  series.push(11, 7, '7');
  assert.deepEqual(series.values.slice(-2), [null, 7]);
  assert.deepEqual(alone(series.values, series.times), [series.values.length - 1]);
  // Where nothing came for long nothing is missing: the line goes on, between two dots.
  series.push(100, 8, '8');
  assert.deepEqual(series.values.slice(-3), [null, 7, 8]);
  assert.deepEqual(edges(series.values, series.times).map((i) => series.values[i]), [7, 8]);
  assert.deepEqual([edges([1, 2, 3], [0, 1, 9]), edges([1, 2, 3, 4], [0, 1, 2, 99]), edges([1, 2, 3, null, 4], [0, 1, 2, 2.001, 99]), edges([1, undefined, 3], [0, 1, 60]), edges([], [])], [[], [2, 3], [], [], []]);
  assert.equal(series.format(7), '7.0');
  assert.equal(series.format(12345678901234567000), '1.23457e+19');
  for (let at = 200; at < 600; at++) series.push(at, 1, '1');
  assert.ok(series.times.length <= 4 * 120);
  // One value of many in a batch is seen, wherever it stands, and so is the last.
  const batches = new Series();
  for (let at = 0; at < 5; at++) for (let n = 0; n < 20; n++) batches.push(at, at === 2 && n === 7 ? 1000 : at === 3 && n === 19 ? -5 : 20, '20');
  assert.deepEqual([batches.range(), batches.length, batches.latest], [[-5, 1000], 100, 20]);
  assert.ok(batches.values.includes(1000) && batches.values.includes(-5));
  batches.push(4.003, 50, '50');
  assert.equal(batches.latest, 50);
  assert.equal(batches.values.at(-1), 50);
  assert.ok(batches.times.every((at, i) => i === 0 || at >= batches.times[i - 1]));
  // However many come, the line has few points.
  const many = new Series();
  for (let n = 0; n < 50_000; n++) many.push(n / 500, Math.sin(n), '0.5');
  assert.ok(many.times.length <= 4 * 120 && many.range()[1] > 0.99);
});

test('several lines share an axis, and each has gaps of its own', () => {
  const [a, b] = [new Series(), new Series()];
  for (const at of [1, 3, 5]) a.push(at, at, '1');
  a.gap();
  a.push(7, 7, '7');
  for (const at of [2, 4, 6]) b.push(at, 10 * at, '1');
  const [times, ofA, ofB] = join([a, b]);
  assert.deepEqual(times, [1, 2, 3, 4, 5, 5.001, 6, 7]);
  assert.deepEqual(ofA, [1, undefined, 3, undefined, 5, null, undefined, 7]);
  assert.deepEqual(ofB, [undefined, 20, undefined, 40, undefined, undefined, 60, undefined]);
  assert.deepEqual([alone(ofA, times), alone(ofB, times)], [[7], []]);
  assert.deepEqual(alone([5], [1]), [0]);
  // So is a batch of one moment between two gaps, or at the end: its line has no width.
  const batch = new Series();
  for (const at of [1, 3, 5, 7]) batch.push(at, at, '1');
  batch.gap();
  for (const value of [700, 0, 1399]) batch.push(9, value, '1');
  assert.deepEqual(alone(batch.values, batch.times, 8 / 200).map((i) => batch.values[i]), [700, 0, 1399]);
  assert.deepEqual([batch.format(-0.3), batch.format(-0), batch.format(-10)], ['0', '0', '-10']);
  const again = Series.from(JSON.parse(JSON.stringify(a.saved)));
  a.push(8, 1.5, '1.5');
  again.push(8, 1.5, '1.5');
  assert.deepEqual([again.times, again.values, again.counts, again.length, again.latest, again.format(1)], [a.times, a.values, a.counts, a.length, a.latest, '1.0']);
});

test('no two points are of one time, or what draws leaves the last ones out; a moment stays one', () => {
  const [a, b] = [new Series(), new Series()];
  for (const value of [1, 2, -3.5]) a.push(1_763_832_000, value, '1');
  for (const value of [6, 500]) b.push(1_763_832_000, value, '1');
  for (const lines of [[a], [a, b]]) {
    const [times, ...values] = join(lines);
    assert.ok(times.every((at, i) => i === 0 || at > times[i - 1]), String(times));
    assert.ok(times.at(-1) - times[0] < 1e-4);
    assert.deepEqual(values[0].filter((value) => value !== undefined), [1, 2, -3.5]);
  }
  // The points of one moment say nothing of how often values come.
  for (let at = 1; at < 9; at++) for (const value of [at, 500]) a.push(1_763_832_000 + 11 * at, value, '1');
  const [times, values] = join([a]);
  assert.deepEqual(edges(values, times), []);
});

test('a minute is a minute', () => {
  const stats = new Stats();
  const t0 = 1_800_000_000_000;
  for (let n = 0; n < 700; n++) stats.count(t0); // a burst
  assert.deepEqual(stats.lastMinute(t0 + 500), { events: 700, atLeast: false });
  assert.deepEqual(stats.lastMinute(t0 + 62_000), { events: 0, atLeast: false });
  const busy = new Stats();
  for (let n = 0; n < 50; n++) busy.count(t0 + n * 400); // the last 50 of more
  busy.knownFrom(busy.firstAt);
  assert.deepEqual(busy.lastMinute(t0 + 20_000), { events: 50, atLeast: true });
  assert.deepEqual(busy.lastMinute(t0 + 75_000), { events: 12, atLeast: false });
  // A page that is loaded again goes on with what it knew.
  const [left, again] = [new Stats(), new Stats()];
  for (let n = 0; n < 50; n++) left.count(t0 + n * 400);
  left.knownFrom(left.firstAt);
  again.restore(JSON.parse(JSON.stringify(left.saved)));
  again.count(t0 + 20_000);
  assert.deepEqual([again.lastMinute(t0 + 20_000), again.lastMinute(t0 + 75_000), again.total], [{ events: 51, atLeast: true }, { events: 13, atLeast: false }, 51]);
  assert.equal(stats.latencyFigures(), null);
  for (let ms = 1; ms <= 100; ms++) stats.latency(ms, true);
  assert.deepEqual(stats.latencyFigures(), { p50: 50, p95: 95, worst: 100, of: 100, unseen: 0 });
  const few = new Stats();
  few.latency(202, true);
  assert.deepEqual(few.latencyFigures(), { p50: 202, p95: 202, worst: 202, of: 1, unseen: 0 });
  few.latency(114, true);
  assert.deepEqual(few.latencyFigures(), { p50: 114, p95: 202, worst: 202, of: 2, unseen: 0 }, 'half of two is one');
});

test('what a busy page has delayed is told by the tasks that led up to it', () => {
  const tasks = [{ from: 0, to: 60 }, { from: 500, to: 700 }, { from: 710, to: 800 }, { from: 900, to: 1000 }];
  assert.equal(busyBefore(tasks, 60), 60);
  assert.equal(busyBefore(tasks, 400), 0, 'too long after the task');
  assert.equal(busyBefore(tasks, 805), 290, 'two tasks, one after the other');
  assert.equal(busyBefore(tasks, 750), 240, 'within a task');
  assert.equal(busyBefore(tasks, 1001), 390);
  assert.equal(busyBefore([], 5), 0);
  // Two ways to know of the same time do not count it twice.
  assert.equal(busyBefore([{ from: 0, to: 1000 }, { from: 90, to: 1010 }, { from: 300, to: 400 }], 1020), 1010);
});

test('a stream that is over says why, and what it was not sent', () => {
  const slow = ended({ n: 7, reason: 'slow', fault: true, unsent: 1600, atLeast: true });
  assert.equal(slow.says, 'ended: a write waited for it for too long, at least 1,600 not sent');
  assert.equal(ended({ reason: 'vanished', fault: true, unsent: 0, atLeast: true }).says, 'ended: the reader was no longer there, and what was sent last may not have arrived');
  assert.equal(ended({ reason: 'client', unsent: 3 }).says, 'ended: the reader left, 3 not sent');
  assert.equal(slow.level, 'bad');
  const caughtUp = ended({ reason: 'client', unsent: 900, missed: 900 });
  assert.equal(caughtUp.says, 'ended: the reader left, 900 lost before');
  assert.equal(caughtUp.behind, 0, 'what a gap has told of is no longer behind');
  assert.equal(ended({ reason: 'client', unsent: 0 }).says, 'ended: the reader left');
  assert.equal(ended({ reason: 'newer', unsent: 0 }).says, 'ended: newer', 'what this page does not know is said as it is');
  assert.ok(slow.worry > ended({ reason: 'client' }).worry, 'who was cut stands before who left');
});

test('readers that come and go do not push out those that a fault has ended', () => {
  const ends = new Map();
  for (let n = 1; n <= 100; n++) ends.set(n, { at: 1000 + n, fault: n <= 5 });
  keepLatest(ends, 2000);
  assert.deepEqual([...ends.keys()], [1, 2, 3, 4, 5, ...Array.from({ length: 20 }, (_, i) => 81 + i)]);
  for (let n = 101; n <= 200; n++) ends.set(n, { at: 1000 + n, fault: true });
  keepLatest(ends, 2000);
  assert.deepEqual([ends.size, ends.has(160), ends.has(161), ends.has(81)], [60, false, true, true]);
  keepLatest(ends, 61_200);
  assert.deepEqual([...ends.keys()], [200]);
  const together = new Map(Array.from({ length: 30 }, (_, n) => [n, { at: 7, fault: false }]));
  keepLatest(together, 7);
  assert.equal(Math.min(...together.keys()), 10, 'of those that ended in one frame the first goes first');
});

test('the table says of how many it is, and which of them have ended', () => {
  const text = (counts) => shownText({ openShown: 0, open: 0, endedShown: 0, ended: 0, moreFaulted: 0, moreLeft: 0, ...counts });
  assert.equal(text({ openShown: 3, open: 3 }), '');
  assert.equal(text({ openShown: 80, open: 260, endedShown: 20, ended: 20 }), '80 of 260 open, the worst off first · 20 ended in the last minute');
  assert.equal(text({ openShown: 2, open: 2, endedShown: 25, ended: 25, moreLeft: 1975 }), '2 open · 25 of 2,000 that ended in the last minute');
  assert.equal(text({ endedShown: 40, ended: 40, moreFaulted: 9 }), '0 open · 40 of 49 that ended in the last minute, 9 of the others by a fault');
});
