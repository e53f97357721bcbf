// Tabs that share a stream.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { emit, settled } from './browser.mjs';
import { Tab, clock, events, followed, idsOf, leaders, led, served, server, tabs } from './tabs.mjs';

test('tabs share one connection, and each is handed every event once, in order', async () => {
  const [first, line] = await led();
  await line.send(...events(1, 4));
  const second = await followed();
  assert.deepEqual(second.ids, idsOf(1, 4));
  await line.send(...events(4, 12)); // 100-9, then 100-10
  for (const { ids, stream } of tabs) {
    assert.deepEqual(ids, idsOf(1, 12));
    assert.deepEqual([stream.state, stream.tabs, stream.lastID, stream.events], ['connected', 2, '100-11', 11]);
  }
  assert.deepEqual(second.messages.map(({ event }) => event).filter(Boolean), ['connected']);
  // One that goes, and comes back, has what it missed.
  second.stream.disconnect();
  await clock.pass(100);
  assert.equal(first.stream.tabs, 1);
  await line.send(...events(12, 14));
  second.stream.connect();
  await clock.pass(600);
  assert.deepEqual(second.ids, idsOf(1, 14));
  assert.equal(first.stream.tabs, 2);
  assert.equal(server.requests.length, 1);
});

test('when the tab that leads goes, the next one goes on at once where it was, and the others with it', async () => {
  const [first, line] = await led();
  const [second, third] = [await followed(), await followed()];
  await line.send(...events(1, 4));
  first.stream.disconnect();
  await clock.pass(700);
  assert.ok(server.requests[0].aborted);
  assert.equal(server.requests.length, 2, 'nobody has taken the lead yet');
  assert.equal(server.last.options.headers['Last-Event-ID'], '100-3');
  const next = await served();
  await next.send(...events(4, 6));
  await clock.pass(10_000); // nobody else takes the lead from who leads
  assert.equal(leaders().length, 1);
  assert.equal(server.requests.length, 2);
  for (const { ids, stream } of [second, third]) assert.deepEqual([ids, stream.state, stream.tabs], [idsOf(1, 6), 'connected', 2]);
  // The first one comes back, and is left alone.
  first.stream.connect();
  await clock.pass(600);
  const own = server.last.stream(); // by which it has what it missed
  await settled();
  await own.connected('own');
  await own.send(...events(4, 6));
  await clock.pass(100);
  assert.deepEqual([first.ids, first.stream.tabs], [idsOf(1, 6), 3]);
  for (const { stream } of [second, third]) stream.disconnect();
  await clock.pass(700);
  assert.ok(first.stream.leads);
  await served();
  second.stream.connect();
  await clock.pass(600);
  assert.deepEqual([first.stream.tabs, second.stream.tabs], [2, 2], 'tabs that went long ago are counted');
});

test('one that took the lead keeps it, however long nothing comes', async () => {
  const [first] = await led();
  const second = await followed();
  first.stream.disconnect();
  await clock.pass(700);
  await served();
  await clock.pass(90_000);
  assert.ok(second.stream.leads);
  assert.equal(server.requests.length, 2);
});

test('a tab in sight reports what a leader out of sight cannot', async () => {
  let feed = true;
  const [first, line] = await led({ inSight: () => feed });
  const second = await followed();
  await line.send(...events(1, 2));
  feed = false; // the leader shows another view, or is in the background
  await line.send(...events(2, 3));
  const mine = ({ messages, runs }) => runs.filter((_, n) => messages[n].data && !messages[n].fields).map((run) => run.mine);
  assert.deepEqual(mine(first), [true, true]);
  assert.deepEqual(mine(second), [false, true]);
});

test('what comes says by which connection it came, in each tab, also when there is another by now', async () => {
  const [first, line] = await led();
  await line.send(...events(1, 2));
  line.break();
  await clock.pass(2000);
  const again = server.last.stream();
  await settled();
  await again.connected('again', { node: 'two', position: '1-0' });
  await again.send(...events(2, 3));
  const second = await followed();
  await again.send(...events(3, 4));
  const by = ({ messages, runs }) => runs.filter((_, n) => !messages[n].fields).map((run) => `${run.by.connection} ${run.by.node}`);
  assert.equal(by(first).length, 3);
  assert.deepEqual(by(first).slice(1), ['again two', 'again two']);
  assert.notEqual(by(first)[0], 'again two');
  assert.deepEqual(by(second), by(first));
});

test('Disconnect leaves nothing of an outage', async () => {
  const [first, line] = await led();
  line.break();
  await settled();
  assert.ok(first.stream.state === 'error' && first.stream.error && first.stream.downSince);
  first.stream.disconnect();
  const { state, error, downSince, retryAt, gaveUp, slow, frozenUntil } = first.stream;
  assert.deepEqual({ state, error, downSince, retryAt, gaveUp, slow, frozenUntil }, { state: 'disconnected', error: null, downSince: 0, retryAt: 0, gaveUp: false, slow: false, frozenUntil: 0 });
});

test('a page that is frozen knows that it did not read, whichever tab does the reading', async (t) => {
  t.mock.method(performance, 'now', () => Date.now() - performance.timeOrigin);
  const { unread } = await import('../src/busy.js');
  const [first, line] = await led();
  const second = await followed();
  for (const { stream } of [first, second]) {
    stream.freeze(10_000);
    await clock.pass(4000);
    await line.send(...events(1, 2));
    await clock.pass(6100);
    const took = unread(Date.now());
    assert.ok(took >= 10_000 && took < 10_200, `${took} ms`);
    await clock.pass(5000);
    assert.equal(unread(Date.now()), 0);
  }
});

test('a leader that falls silent is replaced, and a sleep of the machine is no silence', async () => {
  const [first, line] = await led({ heartbeat: 1000 });
  const second = await followed({ heartbeat: 1000 });
  for (let n = 0; n < 5; n++) {
    await clock.pass(1000);
    await line.send({ event: 'ping', data: {} });
  }
  clock.sleep(3_600_000);
  await clock.pass(900);
  await line.send({ event: 'ping', data: {} });
  await clock.pass(900);
  assert.ok(first.stream.leads && !second.stream.leads);
  assert.equal(server.requests.length, 1);
  first.sleep(true);
  await clock.pass(7000);
  assert.ok(second.stream.leads);
});

test('a tab that has gone without a word is not waited for', async () => {
  const [first] = await led();
  const second = await followed();
  first.sleep(true);
  await clock.pass(4000);
  assert.ok(second.stream.leads);
});

test('of two that lead, one of which had been put to sleep, one goes on', async () => {
  const [first] = await led();
  const second = await followed();
  first.sleep(true);
  await clock.pass(4000);
  await served();
  first.sleep(false);
  assert.equal(leaders().length, 2);
  await followed();
  await clock.pass(1000);
  assert.equal(leaders().length, 1);
  assert.ok(first.stream.wanted && second.stream.wanted);
});

test('a new leader knows since when there is no stream', async () => {
  const [first, line] = await led();
  const second = await followed();
  line.break();
  await clock.pass(300);
  const since = first.stream.downSince;
  assert.ok(since > 0);
  first.stream.disconnect();
  await clock.pass(1000);
  assert.ok(second.stream.leads);
  assert.equal(second.stream.downSince, since);
});

test('a stream that has ended is wanted by no tab any more', async () => {
  const [, line] = await led();
  await followed();
  await line.send({ event: 'close', data: { reason: 'done' } });
  await clock.pass(10_000);
  for (const { stream, messages } of tabs) {
    assert.deepEqual([stream.wanted, stream.state], [false, 'disconnected']);
    assert.equal(messages.at(-1).event, 'close');
  }
  assert.equal(server.requests.length, 1);
});

test('tabs that have given up try again when the network is back', async () => {
  const first = new Tab({ maxAttempts: 1 });
  await first.connect();
  const second = await followed({ maxAttempts: 1 });
  for (let n = 0; n < 2; n++) {
    server.last.fail();
    await clock.pass(1500);
  }
  for (const { stream } of tabs) assert.ok(stream.gaveUp && !stream.wanted && stream.state === 'error');
  emit('online');
  await clock.pass(600);
  await served();
  await clock.pass(600);
  assert.equal(server.requests.length, 3);
  for (const { stream } of tabs) assert.equal(stream.state, 'connected');
  // One that was left is left.
  second.stream.dispose();
  first.stream.disconnect();
  await clock.pass(600);
  emit('online');
  await clock.pass(1000);
  assert.equal(server.requests.length, 3);
});

const counts = () => tabs.map(({ stream }) => stream.tabs);

test('a tab that is closed is not counted any more, nor one that is put away', async () => {
  const [, line] = await led();
  const [second, third] = [await followed(), await followed()];
  await clock.pass(20_000);
  assert.deepEqual(counts(), [3, 3, 3]);
  third.emit('pagehide', { persisted: false });
  third.sleep(true);
  await settled();
  assert.deepEqual(counts().slice(0, 2), [2, 2]);
  await line.send(...events(1, 4));
  second.emit('pagehide', { persisted: true });
  second.sleep(true);
  await settled();
  assert.equal(counts()[0], 1);
  // One that is shown again has what it missed.
  await line.send(...events(4, 6));
  second.sleep(false);
  await line.send(...events(6, 8));
  second.emit('pageshow', { persisted: true });
  await clock.pass(600);
  await line.send(...events(8, 9));
  assert.deepEqual(counts().slice(0, 2), [2, 2]);
  assert.deepEqual(second.ids, idsOf(1, 9));
  await clock.pass(20_000);
  assert.deepEqual(counts().slice(0, 2), [2, 2]);
});

test('a tab that has gone without a word, or sleeps, is counted no longer than it takes to call it', async () => {
  await led();
  const [second, third] = [await followed(), await followed()];
  // A browser's lock would not go to a tab that sleeps: what asks for it stays awake here.
  const sleep = (tab, asleep) => { tab.channels[0].asleep = asleep; };
  sleep(third, true);
  await clock.pass(10_000);
  assert.deepEqual(counts().slice(0, 2), [2, 2]);
  sleep(second, true);
  await clock.pass(10_000);
  assert.equal(counts()[0], 1);
  for (const tab of [second, third]) sleep(tab, false);
  await clock.pass(4000);
  assert.deepEqual(counts(), [3, 3, 3]);
});

test('a tab that takes the lead counts anew', async () => {
  const [first] = await led();
  const second = await followed();
  assert.equal(second.stream.tabs, 2);
  first.sleep(true);
  await clock.pass(4000);
  assert.ok(second.stream.leads);
  assert.equal(second.stream.tabs, 1);
});

test('what is counted is of the connection that said last who it is, until another does', async () => {
  const [first, line] = await led();
  await line.send(...events(1, 4));
  const { stream } = first;
  const counts = () => [stream.state, stream.events, stream.bytes];
  const { bytes } = stream;
  assert.deepEqual(counts(), ['connected', 3, bytes]);
  stream.disconnect();
  stream.connect();
  await clock.pass(700);
  assert.deepEqual(counts(), ['connecting', 3, bytes]);
  server.last.answer(204); // the topic has ended: who answered is never told
  await settled();
  assert.deepEqual(counts(), ['disconnected', 3, bytes]);
  stream.connect();
  await clock.pass(700);
  const next = server.last.stream();
  await settled();
  assert.deepEqual(counts(), ['connected', 3, bytes]);
  await next.connected('b-1');
  assert.equal(stream.events, 0);
  assert.ok(stream.bytes > 0 && stream.bytes < bytes, `${stream.bytes} bytes of a greeting`);
  const greeting = stream.bytes;
  await next.send(...events(4, 5));
  assert.equal(stream.events, 1);
  assert.ok(stream.bytes > greeting);
});
