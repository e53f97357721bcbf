// The connection, held to its promises by a clock that the test moves and a server
// that it plays.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';

import { Server, emit, settled, startClock } from './browser.mjs';

const { Connection } = await import('../src/connection.js');
const { status } = await import('../src/status.js');

let clock, server, connection, messages;

function open(options = {}) {
  messages = [];
  connection = new Connection({ url: () => '/sse-stream', retry: 1000, ...options }, { change() {}, message: (message) => messages.push(message) });
  return connection;
}

// opened connects, and returns the server's end of the stream.
async function opened(options, greeting = {}) {
  open(options).connect();
  const stream = server.last.stream();
  await settled();
  await stream.connected('a-1', greeting);
  return stream;
}

// reopened answers the next attempt, whenever it comes.
async function reopened(fields = {}) {
  const n = server.requests.length;
  for (let waited = 0; server.requests.length === n; waited += 100) {
    assert.ok(waited < 60_000, 'no attempt within a minute');
    await clock.pass(100);
  }
  const stream = server.last.stream();
  await settled();
  await stream.connected('a-2', fields);
  return stream;
}

const ids = () => messages.filter(({ fields }) => !fields).map(({ id }) => id);

beforeEach((t) => {
  clock = startClock();
  server = new Server();
  t.mock.method(Math, 'random', () => 0.5);
});

afterEach(() => {
  connection?.dispose();
  clock.stop();
  navigator.onLine = true;
});

test('the waits between attempts grow to half a minute, and then it gives up', async () => {
  open({ maxAttempts: 8 }).connect();
  const waits = [];
  for (let attempt = 1; attempt <= 9; attempt++) {
    assert.equal(server.requests.length, attempt);
    server.last.fail();
    await settled();
    assert.equal(connection.state, 'error');
    if (attempt === 9) break;
    waits.push(connection.retryAt - Date.now());
    await clock.pass(waits.at(-1) + 50);
  }
  assert.deepEqual(waits, [750, 1500, 3000, 6000, 12_000, 22_500, 22_500, 22_500]);
  assert.ok(connection.gaveUp && !connection.wanted && connection.retryAt === 0);
  await clock.pass(120_000);
  assert.equal(server.requests.length, 9);
});

test('a stream that flaps does not make the server forget its attempts', async () => {
  const stream = await opened();
  const waits = [];
  let flapping = stream;
  for (let n = 0; n < 3; n++) {
    await clock.pass(1000);
    flapping.break();
    await settled();
    waits.push(connection.retryAt - Date.now());
    flapping = await reopened();
  }
  assert.deepEqual(waits, [750, 1500, 3000]);
  await clock.pass(5050); // it holds
  flapping.break();
  await settled();
  assert.equal(connection.retryAt - Date.now(), 750);
});

test('a line that the reader cuts again and again is no server that fails', async () => {
  const shown = Object.assign(status(() => ({ stream: connection })), { keepFocus() {}, showButton() {} });
  await opened();
  for (let n = 0; n < 12; n++) {
    connection.cut(3000);
    assert.ok(connection.wanted, `it gave up at cut ${n + 1}`);
    shown.refreshStatus(Date.now());
    assert.equal(shown.retryText, 'Next try in 3 s');
    await reopened();
  }
  server.last.stream();
  connection.cut(3000);
  await clock.pass(3050);
  shown.refreshStatus(Date.now());
  assert.equal(shown.retryText, 'Trying again…');
  server.last.fail();
  await settled();
  shown.refreshStatus(Date.now());
  assert.equal(shown.retryText, 'Next try in 1 s (1 of 8)');
});

test('Retry now counts afresh, and is in the place of the retry that was planned', async () => {
  open().connect();
  for (let n = 0; n < 4; n++) {
    server.last.fail();
    await settled();
    if (n < 3) await clock.pass(connection.retryAt - Date.now() + 50);
  }
  assert.equal(connection.attempt, 4);
  const planned = connection.retryAt - Date.now();
  connection.retry();
  assert.equal(connection.retryAt, 0);
  server.last.fail();
  await settled();
  assert.equal(connection.attempt, 1);
  connection.retry();
  server.last.stream();
  const n = server.requests.length;
  await clock.pass(planned + 1000);
  assert.equal(server.requests.length, n, 'the planned retry came all the same');
  assert.equal(connection.state, 'connected');
});

test('what is said of a stream that was lost promises no more than the next attempt', async () => {
  const stream = await opened();
  for (const end of [() => stream.break(), () => server.last.stream().end()]) {
    await end();
    await settled();
    assert.equal(connection.state, 'error');
    assert.match(connection.error.detail, /A try that succeeds goes on behind the last event\.$/);
    await clock.pass(connection.retryAt - Date.now());
  }
});

test('what is to be over when connecting does not end a stream that is open', async () => {
  await opened();
  await clock.pass(31_000);
  assert.equal(connection.state, 'connected');
  assert.equal(connection.slow, false);
});

test('an attempt that nobody answers is explained, then given up', async () => {
  open().connect();
  await clock.pass(5050);
  assert.ok(connection.slow && connection.state === 'connecting');
  await clock.pass(25_000);
  assert.ok(server.requests[0].aborted && connection.state === 'error' && !connection.slow);
  assert.match(connection.error.message, /30 seconds/);
});

test('an answer that comes when it is wanted no longer opens nothing', async () => {
  open().connect();
  const stream = server.last.stream();
  connection.disconnect(); // before the page has heard of the answer
  await settled();
  assert.equal(connection.state, 'disconnected');
  assert.ok(stream.over);
  connection.connect();
  const first = server.last;
  connection.connect();
  first.stream();
  await settled();
  assert.equal(connection.state, 'connecting', 'the answer to an attempt before is none to this one');
});

test('it goes on behind what it has, by an order of IDs and not of letters', async () => {
  const stream = await opened({}, { position: '90-0' });
  assert.equal(connection.lastID, '90-0');
  await stream.send({ id: '100-9', data: 'nine' }, { id: '100-10', data: 'ten' }, { id: '100-10', data: 'again' }, { id: '100-9', data: 'again' }, { event: 'ping', id: '100-8', data: {} });
  assert.deepEqual(ids(), ['100-9', '100-10']);
  assert.equal(connection.lastID, '100-10');
  assert.equal(connection.events, 4);
  stream.break();
  const next = await reopened({ position: '100-10' });
  assert.equal(server.last.options.headers['Last-Event-ID'], '100-10');
  assert.equal(connection.events, 0, 'the events of the stream before are counted as this one’s');
  assert.ok(connection.bytes < 200);
  await next.send({ id: '100-10', data: 'again' }, { id: '100-11', data: 'eleven' });
  assert.deepEqual(ids(), ['100-9', '100-10', '100-11']);
});

test('what a gap says is lost is not asked for again', async () => {
  const stream = await opened({}, { position: '5-0' });
  await stream.send({ event: 'gap', data: { from: '5-0', to: '9-3', reason: 'slow' } });
  assert.equal(connection.lastID, '9-3');
  await stream.send({ event: 'gap', id: '2-0', data: { from: '9-3', to: '2-0', reason: 'reset' } }, { id: '2-1', data: 'x' });
  assert.equal(connection.lastID, '2-1');
  assert.deepEqual(ids(), ['2-1']);
});

test('a reconnect continues the trace and the session of the stream before', async () => {
  const traceparent = `00-${'a'.repeat(32)}-${'b'.repeat(16)}-01`;
  const stream = await opened({ traceparent: 'of the page' }, { traceparent, session: 's.1' });
  assert.equal(server.last.options.headers.traceparent, 'of the page');
  assert.equal(server.last.options.headers.baggage, undefined);
  stream.break();
  await reopened();
  assert.equal(server.last.options.headers.traceparent, traceparent);
  assert.equal(server.last.options.headers.baggage, 'session.id=s.1');
});

test('the server says how long to wait, within reason', async () => {
  for (const [retry, wait] of [[4000, 3000], [1, 37.5], [600_000, 22_500]]) {
    const stream = await opened();
    await stream.send({ event: 'ping', retry, data: {} });
    stream.break();
    await settled();
    assert.equal(connection.retryAt - Date.now(), wait);
    connection.dispose();
  }
});

test('Retry-After is a least wait, in seconds or as a date, with some jitter', async () => {
  for (const [header, least] of [['3', 3000], [() => new Date(Date.now() + 4000).toUTCString(), 4000], ['nonsense', 750]]) {
    open().connect();
    server.last.answer(503, { 'Retry-After': typeof header === 'string' ? header : header() });
    await settled();
    assert.equal(connection.retryAt - Date.now(), least === 750 ? 750 : least * 1.05);
    connection.dispose();
  }
  open().connect();
  for (let n = 0; n < 5; n++) {
    server.last.answer(503, { 'Retry-After': '1' });
    await settled();
    if (n < 4) await clock.pass(connection.retryAt - Date.now() + 50);
  }
  assert.equal(connection.retryAt - Date.now(), 12_000, 'a Retry-After of one second is asked at by all pages for ever');
});

test('a refusal is final by its status', async () => {
  for (const [status, final] of [[400, true], [401, true], [403, true], [404, true], [408, false], [410, true], [429, false], [500, false], [503, false]]) {
    open().connect();
    server.last.answer(status, { 'Content-Type': 'application/problem+json' }, '{"detail":"why"}');
    await settled();
    assert.equal(connection.retryAt === 0, final, String(status));
    assert.equal(connection.wanted, !final);
    assert.equal(connection.error.detail, 'why');
    if (status === 429) assert.doesNotMatch(connection.error.message, /connection|from here/); // of what there is too much, the server says
    assert.equal(connection.error.unknownReader, status === 401);
    connection.dispose();
  }
});

test('since when the stream is down is told from its loss on, whatever was tried', async () => {
  const stream = await opened();
  await clock.pass(1000);
  const lost = Date.now();
  stream.break();
  await settled();
  await clock.pass(800);
  server.last.fail();
  await clock.pass(1000);
  assert.equal(connection.downSince, lost);
  connection.disconnect();
  assert.equal(connection.downSince, 0);
});

test('silence ends a stream, and a machine that slept does not', async () => {
  const stream = await opened({ heartbeat: 1000 });
  for (let n = 0; n < 10; n++) {
    await clock.pass(1000);
    await stream.send({ event: 'ping', data: {} });
  }
  clock.sleep(3_600_000);
  await clock.pass(300);
  assert.equal(connection.state, 'connected', 'the bytes that waited have not been read yet');
  await stream.send({ event: 'ping', data: {} });
  const heard = Date.now();
  await clock.pass(2000);
  assert.equal(connection.state, 'connected');
  await clock.pass(1000);
  assert.equal(connection.state, 'error');
  assert.match(connection.error.message, /Nothing was heard/);
  assert.equal(connection.downSince, heard, 'one outage, one age');
});

test('a stream that is open when the network is back has one heartbeat to show that it lives', async () => {
  const stream = await opened({ heartbeat: 10_000 });
  await clock.pass(1000);
  emit('online');
  await clock.pass(9000);
  await stream.send({ event: 'ping', data: {} });
  await clock.pass(8000);
  assert.equal(connection.state, 'connected');
  emit('online');
  await clock.pass(14_000);
  assert.equal(connection.state, 'error');
});

test('offline no attempt is the last, and to be online again is a reason to try', async () => {
  open({ maxAttempts: 2 }).connect();
  navigator.onLine = false;
  for (let n = 0; n < 5; n++) {
    server.last.fail();
    await settled();
    assert.ok(!connection.gaveUp);
    await clock.pass(connection.retryAt - Date.now() + 50);
  }
  server.last.fail();
  await settled();
  navigator.onLine = true;
  const n = server.requests.length;
  emit('online');
  assert.equal(server.requests.length, n + 1);
  assert.equal(connection.attempt, 0);
});

test('a page that is frozen reads nothing, and the line may break meanwhile', async () => {
  const stream = await opened({ heartbeat: 1000 });
  connection.freeze(10_000);
  await stream.send({ id: '1-0', data: 'x' });
  await clock.pass(5000);
  assert.deepEqual(ids(), []);
  assert.equal(connection.state, 'connected');
  await clock.pass(5100);
  assert.deepEqual(ids(), ['1-0']);
  await clock.pass(1000);
  assert.equal(connection.state, 'connected', 'the time in which it was frozen is counted as silence');
  connection.freeze(10_000);
  await clock.pass(10_000);
  assert.equal(connection.frozenUntil, 0, 'it thaws where nothing waits, too');
  assert.equal(connection.state, 'connected');
  await stream.send({ event: 'ping' });
  connection.freeze(10_000);
  connection.cut(3000);
  assert.equal(connection.frozenUntil, 0);
  assert.equal(connection.retryAt - Date.now(), 3000);
  assert.ok(connection.error.own);
});

test('204 and a close event are the end', async () => {
  open().connect();
  server.last.answer(204);
  await settled();
  assert.deepEqual(messages.map(({ event }) => event), ['nothing']);
  assert.ok(connection.state === 'disconnected' && !connection.wanted);
  const stream = await opened();
  await stream.send({ event: 'close', data: { reason: 'done' } });
  await clock.pass(60_000);
  assert.ok(connection.state === 'disconnected' && !connection.wanted && server.requests.length === 2);
});
