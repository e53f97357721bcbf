// One topic as a band: what its log holds, from the oldest event to the newest,
// and a mark for each reader at its position. Drawn on a canvas, since a
// thousand marks move at once; the table beside it says the same in words.

import { inAll, together, worseFirst } from './judge.js';

const HEIGHT = 104;
const TOP = 28; // of the band
const BOTTOM = 62;
const GONE = 0.07; // of the width: what is no longer held
const EDGE = 20; // px right of the newest event
const EASE = 180; // ms in which a mark comes most of its way
const GLOW = 900; // ms
const STILL = matchMedia('(prefers-reduced-motion: reduce)');

export class Band {
  #canvas = document.createElement('canvas');
  #facts = document.createElement('span');
  #topic = null;
  #readers = [];
  #at = 0;
  #head = -1; // as shown, on its way to the topic's
  #tail = -1;
  #shown = new WeakMap(); // reader: {at, events, pulse}
  #fresh = []; // {from, at}: events that came lately
  #colors = null;

  constructor(name) {
    this.box = document.createElement('section');
    this.box.className = 'band';
    this.box.dataset.band = name;
    const head = document.createElement('header');
    head.className = 'band-head';
    head.append(Object.assign(document.createElement('h2'), { textContent: name }), this.#facts);
    this.#facts.className = 'band-facts';
    this.#canvas.className = 'band-canvas';
    this.#canvas.setAttribute('role', 'img');
    this.box.append(head, this.#canvas);
  }

  remove() {
    this.box.remove();
  }

  recolor() {
    this.#colors = null;
  }

  // move takes the topic as it is now; take also what is to be said of it.
  move(topic) {
    const { head, entries } = topic;
    if (this.#topic && head > this.#topic.head) this.#fresh.push({ from: this.#topic.head, to: head, at: performance.now() });
    if (this.#fresh.length > 20) this.#fresh.shift();
    if (this.#topic && head < this.#topic.head) this.#head = this.#tail = -1;
    this.#topic = topic;
    if (this.#head < 0) [this.#head, this.#tail] = [head, head - entries];
  }

  take(topic, facts) {
    this.move(topic);
    const text = facts.map((fact) => fact.text).join(' · ');
    if (this.#facts.dataset.text === text) return;
    this.#facts.dataset.text = text;
    this.#facts.replaceChildren(...facts.flatMap((fact, i) => {
      const span = Object.assign(document.createElement('span'), { textContent: fact.text, title: fact.title ?? '' });
      if (fact.bad || fact.over) span.dataset.level = fact.bad ? 'bad' : 'over';
      return i ? [' · ', span] : [span];
    }));
  }

  // mark takes the readers: {behind, distance, events, own, level, says}, each the same object as before.
  mark(readers) {
    this.#readers = readers;
  }

  #tell() {
    const readers = this.#readers;
    const label = `${this.#topic.name}: ${readers.length} ${readers.length === 1 ? 'reader' : 'readers'}, ${inAll(readers)}`;
    if (this.#canvas.getAttribute('aria-label') !== label) this.#canvas.setAttribute('aria-label', label);
  }

  // draw draws, and says whether something is still on its way. A picture that is not fresh
  // has everything at its place: on its way a mark is where no reader ever was.
  draw(at, fresh) {
    if (!this.#topic || !this.box.isConnected) return false;
    const width = this.#canvas.clientWidth;
    if (!width) return false;
    this.#tell();
    const ratio = Math.min(2, devicePixelRatio || 1);
    if (this.#canvas.width !== Math.round(width * ratio) || this.#canvas.height !== HEIGHT * ratio) {
      this.#canvas.width = Math.round(width * ratio);
      this.#canvas.height = HEIGHT * ratio;
    }
    const moving = this.#move(at, fresh);
    const c = this.#canvas.getContext('2d');
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, width, HEIGHT);
    this.#colors ??= this.#readColors();
    const dropped = this.#tail > 0.5;
    const left = dropped ? Math.round(width * GONE) : 1;
    const right = width - EDGE;
    const span = Math.max(1, this.#head - this.#tail);
    // In a log that is empty everybody is at the newest event.
    const x = (index) => (this.#head > this.#tail ? left + ((index - this.#tail) / span) * (right - left) : right);
    this.#drawBand(c, { left, right, width, dropped, span, x, at });
    this.#drawReaders(c, { left, right, width, x, at });
    return moving;
  }

  // #move brings what is shown nearer to what is so.
  #move(at, fresh) {
    const still = STILL.matches || !fresh;
    const step = 1 - Math.exp(-Math.min(100, at - this.#at) / EASE);
    this.#at = at;
    const { head, entries } = this.#topic;
    let moving = false;
    const nearer = (from, to) => {
      if (still || Math.abs(to - from) < Math.max(0.02, entries / 4000)) return to;
      moving = true;
      return from + (to - from) * step;
    };
    this.#head = nearer(this.#head, head);
    this.#tail = nearer(this.#tail, head - entries);
    for (const reader of this.#readers) {
      const to = head - reader.distance;
      const shown = this.#shown.get(reader);
      if (!shown) {
        this.#shown.set(reader, { at: to, events: reader.events, pulse: -GLOW });
        continue;
      }
      shown.at = nearer(shown.at, to);
      if (reader.events > shown.events) {
        shown.events = reader.events;
        if (!still) shown.pulse = at;
      }
      if (!still && at - shown.pulse < GLOW) moving = true;
    }
    return moving;
  }

  #readColors() {
    const style = getComputedStyle(this.box);
    const name = (variable) => style.getPropertyValue(variable).trim();
    if (matchMedia('(forced-colors: active)').matches) {
      return { band: 'Canvas', tick: 'GrayText', fresh: 'Highlight', line: 'CanvasText', text: 'CanvasText', gone: 'GrayText', good: 'CanvasText', wait: 'GrayText', bad: 'LinkText', own: 'Highlight', ring: 'Canvas', font: style.fontFamily };
    }
    // light-dark() is resolved by a property that takes a colour, not by a variable.
    const probe = document.createElement('span');
    this.box.append(probe);
    const resolve = (variable) => {
      probe.className = `probe probe-${variable}`;
      return getComputedStyle(probe).color;
    };
    const colors = { font: style.fontFamily };
    for (const each of ['band', 'tick', 'fresh', 'line', 'text', 'gone', 'good', 'wait', 'bad', 'own', 'ring']) colors[each] = resolve(each) || name(each);
    probe.remove();
    return colors;
  }

  #drawBand(c, { left, right, width, dropped, span, x, at }) {
    const colors = this.#colors;
    c.font = `12px ${colors.font}`;
    c.textBaseline = 'alphabetic';
    if (dropped) {
      // What is gone: hatched, and behind the wall.
      c.save();
      c.beginPath();
      c.rect(0, TOP, left, BOTTOM - TOP);
      c.clip();
      c.strokeStyle = colors.gone;
      c.lineWidth = 2;
      c.beginPath();
      for (let i = -40; i < left + 40; i += 8) {
        c.moveTo(i, BOTTOM);
        c.lineTo(i + (BOTTOM - TOP), TOP);
      }
      c.stroke();
      c.restore();
    }
    const { head, entries, notices = 0 } = this.#topic;
    if (entries <= notices) {
      c.strokeStyle = colors.tick;
      c.lineWidth = 1;
      c.setLineDash([4, 4]);
      c.strokeRect(left + 0.5, TOP + 0.5, right - left, BOTTOM - TOP);
      c.setLineDash([]);
      c.fillStyle = colors.text;
      c.textAlign = 'center';
      c.fillText(head > entries ? 'no event is held any more' : 'no event held yet', (left + right) / 2, (TOP + BOTTOM) / 2 + 4);
      return;
    }
    c.fillStyle = colors.band;
    c.fillRect(left, TOP, right - left, BOTTOM - TOP);
    // A tick for each event, or for every so many of them.
    let every = 1;
    while (((right - left) / span) * every < 5) every *= every % 3 ? (every % 2 ? 2 : 2.5) : 2;
    every = Math.ceil(every);
    c.lineWidth = 1.5;
    const first = Math.ceil(Math.max(0, this.#tail) / every) * every;
    const glow = new Map();
    for (const { from, to, at: came } of this.#fresh) if (at - came < GLOW) for (let i = Math.ceil(from / every) * every; i < to && glow.size < 400; i += every) glow.set(i, 1 - (at - came) / GLOW);
    for (let index = first; index < this.#head; index += every) {
      const px = x(index + 0.5);
      const bright = STILL.matches ? 0 : glow.get(index) ?? 0;
      c.strokeStyle = bright > 0 ? colors.fresh : colors.tick;
      c.globalAlpha = bright > 0 ? 0.45 + 0.55 * bright : 1;
      c.beginPath();
      c.moveTo(px, TOP + 6);
      c.lineTo(px, BOTTOM - 6);
      c.stroke();
    }
    c.globalAlpha = 1;
    if (width > 480) {
      c.fillStyle = colors.text;
      c.textAlign = 'center';
      const what = notices ? ['an event, or a notice of a fault', 'events and notices'] : ['an event', 'events'];
      c.fillText(every === 1 ? `a line is ${what[0]}` : `from line to line ${every.toLocaleString('en')} ${what[1]}`, (left + right) / 2, TOP - 12);
    }
    const edge = (px, color, label, align) => {
      c.fillStyle = color;
      c.fillRect(px - 1, TOP - 8, 2, BOTTOM - TOP + 16);
      c.textAlign = align;
      c.fillText(label, px + (align === 'left' ? 4 : -2), TOP - 12);
    };
    if (dropped) {
      edge(left, colors.bad, 'oldest held', 'left');
      if (left > 90) {
        c.textAlign = 'left';
        c.fillText('gone', 2, TOP - 12);
      }
    } else if (width > 300) {
      c.fillStyle = colors.text;
      c.textAlign = 'left';
      c.fillText('oldest held', left, TOP - 12); // whether it is the first ever, a server that was restarted does not know
    }
    edge(right, colors.line, 'newest', 'right');
  }

  // #drawReaders draws those at one place as one mark with their number. Who is at the newest
  // event, or at the place of this page, is drawn there: what hides another goes up or down.
  #drawReaders(c, { left, right, width, x, at }) {
    const colors = this.#colors;
    const places = new Map();
    for (const reader of this.#readers) {
      const shown = this.#shown.get(reader);
      const px = Math.max(6, Math.min(right, x(shown.at)));
      const key = `${Math.round((right - px) / 28)}${reader.own ? ' own' : ''}`;
      const place = places.get(key) ?? { x: px, readers: [], level: 'good', own: reader.own, pulse: -GLOW, sum: 0, newest: false };
      place.readers.push(reader);
      place.sum += px;
      place.newest ||= px === right;
      place.pulse = Math.max(place.pulse, shown.pulse);
      if (reader.level === 'bad' || (reader.level === 'wait' && place.level === 'good')) place.level = reader.level;
      places.set(key, place);
    }
    const middle = (TOP + BOTTOM) / 2;
    const own = [...places.values()].find((place) => place.own);
    const order = [...places.values()].sort((a, b) => a.own - b.own);
    for (const place of order) {
      const n = place.readers.length;
      place.radius = n === 1 ? 7 : Math.min(15, 9 + Math.log2(n));
      place.x = Math.max(place.newest ? right : place.sum / n, place.radius + 2);
      place.y = middle;
    }
    const hidden = order.filter((place) => own && !place.own && Math.abs(place.x - own.x) < place.radius + own.radius + 2);
    if (hidden.length) {
      own.y = middle + Math.min(12, Math.max(...hidden.map(({ radius }) => radius)) + 0.5);
      for (const place of hidden) place.y = own.y - own.radius - place.radius - 1;
    }
    for (const place of order) {
      const color = place.own ? colors.own : colors[place.level];
      const { radius, y, readers: { length: n } } = place;
      const age = at - place.pulse;
      if (age < GLOW && !STILL.matches) {
        c.globalAlpha = 0.5 * (1 - age / GLOW);
        c.strokeStyle = color;
        c.lineWidth = 2;
        circle(c, place.x, y, radius + 10 * (age / GLOW));
        c.stroke();
        c.globalAlpha = 1;
      }
      c.fillStyle = color;
      c.strokeStyle = colors.ring;
      c.lineWidth = 2;
      circle(c, place.x, y, radius);
      c.fill();
      c.stroke();
      if (n > 1) {
        c.fillStyle = colors.ring;
        c.font = `600 11px ${colors.font}`;
        c.textAlign = 'center';
        c.textBaseline = 'middle';
        c.fillText(n > 999 ? '999+' : String(n), place.x, y + 0.5);
      }
    }
    // Below the band: what the marks are, the worst first, as far as there is room.
    c.font = `12px ${colors.font}`;
    c.textBaseline = 'alphabetic';
    const taken = [];
    for (const place of order.filter((each) => each.level !== 'good' || each.own || each.readers.length > 1).sort(worseFirst)) {
      const text = together(place);
      const wide = c.measureText(text).width;
      const from = Math.max(2, Math.min(width - wide - 2, place.x - wide / 2));
      if (taken.some(([a, b]) => from < b + 12 && from + wide > a - 12)) continue;
      taken.push([from, from + wide]);
      c.fillStyle = place.own ? colors.own : place.level === 'good' ? colors.text : colors[place.level];
      c.fillRect(place.x - 0.5, BOTTOM + 8, 1, 10);
      c.textAlign = 'left';
      c.fillText(text, from, BOTTOM + 32);
    }
  }
}

function circle(c, x, y, radius) {
  c.beginPath();
  c.arc(x, y, radius, 0, 2 * Math.PI);
}
