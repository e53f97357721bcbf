// What the page measures and tells: clocks, rows, readers, reports to the server.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';

import { Server, emit, settled, startClock } from './browser.mjs';

process.env.TZ = 'Asia/Kolkata';

const clocks = await import('../src/clock.js');
const beacon = await import('../src/beacon.js');
const health = await import('../src/health.js');
const { Left } = await import('../src/left.js');
const memory = await import('../src/memory.js');
const { inAll, judge, together, worseFirst, worstFirst } = await import('../src/judge.js');
const { frame } = await import('../src/lookup.js');
const { setNode } = await import('../src/node.js');
const { enteredAt, isFound, showLatency, toLine } = await import('../src/row.js');
const { Series } = await import('../src/series.js');
const { Stats } = await import('../src/stats.js');
const title = await import('../src/title.js');

let clock, server;

beforeEach(() => {
  clock = startClock();
  server = new Server();
});

afterEach(() => {
  beacon.setOpen(false); // its timers are of this clock
  clock.stop();
  clocks.synchronise(0, 0, 0);
  document.hidden = false;
});

// row is what row.js needs of a row of the feed.
function row(dataset, text = '') {
  const cells = { '.item-latency': { dataset: {} }, '.item-data': { textContent: text } };
  return { dataset, cells, querySelector: (selector) => cells[selector] ?? null };
}

test('the offset is by how much the server’s clock is ahead, where the two cannot be the same', () => {
  clocks.synchronise(1000, 5000.5, 1011);
  assert.equal(clocks.offset, 3995);
  clocks.synchronise(5000, 1000, 5011); // whole milliseconds were cut
  assert.equal(clocks.offset, -4005);
  clocks.synchronise(5000, NaN, 5011);
  assert.equal(clocks.offset, -4005);
  for (const at of [1000, 1005.2, 1010, 999]) {
    clocks.synchronise(1000, at, 1010.5);
    assert.equal(clocks.offset, 0, `the server read ${at}`);
  }
});

test('a latency is from the log to the screen by one clock', () => {
  clocks.synchronise(1000, 61_000.5, 1001);
  const item = row({ id: '60500-0', time: '60500.25' });
  const ms = showLatency(item, 1000, true);
  assert.ok(Math.abs(ms - 499.75) < 1, `${ms} ms`);
  assert.equal(item.dataset.latency, ms.toFixed(3));
  assert.equal(item.cells['.item-latency'].dataset.pace, 'slow');
  assert.equal(item.dataset.unseen, undefined);
  const unseen = row({ id: '60500-0', time: '60500.25' });
  assert.equal(showLatency(unseen, 1000, false), ms);
  assert.match(unseen.cells['.item-latency'].textContent, /^came in (499|500) ms$/, 'nobody saw it then');
  assert.equal(unseen.dataset.unseen, '');
  const old = row({ id: '60500-0', time: '60500.25', replayed: '' });
  assert.ok(Number.isNaN(showLatency(old, 1000, true)));
  assert.equal(old.dataset.latency, undefined);
  assert.match(old.cells['.item-latency'].title, /in the log before this stream was read, and came (499|500) ms after a server/);
});

test('a latency is rounded once, to the microsecond, as its journey is', () => {
  const item = row({ id: '1000-0', time: '1000', accepted: '1000.000' });
  assert.equal(showLatency(item, 1015.9521 - clocks.offset, true), 15.952);
  assert.equal(item.cells['.item-latency'].textContent, '16.0 ms', '15.95 would be written as 15.9');
  assert.equal(clocks.duration(Number(item.dataset.latency)), '16.0 ms');
});

test('a latency counts from when a server took the event: its time and the latency make the time here', () => {
  clocks.synchronise(1000, 61_000.5, 1001);
  // The broker was held up: the event entered the log, and got its ID, 568 ms before it came.
  const held = row({ id: '60932-0', time: '52320.25', accepted: '52320.3' });
  const ms = showLatency(held, 1500, true);
  assert.ok(Math.abs(ms - 9180) < 1, `${ms} ms`);
  assert.equal(held.cells['.item-latency'].textContent, '9.18 s');
  // A publisher's own time says nothing of it.
  assert.equal(showLatency(row({ id: '60932-0', time: '1000', accepted: '52320.3' }), 1500, true), ms);
  // What a server took by a clock that is ahead is not known, and never negative.
  const ahead = row({ id: '60932-0', time: '62000', accepted: '62000' });
  assert.ok(Number.isNaN(showLatency(ahead, 1500, true)));
  assert.equal(ahead.dataset.latency, undefined);
  assert.equal(ahead.cells['.item-latency'].textContent, 'clocks differ');
  assert.equal(showLatency(row({ id: '61501-0', time: '61501', accepted: '61501' }), 1500, true), 0, 'a clock is not read that exactly');
});

test('an event entered the log when its ID says, finer where its own time can be believed', () => {
  assert.equal(enteredAt(row({ id: '60500-3', time: '60500.75' })), 60_500.75);
  assert.equal(enteredAt(row({ id: '60500-3', time: '59900' })), 59_900);
  assert.equal(enteredAt(row({ id: '60500-3', time: '1000' })), 60_500);
  assert.equal(enteredAt(row({ id: '60500-3', time: '99000' })), 60_500);
  assert.equal(enteredAt(row({ id: '60500-3', time: 'x' })), 60_500);
});

test('a line of the download is the event', () => {
  const item = row({ id: '5-0', time: '1500', name: 'paid', type: 'order', subject: 'eu.42', traceparent: 't', content: 'json' }, '{"a":\n1}');
  assert.equal(toLine(item, 'orders'), '{"id":"5-0","topic":"orders","time":"1970-01-01T00:00:01.500Z","name":"paid","type":"order","subject":"eu.42","traceparent":"t","data":{"a": 1}}');
  assert.equal(JSON.parse(toLine(row({ id: '5-0', time: '1500' }, 'a "b"'), 'orders')).data, 'a "b"');
});

test('the clock of the page follows the machine’s, and is not moved twice', () => {
  const apart = () => Math.round((clocks.now() - Date.now()) / 1000);
  clocks.resync();
  assert.equal(apart(), 0);
  clocks.resync();
  assert.equal(apart(), 0);
  clock.sleep(3_600_000);
  assert.equal(apart(), -3600);
  clocks.resync();
  clocks.resync();
  assert.equal(apart(), 0);
});

test('times are told in the reader’s zone, or in UTC', () => {
  const at = Date.UTC(2026, 10, 27, 20, 5, 9, 7) + 0.9;
  assert.equal(clocks.dateAndTime(at), '2026-11-28 01:35:09.007 UTC+05:30');
  clocks.setUTC(true);
  assert.equal(clocks.dateAndTime(at), '2026-11-27 20:05:09.007 UTC');
  assert.equal(clocks.timeOfDay(at), '20:05:09');
  clocks.setUTC(false);
  assert.equal(clocks.timeOfDay(at), '01:35:09');
  assert.deepEqual([59_999, 3_599_000, 3_600_000, 7_385_000, 360_000_000].map(clocks.elapsed), ['00:59', '59:59', '01:00:00', '02:03:05', '100:00:00']);
  assert.deepEqual([0.4, 999, 61_000, 3_600_000, 7_380_000, 200_000_000].map(clocks.lasting), ['0 ms', '999 ms', '1 min 1 s', '1 h', '2 h 3 min', '2 days']);
  assert.deepEqual([-3, 0.25, 9.5, 99.96, 100, 999.4, 1000, 12_345, 123_456, NaN].map(clocks.duration), ['0.00 ms', '0.25 ms', '9.50 ms', '100 ms', '100 ms', '999 ms', '1.00 s', '12.3 s', '2 min 3 s', '']);
  assert.deepEqual([0.004, 9.996, 999.6, 9996, 59_949, 59_951, 7_380_000].map(clocks.duration), ['4.0 µs', '10.0 ms', '1.00 s', '10.0 s', '59.9 s', '1 min', '2 h 3 min']);
});

test('figures are of the latest, and charts of so many points', () => {
  const stats = new Stats();
  stats.latency(5000, false);
  stats.latency(6, false);
  for (let n = 0; n < 999; n++) stats.latency(7, true);
  assert.deepEqual(stats.latencyFigures(), { p50: 7, p95: 7, worst: 7, of: 1000, unseen: 1 });
  const series = new Series();
  for (let at = 0; at < 500; at++) series.push(at, at, String(at));
  assert.deepEqual([series.times.length, series.values.length, series.counts.length, series.values[0]], [120, 120, 120, 380]);
});

test('a reader is judged by what it has not read, in the log and in the network', () => {
  const topic = { head: 1000, entries: 500, limit: 500, lastMinute: 60 };
  const of = (reader, read) => {
    const { behind, loss, gone, first, level, says } = judge({ lag: 0, events: 900, idle: 0, waiting: 0, left: -1, cut: -1, lost: 0, ...reader }, topic, read);
    return [behind, loss, gone, first, level, says];
  };
  // What a client has read it alone knows: this page of its own stream.
  assert.deepEqual(of({}), [0, Infinity, 0, '', 'good', 'all sent']);
  assert.deepEqual(of({}, 900), [0, Infinity, 0, '', 'good', 'caught up']);
  assert.deepEqual(of({ missed: 1620 }), [0, Infinity, 0, '', 'good', 'all sent, 1,620 lost before']);
  assert.deepEqual(of({}, 950), [0, Infinity, 0, '', 'good', 'caught up']); // this page knows more than the picture yet
  assert.deepEqual(of({}, 880), [20, Infinity, 0, '', 'wait', '20 on the way to you']);
  assert.deepEqual(of({ waiting: 5000 }), [0, Infinity, 0, '', 'wait', 'all sent, 5.0 kB not taken yet']);
  assert.deepEqual(of({ lag: 2 }), [2, Infinity, 0, '', 'good', 'being sent']);
  assert.deepEqual(of({ lag: 380, left: 120 }), [380, 120, 0, '', 'wait', 'still taking']);
  assert.deepEqual(of({ lag: 380 }), [380, Infinity, 0, '', 'wait', 'still taking']);
  assert.deepEqual(of({ lag: 1, idle: 1, cut: 9 }), [1, Infinity, 0, 'cut', 'wait', 'has acknowledged nothing for 1 s']);
  // What comes first is told, and it alone.
  assert.deepEqual(of({ lag: 380, left: 120, idle: 8, cut: 2 }), [380, 120, 0, 'cut', 'bad', 'has acknowledged nothing for 8 s, cut off in 2 s']);
  assert.deepEqual(of({ lag: 380, left: 4, idle: 8, cut: 22 }), [380, 4, 0, 'loss', 'bad', 'has acknowledged nothing for 8 s, would lose events in 4 s']);
  assert.deepEqual(of({ lag: 510, left: 0, lost: 10, idle: 75, cut: 525 }), [510, 0, 10, 'cut', 'bad', 'has acknowledged nothing for 1 min 15 s, cut off in 8 min 45 s']);
  assert.deepEqual(of({ lag: 3, idle: 8, cut: -1 }), [3, Infinity, 0, '', 'bad', 'has acknowledged nothing for 8 s']); // it is being cut off
  assert.equal(of({ lag: 3, idle: 8, cut: 2, protocol: '2' })[5], 'a write has waited for 8 s, cut off in 2 s');
  // A reader of some subjects stands where it is in the log, and lags by its own.
  const { behind, distance } = judge({ lag: 149, back: 740, events: 900, idle: 0, waiting: 0 }, topic, 890);
  assert.deepEqual([behind, distance], [159, 750]);
  assert.equal(judge({ lag: 100, events: 0, idle: 0, waiting: 0 }, undefined).says, 'all sent');
  const readers = [{ n: 1, own: false, worry: 0, behind: 0 }, { n: 2, own: false, worry: 3, behind: 5 }, { n: 3, own: true, worry: 0, behind: 0 }, { n: 4, own: false, worry: 3, behind: 9 }, { n: 5, own: false, worry: 1, behind: 99 }];
  assert.deepEqual(readers.sort(worstFirst).map(({ n }) => n), [3, 4, 2, 5, 1]);
});

test('what readers at one place do is told together, and behind is who has not been sent all', () => {
  const well = { level: 'good', behind: 1, says: 'being sent' };
  const late = { level: 'bad', behind: 1490, gone: 88, says: 'has acknowledged nothing for 8 s' };
  const untaken = { level: 'wait', behind: 0, says: 'all sent, 36.6 kB not taken yet' };
  const of = (...readers) => together({ readers, own: false });
  assert.equal(of(late), 'has acknowledged nothing for 8 s, 1,490 behind, 88 of them lost');
  assert.equal(of(untaken), 'all sent, 36.6 kB not taken yet');
  assert.equal(of(well, untaken), '1 keeps up, 1 has not taken all yet');
  assert.equal(of(well, well, late, untaken, untaken), '2 keep up, 1 behind, 2 have not taken all yet');
  assert.deepEqual([{ readers: [well], own: true }, { readers: [late], own: true }].map(together), ['you: 1 behind', 'you: 1,490 behind']);
  // The worse has its words where there is room for one alone.
  const places = [{ level: 'good', own: true, readers: [well] }, { level: 'wait', own: false, readers: [untaken] }, { level: 'bad', own: false, readers: [{ behind: 3 }] }, { level: 'bad', own: false, readers: [well, late] }];
  assert.deepEqual([...places].sort(worseFirst).map((place) => places.indexOf(place)), [3, 2, 1, 0]);
});

const traced = (n, flags = '01') => ({ dataset: { id: `${n}-0`, traceparent: `00-${'a'.repeat(32)}-${'b'.repeat(16)}-${flags}` } });

// takeBeacons is a server that takes every beacon; it returns those that have come.
function takeBeacons() {
  const taken = [];
  globalThis.fetch = async (address, { body }) => {
    taken.push(JSON.parse(body));
    return { status: 204 };
  };
  return taken;
}

test('reports go out under the connection on which the events came, at most a hundred at once', async () => {
  const taken = takeBeacons();
  beacon.setOpen(true);
  beacon.setConnection('one', 'proof one');
  for (let n = 0; n < 120; n++) beacon.report('t', traced(n), 1000 + n, 2000 + n);
  beacon.report('t', traced(500, '00'), 1, 2); // not sampled
  beacon.report('t', traced(501), 1501, 0); // never on screen
  assert.equal(taken.length, 1);
  beacon.setConnection('one', 'proof one'); // told again
  assert.equal(taken.length, 1);
  beacon.setConnection('two', 'proof two');
  beacon.report('t', traced(130), 1130, 2130);
  await clock.pass(1000);
  beacon.report('t', traced(131), 1131, 2131);
  document.hidden = true;
  document.dispatchEvent(new Event('visibilitychange'));
  beacon.report('t', traced(132), 1132, 2132);
  emit('pagehide');
  assert.deepEqual(taken.map(({ connection, proof, reports }) => [connection, proof, reports.length]), [['one', 'proof one', 100], ['one', 'proof one', 21], ['two', 'proof two', 1], ['two', 'proof two', 1], ['two', 'proof two', 1]]);
  assert.deepEqual(taken[1].reports[20], { topic: 't', id: '501-0', traceparent: traced(0).dataset.traceparent, received: 1501 });
  assert.deepEqual(taken[2].reports[0], { topic: 't', id: '130-0', traceparent: traced(0).dataset.traceparent, received: 1130, shown: 2130 });
});

test('a page that did not read says so, and by which clock its rows are told', async (t) => {
  const taken = takeBeacons();
  t.mock.method(performance, 'now', () => Date.now() - performance.timeOrigin);
  clocks.resync();
  beacon.setConnection('three', 'proof three');
  clocks.synchronise(1000, 61_000.5, 1001);
  beacon.setOpen(true);
  await clock.pass(1000);
  clock.sleep(3000); // its main thread is at something else
  await clock.pass(100);
  beacon.report('t', traced(1), clocks.now(), clocks.now());
  await clock.pass(500);
  beacon.report('t', traced(2), clocks.now(), clocks.now());
  await clock.pass(600);
  const [{ offset, reports: [busy, idle] }] = taken;
  assert.ok(busy.busy > 2900 && busy.busy <= 3100, `${busy.busy} ms`);
  assert.equal(idle.busy, undefined);
  assert.equal(offset, 60_000);
});

test('what cannot be told while the stream is down is not told later', async () => {
  const taken = takeBeacons();
  beacon.setOpen(true);
  beacon.report('t', traced(1), 1, 2);
  beacon.setOpen(false);
  beacon.setOpen(true);
  await clock.pass(2000);
  beacon.report('t', traced(2), 1, 2);
  await clock.pass(1000);
  assert.deepEqual(taken.map(({ reports }) => reports.map(({ id }) => id)), [['2-0']]);
});

test('reports go to the node of the stream, and end where another one gets them', async () => {
  setNode('b&c');
  beacon.setOpen(true);
  for (const [connection, status, want] of [['three', 409, 3], ['four', 204, 5]]) {
    beacon.setConnection(connection, 'proof');
    const before = server.requests.length;
    for (let n = 0; n < 5; n++) {
      beacon.report('t', traced(n), 1, 2);
      await clock.pass(1000);
      if (server.requests.length > before + n) server.last.answer(status);
      await settled();
    }
    assert.equal(server.requests.length - before, want, `answered by ${status}`);
  }
  assert.equal(server.last.url, '/telemetry/browser?node=b%26c');
  assert.ok(server.last.options.keepalive);
  setNode('');
});

test('the lag of the page’s connection is asked for as long as there is that connection', async () => {
  const lags = [];
  const shows = (name) => ({ lag_events: lag }) => lags.push([name, lag]);
  const details = (connection, lag) => server.last.answer(200, {}, JSON.stringify({ connection_details: { [connection]: { lag_events: lag } } }));
  health.watch('one', shows('one'));
  await clock.pass(600);
  details('one', 3);
  await clock.pass(5000);
  details('one', 4);
  await clock.pass(5000);
  const late = server.requests.length;
  details('one', 5);
  health.watch('two', shows('two')); // before the answer was heard
  await settled();
  await clock.pass(600);
  details('two', 1);
  await clock.pass(4000);
  health.stop();
  await clock.pass(20_000);
  assert.deepEqual(lags, [['one', 3], ['one', 4], ['two', 1]]);
  assert.equal(server.requests.length, late + 1);
  health.watch('three', shows('three'));
  await clock.pass(600);
  health.stop();
  assert.ok(server.last.aborted);
  health.watch('four', shows('four'));
  await clock.pass(600);
  server.last.answer(403);
  await clock.pass(20_000);
  health.watch('five', shows('five'));
  await clock.pass(20_000);
  assert.equal(server.requests.length, late + 3, 'asked again after a refusal');
});

test('a tab remembers once, and for an hour', () => {
  const storage = () => {
    const kept = new Map();
    return { getItem: (key) => kept.get(key) ?? null, setItem: (key, value) => kept.set(key, value), removeItem: (key) => kept.delete(key) };
  };
  Object.assign(globalThis, { sessionStorage: storage(), localStorage: storage() });
  memory.remember({ topic: 't', rows: 'x' });
  assert.equal(memory.recall().topic, 't');
  assert.equal(memory.recall(), null);
  memory.remember({ topic: 't', rows: '' });
  clock.sleep(3_600_000);
  assert.equal(memory.recall(), null);
  memory.setting('utc', 'on');
  assert.equal(memory.setting('utc'), 'on');
  memory.setting('utc', 'off');
  assert.equal(memory.setting('utc'), 'off');
});

test('of the topics that were left the latest are kept, for an hour', () => {
  const left = new Left();
  for (const topic of 'abcdeb') left.keep({ topic, lastID: topic });
  assert.deepEqual([...'abb'].map((topic) => left.take(topic)), [undefined, { topic: 'b', lastID: 'b' }, undefined]);
  clock.sleep(3_600_000);
  assert.equal(left.take('c'), undefined);
});

test('the title and the icon tell the state, and what was not seen', () => {
  const icon = { dataset: {} };
  document.elements.favicon = icon;
  const shows = (...args) => {
    title.show(...args);
    return [document.title, icon.dataset.state];
  };
  assert.deepEqual(shows('connected', 't', 'feed', 0), ['t · Weir', 'connected']);
  const green = icon.href;
  assert.deepEqual(shows('connected', 't', 'feed', 7), ['(7) t · Weir', 'connected']);
  assert.deepEqual(shows('error', 't', 'streams', 120), ['▲ (99+) t · streams · Weir', 'error']);
  assert.notEqual(icon.href, green);
  assert.deepEqual(shows('connected', 't', 'feed', 0), ['t · Weir', 'connected']);
  assert.equal(icon.href, green);
});

test('a frame stands as it is on the wire', () => {
  assert.equal(frame({ id: '5-0', event: 'order', data: 'a\nb' }), 'event: order\ndata: a\ndata: b\nid: 5-0\n\n');
  assert.equal(frame({ id: '', event: '', data: '' }), 'data: \n\n');
});

test('a row is found by what is in a cell, and not by what two cells make together', () => {
  const cell = (textContent, className = '', children = []) => ({ textContent, className, children });
  const body = [cell('plant'), cell('line 7'), cell('seq 381'), cell('hello')];
  const item = {
    dataset: { id: '1763832000123-4', type: 'measured' },
    children: [cell('15:37:32.641', 'item-time'), cell('plantline 7seq 381hello', 'item-body', body), cell('206 ms', 'item-latency'), cell('3e2a1a97', 'item-trace')],
    get textContent() { return this.children.map((part) => part.textContent).join(''); },
  };
  for (const found of ['15:37', 'hello', 'seq 381', 'line 7', '206 ms', '3e2a', '1763832000123-4']) assert.ok(isFound(item, found), found);
  for (const joined of ['hello20', 'ms3e', 'plantline', '7seq', '381hello', '97 measured', 'measured 17']) assert.ok(!isFound(item, joined), joined);
  // Nor by what no row shows: every row has a type, and each ID begins like the one before.
  for (const unseen of ['measured', '17638', '000123-4']) assert.ok(!isFound(item, unseen), unseen);
});

test('who hears the picture of a topic hears what it shows', () => {
  const well = { level: 'good', behind: 0 };
  assert.equal(inAll([well, { level: 'good', behind: 2 }]), 'none is behind');
  assert.equal(inAll([well, { level: 'wait', behind: 0 }]), '1 has not taken all yet');
  assert.equal(inAll([{ level: 'wait', behind: 3 }, { level: 'bad', behind: 7 }, { level: 'wait', behind: 0 }, { level: 'wait', behind: 0 }]), '2 behind, the furthest by 7 events, 2 have not taken all yet');
});
