// The feed: at most 50 events, the newest. Whatever comes waits for the next
// frame, and then goes in by one way: rows that nobody could have seen are left out.

import { now } from './clock.js';
import { dressNote, isNoted, noteOf } from './note.js';
import { dress, isFound, latencyOf, showLatency, tellExactly } from './row.js';
import { Tail } from './tail.js';
import { Unread } from './unread.js';

export const MAX_ITEMS = 50;
const MAX_NOTES = 10; // gaps and the like, beside the events
const MAX_WAITING = 60; // the newest; of a burst nobody could see more
const PAGE = 8; // rows that PageUp goes

export class Feed {
  #unread = new Unread();
  #root;
  #on;
  #tail;
  #waiting = []; // for the next frame: {html, received, replayed, mine, by, fresh}, or the row of a note
  #held = []; // rows for which a reader leaves no room
  #arrived = []; // {item, received, mine}: rows whose time on screen is to be taken
  #frame = 0;
  #timer = 0;
  #template = document.createElement('template');
  #current = null; // the row that has the tab stop
  #selected = null;
  #filter = { text: '', slower: 0 };

  // on: {change(), arrived(item), gap(), select(item), shown(item, received, shown or 0, ms, mine)}.
  // Every event is told to arrived, and to shown: if it was not drawn, without a time on
  // screen. ms is its latency, NaN if it was replayed.
  constructor(root, on) {
    this.#root = root;
    this.#on = on;
    this.#tail = new Tail(root, () => {
      if (this.following) this.#caughtUp();
      this.#schedule();
      this.#on.change();
    });
    root.addEventListener('click', (event) => this.#clicked(event));
    root.addEventListener('pointerover', tellExactly);
    root.addEventListener('keydown', (event) => this.#key(event));
    root.addEventListener('focusin', (event) => this.#tabStop(event.target.closest('.data-item')));
    document.addEventListener('visibilitychange', () => {
      // A frame that was asked for does not come in a hidden tab.
      cancelAnimationFrame(this.#frame);
      this.#frame = 0;
      this.#schedule();
    });
  }

  get items() {
    return this.#root.getElementsByClassName('data-item');
  }

  get following() {
    return this.#tail.following;
  }

  // missed is how many unread events the filter shows, and are not in view: see Unread.
  get missed() {
    const withRows = this.#unread.among(this.#held).length + this.#tail.below(this.#unread.among(this.items));
    return this.#unread.count(withRows, this.#waiting.filter(({ fresh }) => fresh).length, this.isFiltered);
  }

  // showsNewest says whether no row that the filter shows is below the view, or held.
  get showsNewest() {
    return !this.#waiting.length && !this.#held.some((row) => row.dataset.id && !row.hidden) && this.#tail.below([...this.items]) === 0;
  }

  // inSight reports whether the rows are on screen: not in a hidden tab, nor while
  // another view is shown.
  get inSight() {
    return !document.hidden && document.body.dataset.view === 'feed';
  }

  get isEmpty() { return !this.#root.firstElementChild; }

  get isFiltered() {
    return Boolean(this.#filter.text || this.#filter.slower);
  }

  // matching is how many rows the filter shows.
  get matching() {
    return [...this.items].filter((item) => !item.hidden).length;
  }

  get noneMatch() {
    return this.items.length > 0 && this.matching === 0;
  }

  // by is the connection on which the event came, and its node. The row keeps both: after
  // the next connection, or a reload, its journey is still the one by which it came.
  add(html, { received, replayed, mine, by }) {
    this.#wait({ html, received, replayed, mine, by, fresh: !this.following });
  }

  // note puts a row between the events that is none: see noteOf.
  note(kind, text, at, data = {}) {
    const row = noteOf(kind, text, at, data);
    if (!isNoted(row, [...this.#root.children, ...this.#held, ...this.#waiting.map((entry) => entry.row)])) this.#wait({ row });
  }

  clear() {
    this.#waiting = [];
    this.#held = [];
    this.#arrived = [];
    this.#selected = this.#current = null;
    this.#root.replaceChildren();
    delete this.#root.dataset.traces;
    this.follow(true);
    this.#caughtUp();
    this.#on.change();
  }

  follow(following) {
    this.#tail.follow(following);
  }

  // #caughtUp says that the reader is at the newest.
  #caughtUp() {
    this.#unread.clear();
    for (const entry of this.#waiting) entry.fresh = false;
  }

  select(item) {
    this.#selected?.setAttribute('aria-pressed', 'false');
    this.#selected = item;
    item?.setAttribute('aria-pressed', 'true');
  }

  focusSelected() {
    if (this.#selected?.isConnected) this.#selected.focus({ preventScroll: true });
  }

  focus() {
    (this.#current && !this.#current.hidden ? this.#current : this.#root).focus({ preventScroll: true });
  }

  find(id) {
    return this.#root.querySelector(`.data-item[data-id="${CSS.escape(id)}"]`);
  }

  // filter shows the rows that are found by a text, and were slower than so many ms.
  filter(text, slower) {
    this.#filter = { text: text.trim().toLowerCase(), slower };
    for (const item of [...this.items, ...this.#held.filter((row) => row.dataset.id)]) this.#sift(item);
    this.#schedule();
    this.#on.change();
  }

  // redress writes all times anew: the zone is another one, or the day.
  redress() {
    for (const item of [...this.items, ...this.#held]) dress(item);
    for (const note of [...this.#root.querySelectorAll('.feed-note'), ...this.#held.filter((row) => row.dataset.note)]) dressNote(note);
  }

  // pending is how many events have come that are not shown.
  get pending() {
    return this.#waiting.filter(({ row }) => !row).length + this.#held.filter((row) => row.dataset.id).length;
  }

  // html is what the feed shows, and what it will, for another time: of so many characters
  // at most, the newest rows. restore shows it again.
  html(most) {
    this.#parse();
    let html = '';
    for (const { outerHTML } of [...this.#root.children, ...this.#held].reverse()) {
      if (html.length + outerHTML.length > most) break;
      html = outerHTML + html;
    }
    return html;
  }

  // What it shows has arrived before.
  restore(html) {
    this.#root.innerHTML = html;
    this.#trim(0);
    this.#trimNotes();
    this.#root.querySelectorAll('.feed-note').forEach(dressNote);
    for (const item of this.items) {
      item.setAttribute('aria-pressed', 'false');
      item.tabIndex = -1;
      item.hidden = false;
      dress(item);
      if (item.dataset.traceparent) this.#root.dataset.traces = '';
    }
    if (this.following) this.#tail.toEnd(); // now: that other rows are there is no reader's scrolling
    this.#schedule();
  }

  #wait(entry) {
    this.#waiting.push(entry);
    if (this.#waiting.length > MAX_WAITING) this.#pass(this.#waiting.shift());
    this.#schedule();
  }

  // #rowOf returns the row that the server wrote, in no document yet; null if it is none.
  #rowOf(html) {
    this.#template.innerHTML = html;
    return this.#template.content.querySelector('.data-item');
  }

  // #pass tells of an event of a burst that has no row: what is said of all events is of
  // this one, too. A gap among them breaks the lines of the charts all the same.
  #pass({ html, received, replayed, mine, row, fresh }) {
    if (fresh) this.#unread.lost();
    if (row?.dataset.note === 'gap') this.#on.gap();
    if (!html) return;
    const item = this.#rowOf(html);
    if (!item) return;
    this.#on.arrived(item);
    this.#on.shown(item, received, 0, replayed ? NaN : latencyOf(item, received), mine && !replayed);
  }

  #sift(item) {
    const { slower } = this.#filter;
    item.hidden = Boolean(slower && !(Number(item.dataset.latency) > slower)) || !this.#matches(item);
  }

  // #matches says whether the row is found by the text that is looked for.
  #matches(item) {
    const { text } = this.#filter;
    return !text || isFound(item, text);
  }

  // #drawn says whether the row is on screen, in a feed that is: of a burst those above the
  // view never were. Whether the filter by latency shows it is only known then.
  #drawn(item) {
    return item.isConnected && this.#matches(item) && this.#tail.sees(item);
  }

  // #parse turns what waits into rows.
  #parse() {
    for (const { html, received, replayed, mine, by, row, fresh } of this.#waiting.splice(0)) {
      if (row) {
        this.#held.push(row);
        if (row.dataset.note === 'gap') this.#on.gap();
        continue;
      }
      const item = this.#rowOf(html);
      if (!item) continue;
      dress(item);
      Object.assign(item.dataset, by);
      if (replayed) item.dataset.replayed = '';
      // The column of trace IDs takes no room in a feed that has none.
      if (item.dataset.traceparent) this.#root.dataset.traces = '';
      this.#sift(item);
      this.#on.arrived(item);
      this.#arrived.push({ item, received, mine });
      this.#held.push(item);
      if (fresh) this.#unread.came(item);
    }
    this.#template.innerHTML = '';
    // Older ones would be trimmed as soon as they were inserted.
    for (const row of this.#held.splice(0, Math.max(0, this.#held.length - MAX_ITEMS))) this.#unread.lost(row);
  }

  #schedule() {
    if (this.#frame || this.#timer) return;
    if (document.hidden) {
      this.#timer = setTimeout(() => { this.#timer = 0; this.#settle(); }, 250);
    } else {
      this.#frame = requestAnimationFrame(() => { this.#frame = 0; this.#settle(); });
    }
  }

  // #settle brings the page up to date, once a frame however many events came.
  #settle() {
    this.#parse();
    if (this.following) {
      if (this.#held.length) {
        // First out, then in: there are never more than there may be.
        this.#trim(this.#held.filter((row) => row.dataset.id).length);
        this.#root.append(...this.#held.splice(0));
        this.#trimNotes();
      }
      this.#tail.toEnd();
    } else if (this.#held.length) {
      this.#appendBelow();
    }
    this.#afterPaint(this.#arrived.splice(0));
    this.#on.change();
  }

  // #appendBelow adds what fits while the reader looks elsewhere: rows above the
  // view may go, but a row in view stays until the reader comes back to the tail.
  // What does not fit is held.
  #appendBelow() {
    const rows = [...this.#root.children];
    const above = this.#tail.above(rows);
    const excess = Math.max(0, rows.length + this.#held.length - MAX_ITEMS);
    const fits = this.#held.length - Math.max(0, excess - above);
    if (fits <= 0) return;
    const remove = Math.min(excess, above);
    this.#tail.hold(rows[remove], () => {
      this.#root.append(...this.#held.splice(0, fits));
      for (const row of rows.slice(0, remove)) this.#remove(row);
    });
  }

  // #trim makes room for so many events: of those that the filter hides, then of
  // the oldest, with the notes before them.
  #trim(room) {
    const items = this.items;
    let excess = items.length + room - MAX_ITEMS;
    if (excess > 0 && (this.#filter.text || this.#filter.slower)) {
      for (const item of [...items].filter((each) => each.hidden).slice(0, excess)) {
        this.#remove(item);
        excess--;
      }
    }
    for (; excess > 0 && items.length; excess--) {
      const oldest = items[0];
      while (this.#root.firstElementChild !== oldest) this.#root.firstElementChild.remove();
      this.#remove(oldest);
    }
  }

  #trimNotes() {
    const notes = [...this.#root.querySelectorAll('.feed-note')];
    for (const note of notes.slice(0, Math.max(0, notes.length - MAX_NOTES))) note.remove();
  }

  #remove(row) {
    // The keyboard would otherwise be thrown back to the top of the page.
    if (row === document.activeElement) this.#root.focus({ preventScroll: true });
    if (row === this.#current) this.#current = null;
    if (row === this.#selected) this.#selected = null;
    this.#unread.seen(row); // it was above the view
    row.remove();
  }

  // #afterPaint takes the time at which rows are on screen: a task that is
  // posted from a frame runs behind that frame's paint. Out of sight nothing is on
  // screen, so there is no such time.
  #afterPaint(arrived) {
    if (!arrived.length) return;
    if (!this.inSight) {
      for (const entry of arrived) this.#shown(entry, 0);
      return;
    }
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      const shown = now();
      const drawn = arrived.map(({ item }) => this.#drawn(item)); // before the first row is changed
      arrived.forEach((entry, i) => this.#shown(entry, drawn[i] ? shown : 0));
      port1.close();
    };
    port2.postMessage(0);
  }

  #shown({ item, received, mine }, shown) {
    const ms = showLatency(item, shown || received, shown > 0);
    if (this.#filter.slower) this.#sift(item);
    this.#on.shown(item, received, shown, ms, mine);
  }

  #clicked(event) {
    const item = event.target.closest('.data-item');
    if (!item || !getSelection().isCollapsed) return; // the reader marks text to copy it
    this.#tabStop(item);
    this.#on.select(item);
    this.#schedule();
  }

  #key(event) {
    const items = [...this.items].filter((item) => !item.hidden);
    if (!items.length || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = items.indexOf(document.activeElement);
    const to = {
      ArrowDown: at < 0 ? items.length - 1 : at + 1,
      ArrowUp: at < 0 ? items.length - 1 : at - 1,
      PageDown: at + PAGE,
      PageUp: at - PAGE,
      Home: 0,
      End: items.length - 1,
    }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      const index = Math.min(items.length - 1, Math.max(0, to));
      // Who goes up by the keyboard reads, just as one who scrolls.
      if (index < items.length - 1) this.follow(false);
      items[index].focus({ preventScroll: true });
      items[index].scrollIntoView({ block: 'nearest' });
    } else if ((event.key === 'Enter' || event.key === ' ') && at >= 0) {
      event.preventDefault();
      this.#on.select(items[at]);
    }
  }

  // One row is in the tab order, not fifty.
  #tabStop(item) {
    if (!item || item === this.#current) return;
    if (this.#current) this.#current.tabIndex = -1;
    this.#current = item;
    item.tabIndex = 0;
  }
}
