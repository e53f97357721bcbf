// What the page says of a stream on which nothing comes is no more than it knows.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';

import { Server, settled, startClock } from './browser.mjs';

const { Connection } = await import('../src/connection.js');
const { status } = await import('../src/status.js');

let clock, connection, stream, shown;

// says returns what stands in the head of the page.
function says() {
  shown.refreshStatus(Date.now());
  return [shown.statusText, shown.connectionTime, shown.silent];
}

const ping = () => stream.send({ event: 'ping', data: {} });

beforeEach(async () => {
  clock = startClock();
  const server = new Server();
  connection = new Connection({ url: () => '/sse-stream', heartbeat: 15_000 }, { change() {}, message() {} });
  shown = Object.assign(status(() => ({ stream: connection })), { keepFocus() {}, showButton() {} });
  connection.connect();
  stream = server.last.stream();
  await settled();
  await stream.connected('a-1');
});

afterEach(() => {
  connection.dispose();
  clock.stop();
});

test('a topic on which nothing happens is connected for as long as its heartbeat comes', async () => {
  for (let n = 0; n < 5; n++) {
    for (let second = 0; second < 15; second++) {
      assert.deepEqual(says().toSpliced(1, 1), ['Connected', '']);
      await clock.pass(1000);
    }
    await ping();
  }
});

test('a heartbeat that is overdue is told, and so that it came after all', async () => {
  await clock.pass(20_000);
  assert.deepEqual(says(), ['Silent', 'nothing heard for 20 s', 'overdue']);
  assert.equal(shown.announcement, 'Nothing is heard from the server.');
  assert.equal(connection.state, 'connected');
  await ping();
  assert.deepEqual(says(), ['Connected', '00:20', '']);
  assert.equal(shown.announcement, 'The server is heard again.');
  await clock.pass(20_000);
  assert.equal(says()[0], 'Silent');
  await clock.pass(18_000);
  assert.equal(says()[0], 'Error');
  assert.equal(shown.silent, '');
});

test('where events came each second, that none comes is told long before', async () => {
  for (let n = 1; n <= 60; n++) {
    await stream.send({ id: `${n}-0`, data: 'x' });
    await clock.pass(1000);
    assert.equal(says()[2], '');
  }
  await clock.pass(4000);
  assert.deepEqual(says(), ['Connected', 'nothing heard for 5 s', 'quiet']);
  await clock.pass(11_000);
  assert.deepEqual(says(), ['Connected', 'nothing heard for 16 s', 'quiet']);
  await clock.pass(4000);
  assert.deepEqual(says(), ['Silent', 'nothing heard for 20 s', 'overdue']);
});

test('events that come together now and then are not missed in between', async () => {
  for (let n = 1; n <= 200; n++) {
    await stream.send({ id: `${n}-0`, data: 'x' });
    await clock.pass(n % 10 ? 100 : 6000);
    assert.equal(says()[2], '', `after ${n}`);
  }
});

test('a machine that slept has heard nothing, and does not say so before it has looked', async () => {
  clock.sleep(3_600_000);
  await clock.pass(500);
  assert.equal(says()[2], '');
  await ping();
  assert.equal(says()[2], '');
});
