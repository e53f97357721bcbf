// What a tab lacks that joins, or comes back.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import { settled } from './browser.mjs';
import { Tab, clock, events, followed, idsOf, led, served, server, tabs } from './tabs.mjs';

test('what a tab is given of the past is told as past, and its stream is open since it reads it', async () => {
  const [, line] = await led();
  await line.send(...events(1, 4));
  await clock.pass(20_000);
  const second = await followed();
  await line.send(...events(4, 6));
  const past = ({ messages, runs }) => runs.filter((_, n) => !messages[n].fields).map((run) => Boolean(run.past));
  assert.deepEqual(past(second), [true, true, true, false, false]);
  assert.deepEqual(past(tabs[0]), Array(5).fill(false));
  const age = ({ stream }) => Date.now() - stream.openedAt;
  assert.ok(age(tabs[0]) >= 20_000 && age(second) < 1000, `${age(second)} ms`);
  line.break();
  await clock.pass(1500);
  const next = await served();
  await clock.pass(500);
  assert.equal(second.stream.openedAt, tabs[0].stream.openedAt, 'opened anew for both');
  // What it fetches by itself is of the past, too.
  const [third, own] = await lagging(next, 10);
  await own.send(...events(10 + 50, 10 + 60));
  assert.deepEqual(past(third).slice(-10), Array(10).fill(true));
});

test('a tab that joins one that had resumed has what the server held before', async () => {
  const [first, line] = await led({ url: (lastID) => (lastID ? '/sse-stream' : '/sse-stream?last=50') });
  await line.send(...events(1, 4));
  first.stream.dispose(); // as by a reload, which goes on behind the last event
  await clock.pass(100);
  const again = new Tab();
  again.stream.lastID = '100-3';
  await again.connect();
  assert.equal(server.last.options.headers['Last-Event-ID'], '100-3');
  const resumed = await served();
  // The leader keeps nothing, and then one event; the server has more each time.
  for (const upTo of [4, 5]) {
    if (upTo > 4) await resumed.send(...events(4, upTo));
    const n = server.requests.length;
    const joins = new Tab({ url: (lastID) => (lastID ? '/sse-stream' : '/sse-stream?last=50') });
    await joins.connect();
    assert.equal(server.requests.length, n + 1, 'what was before is not asked for');
    assert.match(server.last.url, /last=50/);
    const own = server.last.stream();
    await settled();
    await own.connected('own', { position: '100-0', live: `100-${upTo - 1}` });
    await own.send(...events(1, upTo));
    await clock.pass(100);
    assert.ok(own.over || server.last.aborted, 'the connection of its own stays open');
    assert.deepEqual(joins.ids, idsOf(1, upTo));
    assert.ok(joins.runs.every((run) => run.past));
    assert.deepEqual(joins.messages.filter(({ event }) => event === 'connected').map(({ fields }) => fields.connection), ['c-2'], 'it is greeted once, by the stream that it shares');
    joins.stream.disconnect();
    await clock.pass(100);
    tabs.pop();
  }
  // Where the server holds nothing, nothing is waited for.
  const empty = new Tab();
  await empty.connect();
  const own = server.last.stream();
  await settled();
  await own.connected('own', { position: '100-9', live: '100-9' });
  await clock.pass(100);
  assert.deepEqual([empty.stream.state, empty.ids], ['connected', idsOf(4, 5)]);
});

test('who lacks more than the leader keeps fetches it, and misses nothing meanwhile', async () => {
  const [first, line] = await led();
  const [second, own] = await lagging(line);
  assert.equal(server.requests.length, 2);
  assert.equal(server.last.options.headers['Last-Event-ID'], '100-2');
  await line.send(...events(303, 305));
  await own.send(...events(50, 200));
  await clock.pass(100);
  assert.ok(server.requests[1].aborted, 'the connection of its own stays open');
  assert.deepEqual(second.ids, idsOf(1, 305));
  await line.send(...events(305, 307));
  assert.deepEqual(second.ids, idsOf(1, 307));
  assert.equal(first.stream.tabs, 2);
});

test('what comes just as a tab has caught up is not taken for all that came meanwhile', async () => {
  const [, line] = await led();
  const [second, own] = await lagging(line);
  await line.send(...events(303, 304));
  const caughtUp = own.send(...events(50, 104));
  for (let n = 304; n < 333; n++) {
    line.send(...events(n, n + 1)); // with no rest between them
    await new Promise(setImmediate);
  }
  await caughtUp;
  await clock.pass(100);
  assert.deepEqual(second.ids, idsOf(1, 333));
  assert.equal(second.stream.tabs, 2);
});

// lagging is a follower that fetches what its leader does not keep, with the server's
// end of the connection by which it does.
async function lagging(line, n = 0) {
  const tab = await followed();
  await line.send(...events(n + 1, n + 3));
  tab.stream.disconnect();
  await clock.pass(100);
  await line.send(...events(n + 3, n + 303));
  tab.stream.connect();
  await clock.pass(600);
  const own = server.last.stream();
  await settled();
  await own.connected('own');
  await own.send(...events(n + 3, n + 50));
  return [tab, own];
}

test('while the server is away a tab waits with what it lacks, and asks for it once the server is back', async () => {
  const first = new Tab({ retry: 5000 });
  first.stream.lastID = '100-3';
  await first.connect();
  server.last.fail();
  await settled();
  const second = await followed({ url: () => '/own' });
  await clock.pass(300);
  assert.deepEqual([server.requests.length, second.stream.state], [1, 'error']);
  await clock.pass(5000);
  const line = await served();
  await line.send(...events(4, 6)); // while it is told
  await clock.pass(100);
  assert.equal(server.last.url, '/own');
  const n = server.requests.length;
  const own = server.last.stream();
  await settled();
  await own.connected('own', { position: '100-0', live: '100-5' });
  await own.send(...events(1, 6));
  await clock.pass(100);
  await line.send(...events(6, 7));
  assert.deepEqual([second.ids, second.stream.state, server.requests.length], [idsOf(1, 7), 'connected', n]);
});

test('what a tab lacks and cannot have is a gap', async () => {
  const [, line] = await led();
  const second = await followed();
  await line.send(...events(1, 3));
  second.stream.disconnect();
  await clock.pass(100);
  await line.send(...events(3, 303));
  second.stream.connect();
  await clock.pass(600);
  server.last.answer(503);
  await clock.pass(100);
  await line.send(...events(303, 304));
  const gaps = second.messages.filter(({ event }) => event === 'gap').map(({ fields }) => [fields.from, fields.to]);
  assert.deepEqual(gaps, [['100-2', '100-102']]);
  assert.deepEqual(second.ids, [...idsOf(1, 3), ...idsOf(103, 304)]);
});

test('a tab that leaves while it fetches what it lacks hears nothing more', async () => {
  const [, line] = await led();
  const [second, own] = await lagging(line);
  second.stream.disconnect();
  if (!own.over) await own.send(...events(50, 60));
  await line.send(...events(303, 304));
  assert.ok(own.over, 'the connection of its own stays open');
  assert.deepEqual(second.ids, idsOf(1, 50));
  assert.equal(second.stream.state, 'disconnected');
});

test('a tab that comes to lead while it fetches what it lacks has every event once', async () => {
  const [first, line] = await led();
  const [second, own] = await lagging(line);
  first.stream.disconnect();
  await clock.pass(700);
  assert.ok(second.stream.leads);
  assert.equal(server.last.options.headers['Last-Event-ID'], '100-49');
  const next = await served();
  if (!own.over) await own.send(...events(50, 70));
  await next.send(...events(50, 303));
  await clock.pass(1000);
  assert.deepEqual(second.ids, idsOf(1, 303));
  assert.equal(second.stream.state, 'connected');
});
