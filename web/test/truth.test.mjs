// What the page says of an event, a gap, a fault and a topic is so, or it says that it
// does not know.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';

import { Server, settled, startClock } from './browser.mjs';

process.env.TZ = 'Asia/Kolkata';

const clocks = await import('../src/clock.js');
const health = await import('../src/health.js');
const { lines } = await import('../src/download.js');
const { Fault, illText } = await import('../src/fault.js');
const { gapText } = await import('../src/gap.js');
const { isNumber } = await import('../src/json.js');
const { exactly } = await import('../src/row.js');
const { lookUp } = await import('../src/lookup.js');
const { Stats } = await import('../src/stats.js');
const { whole } = await import('../src/whole.js');
const { status } = await import('../src/status.js');

let clock, server;

beforeEach(() => {
  clock = startClock();
  server = new Server();
});

afterEach(() => clock.stop());

// row is what the scripts need of a row of the feed.
const row = (dataset, text) => ({ dataset, querySelector: (selector) => (selector === '.item-data' ? { textContent: text } : null) });

// tells answers the question for one event in a format, as the log does.
async function tells(id, data) {
  const lines = data.split('\n').map((line) => `data: ${line}`).join('\n');
  server.last.answer(200, { 'Content-Type': 'text/event-stream; charset=utf-8' }, `${lines}\nid: ${id}\n\n`);
  await settled();
}

test('what is copied and saved is the whole event, or is marked as cut', async () => {
  const json = row({ id: '5-0', time: '1500', content: 'json', partial: '', bytes: '9000' }, '{"a":1');
  const text = row({ id: '6-0', time: '1500', content: 'text', partial: '', cut: '4', bytes: '9' }, 'hello');
  const small = row({ id: '7-0', time: '1500', content: 'text' }, 'small');
  let asked = whole(json, 't');
  await tells('5-0', '{"a":1.50}');
  assert.equal(await asked, '{"a":1.50}');
  assert.match(server.last.url, /format=data/);
  asked = whole(text, 't');
  await tells('6-0', '{"data":"hello\\rall"}');
  assert.equal(await asked, 'hello\rall');
  assert.equal(await whole(small, 't'), 'small');
  assert.equal(server.requests.length, 2);
  const saved = lines([json, text, small], 't');
  await settled();
  await tells('5-0', '{"a":1.50}');
  await settled();
  server.last.answer(404);
  const { list, cut } = await saved;
  assert.equal(cut, 1);
  assert.match(list[0], /"data":\{"a":1.50\}\}\n$/);
  assert.match(list[1], /"data_cut":true,"data_bytes":9,"data":"hello"\}\n$/);
  assert.match(list[2], /"time":"[^"]+","data":"small"\}\n$/);
});

test('why an event cannot be had is said as far as it is known', async () => {
  const asks = () => lookUp('t', '5-0', 'html').catch((error) => error.message);
  const problem = { 'Content-Type': 'application/problem+json' };
  for (const [says, answer] of [
    ['The server does not hold this event.', () => server.last.answer(404, problem, '{"detail":"The server does not hold this event."}')],
    ['The server holds no such event.', () => server.last.answer(404)],
    ['The server asks for credentials (401). Show a token.', () => server.last.answer(401, problem, '{"detail":"Show a token."}')],
    ['The server has told nothing of this event.', () => tells('6-0', 'another')],
    ['The server has told nothing of this event.', () => server.last.answer(200)],
    ['The server cannot be reached. It may be down, or this device is off the network.', () => server.last.fail()],
    ['The server did not answer.', () => clock.pass(5000)], // whether it holds the event is not known
  ]) {
    const asked = asks();
    await answer();
    assert.equal(await asked, says);
    assert.match(server.last.url, /[?&]event=5-0$/);
    assert.equal(server.last.options.headers['Last-Event-ID'], undefined); // it begins no stream, which could have a gap
  }
});

test('what cannot be an ID is not asked for, and what the server reads as one is', async () => {
  const why = (id) => lookUp('t', id, 'html').catch((error) => error.message);
  for (const id of ['hello', '-1-0', '5-', '-', '5-0-0', '5 -0', '18446744073709551616-0', '0-18446744073709551616', `${'0'.repeat(64)}1-0`]) {
    assert.match(await why(id), /^“.{1,64}” cannot be the ID of an event/);
  }
  assert.equal(server.requests.length, 0);
  for (const id of ['5', '05-00']) {
    const asked = lookUp('t', id, 'html');
    await tells('5-0', 'found');
    assert.equal((await asked).data, 'found');
  }
});

test('a number that its row has rounded says from what', () => {
  assert.equal(exactly('26.8', 26.8), '');
  assert.equal(exactly('12,345', 12345), '');
  assert.equal(exactly('26.8', 26.8412), 'rounded from 26.8412');
  assert.equal(exactly('1.23457e+06', 1234567.8), 'rounded from 1234567.8');
  assert.equal(exactly('1.23457e+19', 12345678901234567890), 'rounded: the payload has all digits');
});

test('a gap says from when to when events may be missing, and how many where that is known', () => {
  clocks.setUTC(true);
  const at = Date.now() - (Date.now() % 86_400_000) + Date.UTC(1970, 0, 1, 20, 5, 9, 7);
  assert.equal(gapText(`${at}-0`, `${at + 21_000}-3`, 'restart'), 'Events may be missing, 20:05:09–20:05:30: the server was restarted, or the topic begun anew, and holds nothing from before.');
  assert.match(gapText(`${at}-0`, `${at + 21_000}-3`, 'restart', 0, at + 15_000), /missing, 20:05:24–20:05:30:/, 'the page had all until then');
  assert.match(gapText(`${at}-0`, `${at + 21_000}-3`, 'restart', 0, at - 15_000), /missing, 20:05:09–20:05:30:/);
  assert.match(gapText(`${at}-0`, `${at + 21_000}-3`, 'restart', 0, at + 30_000), /missing, 20:05:09–20:05:30:/);
  assert.equal(gapText(`${at}-0`, `${at + 900}-3`, 'slow', 40), '40 events are missing, 20:05:09.007–20:05:09.907: this page was too slow to keep up.');
  assert.equal(gapText(`${at + 900}-3`, `${at}-0`, 'unknown'), 'Events may be missing here: the server does not know the place where this page left off.');
  assert.equal(gapText('', '', 'slow', 1), '1 event is missing here: this page was too slow to keep up.');
  const old = Date.UTC(2020, 0, 1, 20, 5, 9, 7);
  assert.match(gapText(`${old}-0`, `${old + 21_000}-3`, 'slow'), /missing, 2020-01-01 20:05:09–20:05:30:/);
  assert.match(gapText(`${old}-0`, `${old + 86_400_000}-3`, 'slow'), /missing, 2020-01-01 20:05:09 – 2020-01-02 20:05:09:/);
  clocks.setUTC(false);
});

test('a time of another day has its date, in the zone that is chosen', () => {
  clocks.setUTC(true);
  const midnight = Date.now() - (Date.now() % 86_400_000);
  assert.equal(clocks.when(midnight), '00:00:00');
  assert.equal(clocks.when(midnight - 1, clocks.timeOfDayMillis), `${clocks.today().slice(0, 8)}${String(Number(clocks.today().slice(8)) - 1).padStart(2, '0')} 23:59:59.999`);
  assert.equal(clocks.when(Date.UTC(2020, 0, 1)), '2020-01-01 00:00:00');
  assert.equal(clocks.when(Date.UTC(2031, 0, 1), clocks.timeOfDayMillis), '2031-01-01 00:00:00.000');
  assert.equal(clocks.timeOfDayMillis(-1), '23:59:59.999');
  // 05:30 in Kolkata is another day in UTC.
  const early = midnight + 86_400_000 - 5.5 * 3_600_000;
  assert.equal(clocks.dateUnlessToday(early), '');
  clocks.setUTC(false);
  assert.notEqual(clocks.dateUnlessToday(early) || clocks.dateUnlessToday(midnight), '');
  clock.sleep(86_400_000);
  assert.notEqual(clocks.dateUnlessToday(midnight + 43_200_000), '', 'what was today is yesterday');
});

test('the end of a fault is announced, and what was announced of it is taken back', () => {
  const shown = Object.assign(status(() => ({})), { keepFocus() {} });
  shown.tellNotice('stream-error', 'The source has failed.');
  assert.equal(shown.announcement, 'The source has failed.');
  shown.tellNotice('stream-error', '', 'The fault is over.');
  assert.deepEqual([shown.announcement, shown.hasNotice], ['The fault is over.', false]);
  shown.tellNotice('stream-error', 'It has failed again.');
  shown.tellNotice('stream-error', '', '');
  assert.deepEqual([shown.announcement, shown.hasNotice], ['', false]);
});

test('a fault is over when the topic is well again, or an event comes', () => {
  const fault = new Fault();
  const unwell = { status: 'unwell' };
  const well = { status: 'ok' };
  assert.deepEqual([fault.came(), fault.judge(well, Date.now())], ['', '']);
  fault.told(false);
  assert.equal(fault.judge(well, Date.now() - 1), '', 'the server was asked before');
  assert.deepEqual([well, undefined, unwell, unwell, well, well].map((topic) => fault.judge(topic, Date.now())), ['', '', '', '', 'over', '']);
  fault.told(true); // told to a tab that came later
  assert.equal(fault.judge(well, Date.now()), 'over');
  fault.told(false);
  assert.equal(fault.came(), 'passed');
  fault.told(false);
  fault.judge(unwell, Date.now());
  assert.equal(fault.came(), 'over');
});

test('a topic that stays unwell is told of, where the stream has told nothing', () => {
  const fault = new Fault();
  const missing = { status: 'unwell', source: 'failing', source_fault: 'missing' };
  const well = { status: 'ok' };
  const judged = (...topics) => topics.map((topic) => fault.judge(topic, Date.now()));
  assert.deepEqual(judged(well, missing, well, missing, undefined, missing, missing, well, well), ['', '', '', '', '', 'ill', '', 'passed', '']);
  assert.deepEqual([judged(missing), fault.came(), judged(missing, missing)], [[''], '', ['ill', '']], 'it may give an event before each failure');
  fault.told(false);
  assert.deepEqual(judged(missing, well, missing), ['', 'over', ''], 'the stream has told');
  assert.match(illText(missing), /^The source of this topic has failed: what it reads is not there\./);
  assert.match(illText({ status: 'unwell', source: 'down', source_fault: 'other' }), /^The source of this topic has failed repeatedly\. /);
  assert.match(illText({ status: 'unwell', source: 'up', broker: 'failing' }), /^The event broker cannot be reached, or takes no events\. /);
});

test('clearing the feed does not make the last minute shorter', () => {
  const stats = new Stats();
  const t0 = 1_800_000_000_000;
  for (let n = 0; n < 30; n++) stats.count(t0 + n * 500);
  stats.latency(5, true);
  stats.clear();
  assert.deepEqual([stats.total, stats.lastAt, stats.latencyFigures(), stats.lastMinute(t0 + 15_000).events], [0, 0, null, 30]);
  stats.reset();
  assert.equal(stats.lastMinute(t0 + 15_000).events, 0);
});

test('a bare number is one', () => {
  assert.deepEqual(['20', '-1.5', '1e3', '0', '', 'x', '1 2', '0x10', 'Infinity', '1.'].map(isNumber), [true, true, true, true, false, false, false, false, false, false]);
});

test('the server is asked about the topic too, and at once when it matters', async () => {
  const shown = [];
  health.watch('six', ({ lag_events: lag }, topic, askedAt) => shown.push([lag, topic?.status, askedAt]), 'a b');
  await clock.pass(600);
  assert.match(server.last.url, /connection=six&topic=a%20b/);
  server.last.answer(200, {}, '{"connection_details":{"six":{"lag_events":2}},"topics":{"a b":{"status":"unwell"}}}');
  await settled();
  const n = server.requests.length;
  health.soon();
  health.soon();
  assert.equal(server.requests.length, n + 2);
  assert.ok(server.requests[n].aborted);
  server.last.answer(200, {}, '{"topics":{"a b":{"status":"ok"}}}');
  await clock.pass(100);
  assert.deepEqual(shown.map(([lag, status]) => [lag, status]), [[2, 'unwell'], [undefined, 'ok']]);
  health.stop();
  health.soon();
  assert.equal(server.requests.length, n + 2);
});
