// The view of the streams, before a server that the test plays, in node.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';

import { Server, settled, startClock } from './browser.mjs';

// Element is what the view needs of one.
class Element {
  children = [];
  dataset = {};
  attributes = new Set();
  textContent = '';
  hidden = false;
  isConnected = true;
  clientWidth = 1000;
  parent = null;

  get cells() {
    return this.children;
  }

  append(...children) {
    for (const child of children) this.insertBefore(child, null);
  }

  insertBefore(child, before) {
    child.remove();
    child.parent = this;
    this.children.splice(before ? this.children.indexOf(before) : this.children.length, 0, child);
  }

  remove() {
    if (this.parent) this.parent.children.splice(this.parent.children.indexOf(this), 1);
    this.parent = null;
  }

  replaceChildren(...children) {
    this.children = [];
    this.textContent = children.map((child) => child.textContent ?? child).join('');
  }

  setAttribute(name) {
    this.attributes.add(name);
  }

  getAttribute() {
    return null;
  }

  getContext() {
    return paper;
  }

  toggleAttribute(name, on) {
    if (on) this.attributes.add(name);
    else this.attributes.delete(name);
  }
}

let frames = []; // what waits for the next animation frame
let marks = []; // of the picture as it was drawn last: {x, y, r}
let words = []; // likewise

// paper takes what a band draws.
const paper = new Proxy({
  clearRect: () => { marks = []; words = []; },
  arc: (x, y, r) => marks.push({ x, y, r }),
  fillText: (text) => words.push(text),
  measureText: (text) => ({ width: 6 * text.length }),
}, { get: (does, name) => does[name] ?? (() => {}), set: () => true });

class Observer {
  observe() {}
}
Object.assign(globalThis, {
  ResizeObserver: Observer,
  MutationObserver: Observer,
  matchMedia: () => ({ matches: false, addEventListener() {} }),
  requestAnimationFrame: (act) => frames.push(act),
  cancelAnimationFrame: () => { frames = []; },
  getComputedStyle: () => ({ getPropertyValue: () => '', color: '#000', fontFamily: 'sans' }),
  devicePixelRatio: 1,
});
Object.assign(document, { createElement: () => new Element(), body: new Element(), documentElement: new Element() });

const { StreamsView } = await import('../src/streams.js');

let clock, server, view, page;
const el = (id) => document.elements[id];

function draw() {
  for (const act of frames.splice(0)) act(performance.now());
}

beforeEach((t) => {
  clock = startClock();
  server = new Server();
  t.mock.method(Math, 'random', () => 0.5);
  document.elements = {};
  frames = [];
  for (const id of ['streams-curl', 'bands', 'bands-empty', 'bands-legend', 'streams-none', 'streams-note', 'streams-table', 'streams-rows']) document.elements[id] = new Element();
  const head = new Element();
  for (let i = 0; i < 9; i++) head.append(new Element());
  el('streams-table').tHead = { rows: [head] };
  page = { topic: 'q', connection: '', stream: { state: 'disconnected', error: null, events: 0 } };
  view = new StreamsView(() => page);
});

afterEach(async () => {
  view.show(false);
  await clock.pass(100); // it gives back what tabs share
  clock.stop();
  document.hidden = false;
});

const reader = (n) => ({ n, id: `reader-${n}`, topic: 'q', client: '127.0.0.1', protocol: '1.1', format: 'json', agent: '', started: Date.now() });
const topics = (streams) => [{ name: 'q', streams, head: 5, entries: 5, bytes: 100, lastMinute: 5 }];

// frame is what the server tells.
const frame = (data) => ({ event: 'message', data: { data: { t: Date.now(), ...data } } });

// opened answers the request of the view with a stream that two read.
async function opened() {
  view.show(true);
  await clock.pass(500); // no other tab leads
  const stream = server.last.stream();
  await settled();
  await stream.connected('a-1');
  await stream.send(frame({ full: true, topics: topics(2), open: [reader(1), reader(2)] }));
  draw();
  return stream;
}

const states = () => el('streams-rows').children.map((row) => `${row.cells[0].textContent} ${row.cells[8].textContent}`);
const facts = () => el('bands').children[0].children[0].children[1].textContent;

test('what the server told last is shown, also where its line ends before the next look', async () => {
  const stream = await opened();
  assert.deepEqual(states(), ['reader-1 all sent', 'reader-2 all sent']);
  await stream.send(frame({ topics: topics(0), draining: true, gone: [1, 2], ended: [1, 2].map((n) => ({ ...reader(n), events: 5, at: Date.now(), reason: 'drain', unsent: 0 })) }));
  draw();
  await stream.end();
  draw();
  assert.deepEqual(states(), ['reader-1 ended: the server shuts down', 'reader-2 ended: the server shuts down']);
  assert.match(facts(), /^0 streams/);
  assert.match(el('streams-note').textContent, /^as it was at .*, when the server shut down$/);
  assert.ok(el('bands').attributes.has('data-stale'));
});

test('the page’s own stream stays its own in what was told last, where both lines end', async () => {
  Object.assign(page, { connection: 'reader-2-whole', stream: { state: 'connected', error: null, events: 0 } });
  const stream = await opened();
  await stream.send(frame({ topics: topics(1), gone: [1] }));
  page.stream.state = 'error';
  await stream.end();
  draw();
  assert.deepEqual(states(), ['reader-2 caught up']);
  assert.ok(el('streams-rows').children[0].attributes.has('data-own'));
});

test('the view goes on trying, and at once when the page comes in sight', async () => {
  const stream = await opened();
  await stream.end();
  for (let attempt = 1; attempt <= 20; attempt++) {
    const asked = server.requests.length;
    await clock.pass(31_000);
    assert.equal(server.requests.length, asked + 1, `attempt ${attempt}`);
    server.last.fail();
    await settled();
  }
  let asked = server.requests.length;
  document.hidden = true;
  document.dispatchEvent(new Event('visibilitychange'));
  await settled();
  assert.equal(server.requests.length, asked);
  document.hidden = false;
  document.dispatchEvent(new Event('visibilitychange'));
  await settled();
  assert.equal(server.requests.length, asked + 1);
  const again = server.last.stream();
  await settled();
  await again.connected('b-1');
  await again.send(frame({ full: true, topics: topics(1), open: [reader(3)] }));
  draw();
  assert.deepEqual(states(), ['reader-3 all sent']);
  // One that is open is left alone.
  asked = server.requests.length;
  document.dispatchEvent(new Event('visibilitychange'));
  await settled();
  assert.equal(server.requests.length, asked);
});

// now is what a frame tells of a reader: its number, how many events it lags, and was sent.
const now = (n, lag, events) => [n, lag, events, 0, 0, -1, -1, 0, lag, 0];

test('what is held is what was told last: marks at their places, nothing read or aged since', async (t) => {
  let looks = 0;
  t.mock.method(performance, 'now', () => Date.now() - 1_800_000_000_000 + ++looks / 1000);
  Object.assign(page, { connection: 'reader-1-whole', stream: { state: 'connected', error: null, events: 5 } });
  const stream = await opened();
  await stream.send(frame({ topics: topics(2), moved: [now(1, 0, 5), now(2, 0, 5)] }));
  draw();
  await clock.pass(1000);
  await stream.send(frame({ topics: topics(2) }));
  draw();
  await clock.pass(200); // the words of the next frame wait
  const told = { name: 'q', streams: 2, head: 105, entries: 105, bytes: 100, lastMinute: 105 };
  page.stream.events = 25;
  await stream.send(frame({ topics: [told], moved: [now(1, 20, 85), now(2, 50, 55)] }));
  draw(); // and the marks have hardly left their places when the server hangs
  page.stream.events = 85;
  await clock.pass(1000);
  document.hidden = true;
  await clock.pass(5000);
  draw();
  assert.ok(el('bands').attributes.has('data-stale'));
  const at = (index) => 1 + (index / 105) * 979; // in a picture of 1000 px
  assert.deepEqual(marks.map(({ x }) => Math.round(x)).sort((a, b) => a - b), [at(25), at(55)].map(Math.round));
  assert.deepEqual(frames, [], 'something is on its way still');
  const own = el('streams-rows').children.find((row) => row.attributes.has('data-own'));
  assert.deepEqual([4, 6].map((i) => own.cells[i].textContent), ['00:01', '80'], 'of the moment that was told');
});

test('who has all is drawn at the newest event, this page below those who stand there', async () => {
  Object.assign(page, { connection: 'reader-1-whole', stream: { state: 'connected', error: null, events: 400 } });
  view.show(true);
  await clock.pass(500);
  const stream = server.last.stream();
  await settled();
  await stream.connected('a-1');
  const told = { name: 'q', streams: 5, head: 400, entries: 400, bytes: 100, lastMinute: 5 };
  await stream.send(frame({ full: true, topics: [told], open: [1, 2, 3, 4, 5].map(reader), moved: [now(1, 0, 400), now(2, 0, 400), now(3, 3, 397), now(4, 200, 200), now(5, 205, 195)] }));
  draw();
  const [newest, own] = [marks.find(({ r }) => r > 9 && r < 11), marks.at(-1)]; // of two, and this page's, which is drawn last
  assert.deepEqual(marks.filter(({ x }) => x > 900).map(({ x }) => x), [980, 980]);
  assert.ok(own.y - newest.y >= own.r + newest.r, 'one hides the other');
  for (const { y, r } of marks) assert.ok(y - r >= 18 && y + r <= 68, `a mark of ${r} px is at ${y}`);
  assert.ok(marks.some(({ x }) => x > 480 && x < 500), 'those who are between stand at their mean');
});

test('a view without a line says when it tries again', async () => {
  const stream = await opened();
  await stream.end();
  const said = () => el('bands-empty').textContent;
  assert.match(said(), /^As it was at \S+\. Next try in 1 s\.$/);
  await clock.pass(1000);
  assert.match(said(), /^As it was at \S+\. Trying again…$/);
  server.last.fail();
  await settled();
  assert.match(said(), /^As it was at \S+\. Next try in 2 s\.$/);
  await clock.pass(1000);
  assert.match(said(), /^As it was at \S+\. Next try in 1 s\.$/);
});

test('a view that was never there says when it tries again, too', async () => {
  view.show(true);
  await clock.pass(500);
  server.last.fail();
  await settled();
  assert.match(el('bands-empty').textContent, /\. Next try in 1 s\.$/);
  await clock.pass(1000);
  assert.match(el('bands-empty').textContent, /\. Trying again…$/);
});

test('a topic without an event says of what its memory is', async () => {
  const stream = await opened();
  const says = async (topic) => {
    await stream.send(frame({ full: true, topics: [{ ...topics(0)[0], lastMinute: 0, oldest: 0, ...topic }] }));
    draw();
    return facts();
  };
  assert.equal(await says({ head: 0, entries: 0, bytes: 0 }), '0 streams · 0 in the last minute · no event held yet');
  assert.equal(await says({ head: 1, entries: 1, notices: 1, bytes: 541 }), '0 streams · 0 in the last minute · no event held yet · 1 notice of a fault, 541 B');
  assert.equal(await says({ head: 9, entries: 2, notices: 2, bytes: 1082 }), '0 streams · 0 in the last minute · no event held any more · 2 notices of faults, 1.1 kB');
  assert.ok(words.includes('no event is held any more'));
});
