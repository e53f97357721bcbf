// What the server knows of a page's stream and of its topic, before a server that the test plays.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';

import { Server, settled, startClock } from './browser.mjs';
import { Fault } from '../src/fault.js';
import * as health from '../src/health.js';

let clock, server;

beforeEach(() => {
  clock = startClock();
  server = new Server();
});

afterEach(() => {
  health.stop();
  clock.stop();
});

test('a topic that is unwell is asked about again soon, and told of when it stays so', async () => {
  const fault = new Fault();
  const told = [];
  const began = Date.now();
  health.watch('c', (_, topic, askedAt) => {
    const how = fault.judge(topic, askedAt);
    if (how) told.push([how, Date.now() - began]);
    return fault.suspects;
  }, 'q');
  const answer = async (status, ms) => {
    await clock.pass(ms);
    server.requests.at(-1).answer(200, {}, JSON.stringify({ topics: { q: { status } } }));
    await settled();
  };
  await answer('ok', 600);
  await answer('degraded', 5000);
  await answer('degraded', 2000);
  assert.deepEqual(server.requests.map(({ at }) => at - began), [600, 5600, 7600]);
  assert.deepEqual(told, [['ill', 7600]]);
  await answer('degraded', 5000); // it is known
  await answer('ok', 5000);
  assert.deepEqual(told.slice(1), [['passed', 17_600]]);
});
