// Tabs that share a stream, in one process: each has a copy of the script of its
// own. They agree as tabs without Web Locks do, over channels.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';

import { Server, emit, settled, startClock } from './browser.mjs';

const scripts = await Promise.all([1, 2, 3].map((n) => import(`../src/stream.js?tab=${n}`)));

let clock, server, tabs;

// Tab is one tab, with what its page was handed.
class Tab {
  messages = [];
  runs = [];

  constructor(options = {}) {
    const { Stream } = scripts[tabs.length];
    this.stream = new Stream({ name: 'of t', url: () => '/sse-stream', retry: 1000, ...options }, {
      change() {},
      message: (message, run) => {
        this.messages.push(message);
        this.runs.push(run);
      },
    });
    tabs.push(this);
  }

  get ids() {
    return this.messages.filter(({ fields }) => !fields).map(({ id }) => id);
  }

  // connect returns when it was decided who leads.
  async connect() {
    const before = new Set(BroadcastChannel.all);
    this.stream.connect();
    await clock.pass(600);
    this.channels = [...BroadcastChannel.all].filter((channel) => !before.has(channel));
  }

  // sleep is what a browser does to a tab that nobody looks at.
  sleep(asleep) {
    for (const channel of this.channels) channel.asleep = asleep;
  }
}

// led connects a tab that leads, and returns it with the server's end of its stream.
async function led(options) {
  const tab = new Tab(options);
  await tab.connect();
  return [tab, await served()];
}

async function served() {
  const stream = server.last.stream();
  await settled();
  await stream.connected(`c-${server.requests.length}`, { position: '1-0' });
  return stream;
}

async function followed(options) {
  const tab = new Tab(options);
  await tab.connect();
  return tab;
}

const events = (from, to) => Array.from({ length: to - from }, (_, n) => ({ id: `100-${from + n}`, data: String(from + n) }));
const idsOf = (from, to) => events(from, to).map(({ id }) => id);
const leaders = () => tabs.filter(({ stream }) => stream.leads);

beforeEach(() => {
  clock = startClock();
  server = new Server();
  tabs = [];
});

afterEach(async () => {
  for (const { stream } of tabs) stream.dispose();
  await clock.pass(100);
  clock.stop();
  document.hidden = false;
});

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
