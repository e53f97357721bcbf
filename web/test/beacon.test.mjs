// The page's reports, where nobody is at the other end.
import { after, beforeEach, mock, test } from 'node:test';
import assert from 'node:assert/strict';

import './browser.mjs';
import * as beacon from '../src/beacon.js';
import { setNode } from '../src/node.js';

const asked = [];
let status = 204;
const settled = () => new Promise((resolve) => setImmediate(resolve));

async function reportOne() {
  beacon.report('t', { dataset: { id: '1-0', traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` } }, 1, 2);
  beacon.send();
  await settled();
}

beforeEach(() => {
  asked.length = 0;
  globalThis.fetch = mock.fn(async (address, init) => {
    asked.push({ address, ...JSON.parse(init.body) });
    return { status };
  });
  beacon.setOpen(true);
});

after(() => beacon.setOpen(false));

test('a report says which node it is for', async () => {
  status = 204;
  beacon.setConnection('c1', 'p1');
  setNode('eu 1');
  await reportOne();
  assert.deepEqual(asked.map(({ address, connection, proof }) => [address, connection, proof]), [['/telemetry/browser?node=eu%201', 'c1', 'p1']]);
});

test('a page whose reports reach another node gives up soon, until it has another stream', async () => {
  status = 409;
  beacon.setConnection('c2', 'p2');
  for (let n = 0; n < 10; n++) await reportOne();
  assert.equal(asked.length, 3);
  beacon.setConnection('c3', 'p3');
  status = 204;
  await reportOne();
  status = 409; // a proxy that takes turns: one in two arrives
  await reportOne();
  status = 204;
  for (let n = 0; n < 5; n++) await reportOne();
  assert.equal(asked.length, 10);
});

test('what was on screen when a stream was over is reported, unless it failed', async () => {
  status = 204;
  beacon.setConnection('c5', 'p5');
  for (const [over, sent] of [[true, 1], [false, 0]]) {
    asked.length = 0;
    beacon.setOpen(true);
    beacon.setOpen(false, over); // before the last event was drawn
    await reportOne();
    assert.equal(asked.length, sent);
  }
});

test('what was not on screen when it came is reported without a time on screen', async () => {
  status = 204;
  beacon.setConnection('c4', 'p4');
  beacon.report('t', { dataset: { id: '1-0', traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01` } }, 1, 0);
  beacon.send();
  await settled();
  assert.deepEqual(asked.map(({ reports }) => reports), [[{ topic: 't', id: '1-0', traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`, received: 1 }]]);
});
