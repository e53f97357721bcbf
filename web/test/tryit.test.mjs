// Try it, and the buttons that copy, in node.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';

import { Server, settled, startClock } from './browser.mjs';

const { copy } = await import('../src/copy.js');
const { tryIt } = await import('../src/tryit.js');

let clock, server, page, box, shown;

beforeEach(() => {
  clock = startClock();
  server = new Server();
  box = { value: 'hello' };
  document.elements = { 'try-text': box, 'show-try': { addEventListener() {} } };
  page = { topic: 'run.1', stream: { state: 'connected', frozenUntil: 0, cuts: [], cut(ms) { this.cuts.push(ms); }, freeze(ms) { this.frozenUntil = Date.now() + ms; } } };
  shown = tryIt(() => page);
  shown.initTry();
  shown.refreshTry();
});

afterEach(() => clock.stop());

const FORM = 'application/x-www-form-urlencoded';

// abortAfter is AbortSignal.timeout by the test's clock.
function abortAfter(ms) {
  const controller = new AbortController();
  setTimeout(() => controller.abort(new DOMException('', 'TimeoutError')), ms);
  return controller.signal;
}

const live = { event: '', id: '9-0', data: 'x' };

test('curl speaks to a server as this page does', () => {
  const { protocol } = location;
  for (const [scheme, line] of [['https:', 'curl -d hello https://weir.example/t/run.1'], ['http:', 'curl -d hello weir.example/t/run.1']]) {
    Object.assign(location, { protocol: scheme, origin: `${scheme}//weir.example` });
    shown.typed();
    assert.equal(shown.curl, line);
  }
  location.protocol = protocol;
});

test('what is typed is published as what it is, and the line for a terminal does the same', async () => {
  for (const [text, type, line] of [
    ['@/etc/hostname', FORM, `curl --data-raw '@/etc/hostname' weir.example/t/run.1`],
    ['hello', FORM, 'curl -d hello weir.example/t/run.1'],
    ['{"a":1}', 'application/json', `curl -d '{"a":1}' -H 'Content-Type: application/json' weir.example/t/run.1`],
    [' [1, 2]', 'application/json', `curl -d ' [1, 2]' -H 'Content-Type: application/json' weir.example/t/run.1`],
    ['{no JSON', FORM, `curl -d '{no JSON' weir.example/t/run.1`],
    [`it's`, FORM, `curl -d 'it'\\''s' weir.example/t/run.1`],
  ]) {
    box.value = text;
    shown.typed();
    assert.equal(shown.curl, line);
    const published = shown.publish({ preventDefault() {} });
    const { url, options } = server.last;
    assert.deepEqual([url, options.method, options.body, options.headers['Content-Type']], ['/t/run.1', 'POST', text, type]);
    server.last.answer(200, {}, '{"ids":["1-0"]}');
    await published;
    assert.equal(shown.trySaid, 'Published.');
  }
});

// publishes publishes what stands in the field, and returns when the server has taken it.
async function publishes() {
  const published = shown.publish({ preventDefault() {} });
  server.last.answer(200, {}, '{"ids":["1-0"]}');
  await published;
  return shown.trySaid;
}

test('of what was published it is told when it comes, as long as that is so', async () => {
  const { stream } = page;
  const becomes = (fields) => {
    Object.assign(stream, fields);
    shown.refreshTry();
    return shown.trySaid;
  };
  becomes({ state: 'disconnected', wanted: false });
  const press = 'Published. Press Connect to see it come.';
  assert.equal(await publishes(), press);
  assert.equal(becomes({}), press);
  assert.equal(becomes({ state: 'connecting', wanted: true }), 'Published. It comes once the stream is open.');
  assert.equal(becomes({ state: 'connected' }), 'Published.');
  assert.equal(becomes({ state: 'disconnected', wanted: false }), 'Published.', 'it has come');
  becomes({ state: 'error', wanted: true }); // where there is no Connect to press
  assert.equal(await publishes(), 'Published. It comes once the stream is open.');
  assert.equal(becomes({ wanted: false }), press); // it has given up
  becomes({ state: 'connected', wanted: true, frozenUntil: Date.now() + 5000 });
  assert.equal(await publishes(), 'Published. It comes once the page reads again.');
  assert.equal(becomes({ frozenUntil: 0 }), 'Published.');
});

test('what is published while the line is cut does not take the place of how that stands', async () => {
  shown.cutLine();
  const stands = shown.trySaid;
  Object.assign(page.stream, { state: 'error', wanted: true });
  shown.refreshTry();
  assert.equal(await publishes(), `Published. ${stands}`);
  assert.equal(await publishes(), `Published. ${stands}`);
  shown.refreshTry();
  assert.equal(shown.trySaid, `Published. ${stands}`);
  page.stream.state = 'connected';
  shown.tried({ event: 'connected', fields: {} }, false);
  assert.match(shown.trySaid, /^The page is back/);
});

test('why an event was not taken is told', async (t) => {
  t.mock.method(AbortSignal, 'timeout', abortAfter);
  const problem = { 'Content-Type': 'application/problem+json' };
  for (const [answer, said] of [
    [() => server.last.fail(), /^Not published: the server cannot be reached\.$/], [() => clock.pass(8000), /is not known\.$/],
    [() => server.last.answer(401, problem, '{"detail":"Send a token."}'), /^Send a token\.$/], [() => server.last.answer(403, problem, '{"detail":"Publishing is off."}'), /^Publishing is off\.$/],
    [() => server.last.answer(413, problem, '{"detail":"Too large."}'), /^Too large\.$/], [() => server.last.answer(429, { 'Content-Type': 'text/plain' }, 'Later.'), /^Later\.$/],
    [() => server.last.answer(403), /\(403\)/], [() => server.last.answer(502, { 'Content-Type': 'text/html' }, '<h1>'), /\(502\)/],
  ]) {
    const published = shown.publish({ preventDefault() {} });
    await answer();
    await published;
    assert.match(shown.trySaid, said);
    assert.equal(shown.tryKind, 'bad');
  }
});

test('where publishing is off the page says so before anybody tries', async (t) => {
  t.after(() => delete document.body);
  document.body = { dataset: { publishOff: 'Publishing is off. Start the server so.' } };
  shown.refreshTry();
  assert.deepEqual([shown.trySaid, shown.cannotPublish], ['Publishing is off. Start the server so.', 'true']);
  await shown.publish({ preventDefault() {} });
  assert.equal(server.requests.length, 0);
});

test('what was typed is there when the page is loaded again', (t) => {
  const kept = new Map();
  globalThis.sessionStorage = { getItem: (name) => kept.get(name) ?? null, setItem: (name, value) => kept.set(name, value) };
  t.after(() => delete globalThis.sessionStorage);
  for (const text of ['half a sentence', '']) {
    box.value = text;
    shown.typed();
    box.value = 'hello'; // as the page comes
    shown = tryIt(() => page);
    shown.initTry();
    assert.equal(box.value, text);
  }
});

test('a page that asks for a token publishes nothing, and does not speak of the one it had', (t) => {
  t.after(() => delete document.body);
  document.body = { dataset: { publishToken: '', publishes: '' } };
  document.elements.ask = { hidden: true };
  shown.refreshTry();
  assert.match(shown.trySaid, /^Your token publishes nothing/);
  document.elements.ask.hidden = false; // it was taken back
  shown.refreshTry();
  assert.equal(shown.trySaid, 'Publishing needs a token here: give the page one.');
  document.body.dataset = { publishToken: '' }; // no token was given yet
  shown.refreshTry();
  assert.equal(shown.cannotPublish, 'true');
});

test('what another tab does to the shared line is told, and is over when the line thaws', () => {
  const hint = shown.trySaid;
  page.stream.frozenUntil = Date.now() + 5000;
  shown.refreshTry();
  assert.match(shown.trySaid, /^Another tab of this browser froze/);
  page.stream.frozenUntil = 0;
  shown.refreshTry();
  assert.equal(shown.trySaid, hint);
  page.stream.frozenUntil = Date.now() + 5000;
  shown.refreshTry();
  shown.tell('Published.');
  page.stream.frozenUntil = 0;
  shown.refreshTry();
  assert.equal(shown.trySaid, 'Published.', 'what was said meanwhile stays');
  shown.freezeMe();
  shown.refreshTry();
  assert.match(shown.trySaid, /^This page does not read/, 'who froze it is not told that another did');
});

test('after a cut, what was replayed is counted and what came live is not', async () => {
  shown.cutLine();
  assert.deepEqual(page.stream.cuts, [3000]);
  page.stream.state = 'error';
  shown.refreshTry();
  assert.ok(shown.cutHere && shown.cannotCut === 'true');
  shown.cutLine(); // pressed again
  assert.equal(page.stream.cuts.length, 1);
  await clock.pass(3000);
  page.stream.state = 'connected';
  shown.tried({ event: 'connected', fields: {} }, false);
  assert.match(shown.trySaid, /^The page is back/);
  for (let n = 0; n < 3; n++) shown.tried(live, true);
  shown.tried({ event: 'ping', fields: {} }, false);
  for (let n = 0; n < 2; n++) shown.tried(live, false);
  await clock.pass(500);
  assert.equal(shown.trySaid, 'Cut for 3 s: 0 lost, 3 replayed.');
  shown.refreshTry();
  assert.equal(shown.cutHere, false);
  shown.tried(live, true);
  await clock.pass(500);
  assert.equal(shown.trySaid, 'Cut for 3 s: 0 lost, 3 replayed.');
  // The next test begins at nothing.
  shown.cutLine();
  shown.tried({ event: 'connected', fields: {} }, false);
  shown.tried({ event: 'gap', fields: {} }, false);
  await clock.pass(500);
  assert.match(shown.trySaid, /: events may be missing in a gap, 0 replayed\.$/);
  assert.equal(shown.tryKind, 'bad');
});

test('of two gaps, one with its number, the number is the least that was lost', async () => {
  shown.cutLine();
  shown.tried({ event: 'connected', fields: {} }, false);
  shown.tried({ event: 'gap', fields: { missed: 1200 } }, false);
  await clock.pass(500);
  assert.match(shown.trySaid, /: 1,200 lost in a gap, 0 replayed\.$/);
  shown.cutLine();
  shown.tried({ event: 'connected', fields: {} }, false);
  shown.tried({ event: 'gap', fields: {} }, false);
  shown.tried({ event: 'gap', fields: { missed: 1200 } }, false);
  await clock.pass(500);
  assert.match(shown.trySaid, /: at least 1,200 lost in 2 gaps, 0 replayed\.$/);
});

test('a freeze with more gaps than the feed has room for says how many there were, and nothing of the feed', async () => {
  shown.freezeMe();
  shown.refreshTry();
  await clock.pass(9900);
  page.stream.frozenUntil = 0;
  for (let n = 0; n < 1373; n++) shown.tried({ event: 'gap', fields: { missed: 10 } }, false);
  for (let n = 0; n < 1477; n++) shown.tried(live, false);
  shown.refreshTry();
  await clock.pass(500);
  assert.equal(shown.trySaid, 'Frozen for 10 s: 13,730 lost in 1,373 gaps, 1,477 came late.');
});

test('after a freeze everything that came late is counted', async () => {
  shown.freezeMe();
  shown.refreshTry();
  assert.equal(shown.freezeLabel, 'Frozen, 10 s');
  await clock.pass(9900);
  assert.match(shown.trySaid, /does not read/);
  page.stream.frozenUntil = 0;
  for (let n = 0; n < 4; n++) shown.tried(live, false);
  shown.refreshTry();
  await clock.pass(500);
  assert.equal(shown.trySaid, 'Frozen for 10 s: 0 lost, 4 came late.');
  shown.refreshTry();
  assert.deepEqual([shown.freezeLabel, shown.cannotCut], ['Freeze me 10 s', 'false']);
});

// entered is an event that entered the log at a time.
const entered = (at) => ({ event: '', id: `${at}-0`, data: 'x' });

test('in a topic that never pauses, what entered during the freeze is counted, and nothing else', async () => {
  const began = Date.now();
  shown.freezeMe();
  shown.tried(entered(began - 5), false); // of what had been read before
  for (let s = 0; s < 40; s++) {
    await clock.pass(250);
    shown.refreshTry();
  }
  page.stream.frozenUntil = 0;
  for (let n = 0; n < 100; n++) shown.tried(entered(began + 100 * n), false);
  assert.match(shown.trySaid, /^The page reads again/);
  for (let n = 0; n < 3; n++) {
    await clock.pass(100);
    shown.tried(entered(Date.now()), false);
    assert.equal(shown.trySaid, 'Frozen for 10 s: 0 lost, 100 came late.', 'told before the topic pauses');
  }
  // The same of a line that was cut.
  shown.refreshTry();
  shown.cutLine();
  await clock.pass(3500);
  shown.tried({ event: 'connected', fields: {} }, false);
  for (let n = 0; n < 30; n++) shown.tried(entered(Date.now() - 100), true);
  shown.tried(entered(Date.now()), false);
  assert.equal(shown.trySaid, 'Cut for 4 s: 0 lost, 30 replayed.');
});

test('what is told of the line ends when it is no longer so', async () => {
  const hint = shown.trySaid;
  shown.cutLine();
  page.stream.state = 'error';
  await clock.pass(5000);
  shown.refreshTry();
  assert.match(shown.trySaid, /^The line was cut. The page is trying/);
  page.stream.state = 'disconnected'; // the reader has had enough
  shown.refreshTry();
  assert.equal(shown.trySaid, hint);
  page.stream.state = 'connected';
  shown.refreshTry();
  shown.freezeMe();
  shown.refreshTry();
  page.stream.frozenUntil = 0;
  shown.refreshTry();
  page.stream.state = 'error'; // the server has given up on the page
  await clock.pass(2000);
  shown.refreshTry();
  assert.match(shown.trySaid, /^The page reads again/);
  page.stream.state = 'connected';
  shown.tried({ event: 'connected', fields: {} }, false);
  shown.tried(entered(Date.now() - 1000), true);
  await clock.pass(500);
  assert.match(shown.trySaid, /1 came late\. The server had given up/);
});

test('a button that copies has its own words back, however often it is pressed', async () => {
  navigator.clipboard = { writeText: async (text) => { if (text === 'no') throw new Error('refused'); } };
  document.createElement = () => ({ select() {}, remove() {} });
  document.body = { append() {} };
  document.execCommand = () => false;
  const button = { textContent: 'Copy', dataset: {}, querySelector: () => null };
  copy(button, 'x');
  await settled();
  assert.equal(button.textContent, 'Copied');
  await clock.pass(500);
  copy(button, 'no');
  await settled();
  assert.equal(button.textContent, 'Not copied');
  await clock.pass(2100);
  assert.equal(button.textContent, 'Copy');
  copy(button, 'x');
  await clock.pass(1600);
  assert.equal(button.textContent, 'Copy');
  // What is written on it meanwhile stays: the line that publishes, of another topic.
  copy(button, 'x');
  await settled();
  button.textContent = 'another';
  await clock.pass(2100);
  assert.equal(button.textContent, 'another');
  // Where it is for something else by the time, it says nothing.
  copy(button, 'x', 'Copied', () => false);
  await settled();
  assert.equal(button.textContent, 'another');
});

test('that the server could not be reached is not told once the stream is open again', async () => {
  page.stream.openedAt = Date.now();
  const published = shown.publish({ preventDefault() {} });
  await clock.pass(100);
  server.last.fail();
  await published;
  shown.refreshTry();
  assert.match(shown.trySaid, /cannot be reached/);
  page.stream.openedAt = Date.now() + 1000;
  shown.refreshTry();
  assert.doesNotMatch(shown.trySaid, /reached/);
});

test('the line for a terminal has the token that is needed, and Publish what it can do', async () => {
  document.body = { dataset: { publishToken: '', publishes: 'run.* two/eu.*' } };
  shown.typed();
  assert.equal(shown.curl, 'curl -d hello -H "Authorization: Bearer $TOKEN" weir.example/t/run.1');
  assert.equal(shown.cannotPublish, 'false');
  for (const [topic, publishes, said] of [['other', 'run.* two/eu.*', /does not publish to “other”/], ['run.1', '', /publishes nothing/], ['', undefined, /no topic/]]) {
    page.topic = topic;
    document.body.dataset.publishes = publishes;
    shown.typed();
    assert.equal(shown.cannotPublish, 'true');
    await shown.publish({ preventDefault() {} });
    assert.match(shown.trySaid, said);
  }
  assert.equal(server.requests.length, 0);
  assert.match(shown.curl, /\/t\/TOPIC$/);
  delete document.body;
});
