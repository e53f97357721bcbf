// The view of the streams: for each topic a band from the oldest event held to
// the newest, and every open stream at its position. The server sends what has
// changed, a few times a second, as a stream of its own: this view is a client
// of Weir like any other.

import { asksReader } from './access.js';
import { elapsed, lasting, secondsUntil, size, when } from './clock.js';
import { noteEnd, sayEnd } from './endings.js';
import { judge, worstFirst } from './judge.js';
import { at } from './node.js';
import { ended, keepLatest, shownText } from './ending.js';
import { curl } from './shell.js';
import { Stream } from './stream.js';

const ROWS = 100; // of the table
const BANDS = 8;
const QUIET = 4; // bands, as far as there are no more with readers: the table is to be in sight
const TELL_EVERY = 500; // ms: the words, of the picture and of the table; marks move more often
const LATE = 3000; // ms without a frame, of which several come a second: the picture is no longer of now
const ROWS_A_FRAME = 20; // more at a time would cost a frame

const KEPT = 'What the events and notices held take in memory: with their texts once more for each form in which they are read, and for each compression.';

let Band = null; // what draws, fetched when somebody looks: see #load

const byID = (id) => document.getElementById(id);

export class StreamsView {
  #page;
  #stream = null;
  #topics = [];
  #readers = new Map(); // number: reader
  #ended = new Map(); // likewise, those that are over
  #mine = new Set(); // IDs of streams that were this page's
  #with = ''; // the topic that the server was told to show
  #node = '';
  #bands = new Map(); // topic: Band
  #more = 0;
  #left = { moreFaulted: 0, moreLeft: 0 }; // of those that are over
  #draining = false;
  #moreTopics = 0;
  #frame = 0;
  #toldAt = 0; // when #arrange was done last
  #arranged = []; // the readers then, those that are over among them
  #untold = false; // the table is of before that
  #tabledAt = 0; // the moment of #arrange that the table shows
  #unwritten = []; // [place, reader]: rows that are to be written
  #rows = new Map(); // number: tr
  #told = 0; // when the server told of them last
  #read = 0; // events of this page's stream that it had read then
  #heardAt = 0; // likewise, by this page's steady clock
  #late = 0; // the timer that looks whether it still does

  constructor(page) {
    this.#page = page;
    this.#offer();
    new ResizeObserver(() => this.#draw()).observe(byID('bands'));
    const recolor = () => {
      for (const band of this.#bands.values()) band.recolor();
      this.#draw();
    };
    new MutationObserver(recolor).observe(document.documentElement, { attributeFilter: ['data-theme'] });
    for (const query of ['(prefers-color-scheme: dark)', '(forced-colors: active)']) matchMedia(query).addEventListener('change', recolor);
    document.addEventListener('visibilitychange', () => { if (!document.hidden) this.#stream?.retry(); });
  }

  show(shown) {
    if (!shown) {
      this.#forgetEnded();
      this.#stream?.dispose();
      this.#stream = null;
      clearInterval(this.#late);
      cancelAnimationFrame(this.#frame);
      this.#frame = 0;
      return;
    }
    if (this.#stream) return;
    this.#late = setInterval(() => this.#changed(), 1000);
    this.#open();
  }

  // #fresh says that the picture is of now: a server that hangs keeps its streams open.
  get #fresh() {
    return this.#stream?.state === 'connected' && !(this.#told && performance.now() - this.#heardAt > LATE);
  }

  // #untabled says that more has come than the table shows.
  get #untabled() {
    return this.#tabledAt < this.#heardAt;
  }

  // #forgetEnded takes the rows of streams that are over away: the server tells of
  // them again when somebody looks again.
  #forgetEnded() {
    this.#unwritten = [];
    this.#arranged = [...this.#readers.values()];
    for (const n of this.#ended.keys()) {
      this.#rows.get(n)?.remove();
      this.#rows.delete(n);
    }
    this.#ended.clear();
  }

  // #offer says how the chosen topic is read from a terminal.
  #offer() {
    const line = byID('streams-curl'); // not on the address for operators, which has no streams of topics
    if (line) line.textContent = curl(['-N'], asksReader(), `/t/${encodeURIComponent(this.#page().topic || 'TOPIC')}`);
  }

  // topicChanged has the chosen topic shown.
  topicChanged() {
    this.#offer();
    if (!this.#stream) return;
    if (this.#topics.length) this.#arrange();
    this.#lookFor(this.#page().topic);
    this.#draw();
  }

  // #lookFor asks the server for a topic that is not in the picture, as may be where
  // there are many, and nobody reads it. Tabs that ask for the same share a stream.
  #lookFor(topic) {
    if (topic === this.#with || this.#topics.some(({ name }) => name === topic)) return;
    this.#with = topic;
    this.#stream.dispose();
    this.#open();
  }

  #open() {
    if (!Band) this.#load();
    const address = this.#with ? `/streams?with=${encodeURIComponent(this.#with)}` : '/streams';
    this.#stream = new Stream({
      name: address, url: () => at(address), heartbeat: Number(document.body.dataset.heartbeat) || 0,
      maxAttempts: Infinity, // the view has no button that connects again
      startsAnew: (message) => message.data.includes('"full":true'),
    }, {
      change: () => this.#changed(),
      message: (message) => {
        if (message.event === 'connected') this.#connected(message.fields);
        if (!message.fields && message.data) this.#take(JSON.parse(message.data).data);
      },
    });
    this.#stream.connect();
  }

  // #connected tells the page's own stream that the server is there: it may wait for longer.
  #connected({ node = '' }) {
    this.#node = String(node);
    const { stream } = this.#page();
    if (stream.retryAt && stream.error?.away) stream.retry();
  }

  // #load fetches what draws. Where the server is away just then, it is asked again.
  async #load() {
    try {
      ({ Band } = await import('./band.js'));
    } catch {
      setTimeout(() => this.#stream && !Band && this.#load(), 2000);
      return;
    }
    if (this.#topics.length) this.#arrange();
    this.#draw();
  }

  #changed() {
    const { state, error } = this.#stream ?? {};
    const empty = byID('bands-empty');
    const fresh = this.#fresh;
    if (!fresh && this.#untabled) { // what has come is shown, and only then called old
      this.#arrange();
      this.#table();
    }
    if (!fresh) this.#draw(); // at its place: nothing is on its way any more
    empty.hidden = fresh && this.#topics.length > 0;
    if (!fresh) {
      if (!this.#readers.size) byID('streams-none').hidden = true;
      byID('streams-note').textContent = this.#arranged.length ? this.#asItWas() : 'not known at present';
    }
    // What the banner above says need not be said again.
    const next = this.#nextTry();
    if (!fresh && this.#topics.length) empty.textContent = `A${this.#asItWas().slice(1)}.${next}`;
    else if (state === 'error' || next) empty.textContent = (this.#page().stream.error ? 'There is no picture while there is no line.' : `${error.message} ${error.detail ?? ''}`.trim()) + next;
    else empty.textContent = state === 'connected' && this.#told ? 'There is no topic yet. Publish to one, and it shows here.' : 'Opening the picture…';
    byID('bands').toggleAttribute('data-stale', !fresh);
  }

  // #nextTry says when the view tries again, as the banner says it of the page's stream.
  #nextTry() {
    const { state, error, retryAt } = this.#stream ?? {};
    if (state === 'connecting' && error) return ' Trying again…';
    return state === 'error' && retryAt ? ` Next try in ${secondsUntil(retryAt)} s.` : '';
  }

  // #asItWas says of when a picture is that is not of now.
  #asItWas() {
    return `as it was at ${when(this.#told)}${this.#draining ? ', when the server shut down' : ''}`;
  }

  #take({ full, t, topics, open = [], moved = [], gone = [], ended: over = [], more = 0, moreTopics = 0, moreFaulted = 0, moreLeft = 0, draining = false }) {
    if (full) {
      this.#readers.clear();
      this.#ended.clear();
    }
    if (!full && !this.#topics.length) return; // begun in the middle: the whole comes at once
    this.#told = t;
    this.#read = this.#page().stream.events;
    this.#heardAt = performance.now();
    this.#topics = topics;
    for (const topic of topics) noteEnd(topic.name, topic.ended ?? '');
    this.#more = more;
    this.#moreTopics = moreTopics;
    this.#left = { moreFaulted, moreLeft };
    this.#draining = draining;
    for (const n of gone) this.#readers.delete(n);
    for (const end of over) this.#ended.set(end.n, ended(end));
    keepLatest(this.#ended, t);
    for (const reader of open) this.#readers.set(reader.n, { ...reader, lag: 0, events: 0, idle: 0, waiting: 0, left: -1, cut: -1, lost: 0, back: 0, missed: 0 });
    for (const [n, lag, events, idle, waiting, left, cut, lost, back, missed] of moved) {
      const reader = this.#readers.get(n);
      if (reader) Object.assign(reader, { lag, events, idle, waiting, left, cut, lost, back, missed });
    }
    for (const reader of this.#readers.values()) reader.mine = this.#own(reader);
    if (full || performance.now() - this.#toldAt > TELL_EVERY) this.#arrange();
    else this.#move();
    this.#changed();
    this.#draw();
    this.#lookFor(this.#page().topic);
  }

  // #own finds this page's stream.
  #own(reader) {
    const { connection, stream } = this.#page();
    return connection !== '' && connection.startsWith(reader.id) && stream.state === 'connected';
  }

  // #judge says how a reader does. Of its own stream the page knows what it had read when
  // the server told of it: what it has read since does not belong to what was told.
  #judge(reader) {
    const topic = this.#topics.find(({ name }) => name === reader.topic);
    return judge(reader, topic, reader.own ? this.#read : undefined);
  }

  // #move moves the marks on. What is said of them stays as the table has it.
  #move() {
    for (const topic of this.#topics) this.#bands.get(topic.name)?.move(topic);
    for (const reader of this.#readers.values()) reader.distance = this.#judge(reader).distance;
  }

  // #arrange puts the topics' bands in order: the chosen one first, then those with readers.
  // The picture and the table say what they say of this one moment, which is that of the
  // last frame: this page's stream may be over since, and was there when the frame came.
  #arrange() {
    this.#toldAt = performance.now();
    this.#untold = true;
    const chosen = this.#page().topic;
    const order = [...this.#topics].sort((a, b) => (b.name === chosen) - (a.name === chosen) || b.streams - a.streams).filter(({ name, streams }, i) => name === chosen || streams > 0 || i < QUIET).slice(0, BANDS);
    const names = new Set(order.map((topic) => topic.name));
    for (const [name, band] of this.#bands) {
      if (names.has(name)) continue;
      band.remove();
      this.#bands.delete(name);
    }
    const root = byID('bands');
    order.forEach((topic, i) => {
      if (!Band) return;
      let band = this.#bands.get(topic.name);
      if (!band) this.#bands.set(topic.name, band = new Band(topic.name));
      if (root.children[i] !== band.box) root.insertBefore(band.box, root.children[i] ?? null);
      band.take(topic, this.#facts(topic));
    });
    const byTopic = new Map();
    for (const reader of this.#readers.values()) {
      reader.own = reader.mine;
      if (reader.own) this.#mine.add(reader.id);
      Object.assign(reader, this.#judge(reader), { sent: reader.events });
      if (!byTopic.has(reader.topic)) byTopic.set(reader.topic, []);
      byTopic.get(reader.topic).push(reader);
    }
    this.#arranged = [...this.#readers.values(), ...this.#ended.values()];
    for (const [name, band] of this.#bands) band.mark(byTopic.get(name) ?? []);
    const hidden = this.#topics.length + this.#moreTopics - order.length;
    byID('bands-legend').dataset.more = hidden > 0 ? `and ${hidden} more ${hidden === 1 ? 'topic' : 'topics'}` : '';
  }

  #facts({ streams, lastMinute, atLeast, head, entries, notices = 0, oldest, bytes, limitBytes, source, broker, ended: why }) {
    const kept = limitBytes ? `${size(bytes)} of ${size(limitBytes)}` : size(bytes);
    const facts = [
      ...(why ? [sayEnd(why)] : []),
      `${streams.toLocaleString('en')} ${streams === 1 ? 'stream' : 'streams'}${broker ? ' on this node' : ''}`, // others may have some, too
      ...(lastMinute || !atLeast ? [`${lastMinute.toLocaleString('en')}${atLeast ? ' or more' : ''} in the last minute`] : []), // 0 or more says nothing
      entries > notices ? `${(entries - notices).toLocaleString('en')} held${oldest ? `, back to ${when(oldest)}` : ''}` : `no event held ${head > entries ? 'any more' : 'yet'}`,
      ...(entries > notices ? [kept] : notices ? [`${notices.toLocaleString('en')} ${notices === 1 ? 'notice of a fault' : 'notices of faults'}, ${kept}`] : []),
    ];
    if (source && source !== 'starting' && !why) facts.push(`source ${source}`); // it has said nothing yet, or says nothing ever
    if (broker) facts.push(`broker ${broker}`);
    return facts.map((text, i) => ({ text, bad: /(down|failing)$/.test(text), over: Boolean(why) && i === 0, title: text.endsWith(kept) ? KEPT : '' }));
  }

  #draw() {
    if (!this.#stream || this.#frame) return;
    this.#frame = requestAnimationFrame((at) => {
      this.#frame = 0;
      if (this.#untold) this.#table();
      let moving = false;
      for (const band of this.#bands.values()) moving = band.draw(at, this.#fresh) || moving;
      for (const [i, reader] of this.#unwritten.splice(0, ROWS_A_FRAME)) this.#write(i, reader);
      if (moving || this.#unwritten.length) this.#draw();
    });
  }

  // #table shows those who need looking after first.
  #table() {
    this.#untold = false;
    if (!this.#fresh && !this.#untabled) return; // it stays as it was
    this.#tabledAt = this.#toldAt;
    const all = this.#arranged;
    const order = all.sort(worstFirst).slice(0, ROWS);
    const keep = new Set(order.map(({ n }) => n));
    for (const [n, row] of this.#rows) {
      if (keep.has(n)) continue;
      row.remove();
      this.#rows.delete(n);
    }
    this.#unwritten = [...order.entries()];
    const endedShown = order.filter(({ over }) => over).length;
    const over = all.filter((reader) => reader.over).length;
    const open = all.length - over + this.#more;
    const some = shownText({ openShown: order.length - endedShown, open, endedShown, ended: over, ...this.#left });
    const end = this.#draining ? 'the server shuts down, and ends them one by one' : '';
    // Of several nodes each knows its own readers.
    const where = this.#node && this.#topics.some(({ broker }) => broker) ? `on this node (${this.#node})` : '';
    byID('streams-note').textContent = [where, end, some].filter(Boolean).join(' · ');
    byID('streams-none').hidden = all.length > 0;
    byID('streams-table').hidden = all.length === 0;
  }

  // #write brings one row up to date, and to its place.
  #write(i, reader) {
    const body = byID('streams-rows');
    let row = this.#rows.get(reader.n);
    if (row && row.dataset.reader !== keyOf(reader)) { // another server has another reader of that number
      row.remove();
      row = undefined;
    }
    if (!row) this.#rows.set(reader.n, row = newRow(reader));
    this.#fill(row, reader);
    if (body.children[i] !== row) body.insertBefore(row, body.children[i] ?? null);
  }

  #fill(row, reader) {
    row.toggleAttribute('data-own', reader.own);
    row.toggleAttribute('data-over', Boolean(reader.over));
    const age = (reader.over ? reader.at : this.#told) - reader.started;
    set(row, 1, reader.own ? 'this page' : this.#mine.has(reader.id) ? 'this page, before' : reader.identity || reader.agent || 'unnamed');
    set(row, 4, age < 3_600_000 ? elapsed(age) : lasting(age));
    set(row, 5, (reader.sent ?? reader.events).toLocaleString('en'));
    set(row, 6, reader.behind.toLocaleString('en'));
    const cutFirst = reader.first === 'cut' && reader.loss < Infinity;
    set(row, 7, reader.gone ? 'lost some' : cutFirst ? 'cut first' : reader.loss === Infinity ? '–' : lasting(reader.loss * 1000), reader.gone || (reader.loss < 60 && !cutFirst) ? 'bad' : '');
    set(row, 8, reader.says, reader.level);
  }
}

const keyOf = ({ id, started }) => `${id} ${started}`;

function newRow(reader) {
  const { id, client, protocol, format, topic } = reader;
  const row = document.createElement('tr');
  row.dataset.reader = keyOf(reader);
  for (let i = 0; i < 9; i++) row.append(document.createElement(i === 0 ? 'th' : 'td'));
  row.cells[0].scope = 'row';
  row.cells[0].className = 'mono';
  row.cells[0].textContent = id;
  row.cells[2].textContent = [client, protocol && `HTTP/${protocol}`, format].filter(Boolean).join(' · ');
  row.cells[3].textContent = row.cells[3].title = topic;
  for (const i of [4, 5, 6, 7]) row.cells[i].className = 'num';
  for (const i of [3, 4, 5, 6, 7]) row.cells[i].dataset.label = byID('streams-table').tHead.rows[0].cells[i].textContent; // for a phone, which shows no head
  return row;
}

function set(row, i, text, level = '') {
  const cell = row.cells[i];
  if (cell.textContent !== text) cell.textContent = text;
  if (cell.dataset.level !== level) cell.dataset.level = level;
}
