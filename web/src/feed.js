// The feed: at most 50 events, the newest. It follows the tail until the reader
// scrolls up; then what the reader looks at does not move.
//
// Normally htmx swaps each event in at once. In two cases the feed takes it from
// htmx before it is parsed, and inserts it with the next frame: in a burst, of
// which nobody could see more than the last 50 rows anyway, and when a reader
// scrolled up.

import { now, offset, timeOfDayTenths } from './clock.js';

export const MAX_ITEMS = 50;
const MAX_NOTES = 10; // gaps and the like, beside the events
const DIRECT = 8; // swaps a frame that htmx does
const MAX_WAITING = 120; // as many as a chart has points
const AT_BOTTOM = 8; // px

export class Feed {
  following = true;
  missed = 0; // events since the reader scrolled up

  #root;
  #on;
  #waiting = []; // for the next frame: {html, received}, or the row of a note
  #held = []; // rows for which a reader leaves no room
  #arrived = []; // {item, received}: rows whose time on screen is to be taken
  #direct = 0;
  #frame = 0;
  #timer = 0;
  #scrolledTo = 0; // by us; any other position is the reader's doing
  #viewHeight = 0; // when it was scrolled by us
  #contentHeight = 0;
  #owed = 0; // fractions of a pixel that the browser did not scroll
  #template = document.createElement('template');
  #current = null; // the row that has the tab stop
  #selected = null;

  // on: {change(), arrived(item), select(item), shown(item, received, shown or 0, ms)}
  constructor(root, on) {
    this.#root = root;
    this.#on = on;
    new MutationObserver(() => this.#trim()).observe(root, { childList: true });
    root.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    root.addEventListener('wheel', (event) => this.#wheeled(event), { passive: true });
    root.addEventListener('click', (event) => this.#clicked(event));
    root.addEventListener('keydown', (event) => this.#key(event));
    root.addEventListener('focusin', (event) => this.#tabStop(event.target.closest('.data-item')));
    new ResizeObserver(() => this.#schedule()).observe(root);
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

  // take is offered each event as HTML, and says whether the feed inserts it.
  take(html, received) {
    if (!this.following) this.missed++;
    this.#schedule();
    if (this.following && !this.#waiting.length && this.#direct < DIRECT) {
      this.#direct++;
      return false;
    }
    this.#wait({ html, received });
    return true;
  }

  // swapping gets what take left to htmx, when htmx has parsed it.
  swapping(fragment, received) {
    const item = fragment.querySelector('.data-item');
    if (item) this.#arrive(item, received);
  }

  // note puts a row between the events that is none: a gap, an error of the source.
  note(kind, text, data = {}) {
    const row = document.createElement('div');
    row.className = `feed-note feed-note-${kind}`;
    Object.assign(row.dataset, { note: kind }, data);
    row.append(Object.assign(document.createElement('span'), { textContent: text }));
    row.append(Object.assign(document.createElement('time'), { textContent: timeOfDayTenths(Date.now()) }));
    this.#wait({ row });
    this.#schedule();
  }

  clear() {
    this.#waiting = [];
    this.#held = [];
    this.#arrived = [];
    this.#selected = this.#current = null;
    this.#root.replaceChildren();
    delete this.#root.dataset.traces;
    this.follow(true);
  }

  follow(following) {
    this.following = following;
    if (following) this.missed = 0;
    this.#schedule();
    this.#on.change();
  }

  select(item) {
    this.#selected?.setAttribute('aria-pressed', 'false');
    this.#selected = item;
    item?.setAttribute('aria-pressed', 'true');
  }

  focusSelected() {
    if (this.#selected?.isConnected) this.#selected.focus({ preventScroll: true });
  }

  #wait(entry) {
    this.#waiting.push(entry);
    if (this.#waiting.length > MAX_WAITING) this.#waiting.shift();
  }

  #arrive(item, received) {
    dress(item);
    // The column of trace IDs takes no room in a feed that has none.
    if (item.dataset.traceparent) this.#root.dataset.traces = '';
    this.#on.arrived(item);
    this.#arrived.push({ item, received });
    if (this.#arrived.length > MAX_ITEMS) this.#arrived.shift();
  }

  // #parse turns what waits into rows.
  #parse() {
    for (const { html, received, row } of this.#waiting.splice(0)) {
      if (row) {
        this.#held.push(row);
        continue;
      }
      this.#template.innerHTML = html;
      const item = this.#template.content.querySelector('.data-item');
      if (!item) continue;
      this.#arrive(item, received);
      this.#held.push(item);
    }
    this.#template.innerHTML = '';
    // Older ones would be trimmed as soon as they were inserted.
    this.#held.splice(0, this.#held.length - MAX_ITEMS);
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
    this.#direct = 0;
    this.#parse();
    const root = this.#root;
    if (this.following) {
      if (this.#held.length) root.append(...this.#held.splice(0));
      this.#trim();
      const bottom = root.scrollHeight - root.clientHeight;
      if (Math.abs(root.scrollTop - bottom) > 1) root.scrollTop = bottom;
      this.#scrolledTo = root.scrollTop;
      this.#viewHeight = root.clientHeight;
      this.#contentHeight = root.scrollHeight;
    } else if (this.#held.length) {
      this.#appendBelow();
    }
    this.#afterPaint(this.#arrived.splice(0));
    this.#on.change();
  }

  // #appendBelow adds what fits while the reader looks elsewhere: rows above the
  // view may go, and the view is moved by their height, but a row in view stays
  // until the reader comes back to the tail. What does not fit is held.
  #appendBelow() {
    const root = this.#root;
    const rows = [...root.children];
    const top = root.getBoundingClientRect().top;
    let above = 0;
    while (above < rows.length && rows[above].getBoundingClientRect().bottom <= top) above++;
    const excess = Math.max(0, rows.length + this.#held.length - MAX_ITEMS);
    const fits = this.#held.length - Math.max(0, excess - above);
    if (fits <= 0) return;
    const remove = Math.min(excess, above);
    const anchor = rows[remove];
    const before = anchor?.getBoundingClientRect().top;
    root.append(...this.#held.splice(0, fits));
    for (const row of rows.slice(0, remove)) this.#remove(row);
    if (remove && anchor) {
      // A browser scrolls by whole pixels; the rest must not add up.
      const to = root.scrollTop + anchor.getBoundingClientRect().top - before + this.#owed;
      root.scrollTop = to;
      this.#scrolledTo = root.scrollTop;
      this.#owed = Math.abs(to - root.scrollTop) < 1 ? to - root.scrollTop : 0;
    }
  }

  #trim() {
    const items = this.items;
    while (items.length > MAX_ITEMS) {
      const oldest = items[0];
      while (this.#root.firstElementChild !== oldest) this.#root.firstElementChild.remove();
      this.#remove(oldest);
    }
    let notes = this.#root.childElementCount - items.length - MAX_NOTES;
    for (const note of notes > 0 ? [...this.#root.querySelectorAll('.feed-note')] : []) {
      if (notes-- <= 0) break;
      note.remove();
    }
  }

  #remove(row) {
    // The keyboard would otherwise be thrown back to the top of the page.
    if (row === document.activeElement) this.#root.focus({ preventScroll: true });
    if (row === this.#current) this.#current = null;
    if (row === this.#selected) this.#selected = null;
    row.remove();
  }

  #scrolled() {
    const root = this.#root;
    if (Math.abs(root.scrollTop - this.#scrolledTo) < 1) return;
    // Where the view grows or the rows shrink, as when a banner goes, it is the
    // browser that scrolls. An event that comes in the same frame would make
    // that look like a reader who leaves the tail.
    if (this.following && (root.clientHeight !== this.#viewHeight || root.scrollHeight < this.#contentHeight)) return this.#schedule();
    const down = root.scrollTop > this.#scrolledTo;
    this.#scrolledTo = root.scrollTop;
    this.#owed = 0;
    const below = root.scrollHeight - root.clientHeight - root.scrollTop;
    if (this.following) {
      if (below > AT_BOTTOM) this.follow(false);
    } else if (below <= AT_BOTTOM && (down || root.scrollTop === 0)) {
      this.follow(true); // back at the tail, or there is nothing to scroll any more
    }
  }

  // #wheeled knows that a reader leaves the tail before the view has moved: an
  // event, or a banner, in the first frame of a smooth scroll would bring it back.
  #wheeled(event) {
    if (event.deltaY < 0 && this.following && this.#root.scrollTop > 0) this.follow(false);
  }

  // #afterPaint takes the time at which rows are on screen: a task that is
  // posted from a frame runs behind that frame's paint. In a hidden tab nothing
  // is on screen, so there is no such time.
  #afterPaint(arrived) {
    if (!arrived.length) return;
    if (document.hidden) {
      for (const { item, received } of arrived) this.#shown(item, received, 0);
      return;
    }
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      const shown = now();
      for (const { item, received } of arrived) this.#shown(item, received, item.isConnected ? shown : 0);
      port1.close();
    };
    port2.postMessage(0);
  }

  #shown(item, received, shown) {
    const ms = (shown || received) + offset - enteredAt(item);
    item.dataset.latency = ms.toFixed(2);
    const cell = item.querySelector('.item-latency');
    if (cell) {
      cell.textContent = formatLatency(ms);
      cell.title = shown ? 'from server to screen' : 'from server to this page; not on screen at once';
    }
    this.#on.shown(item, received, shown, ms);
  }

  #clicked(event) {
    const item = event.target.closest('.data-item');
    if (!item || !getSelection().isCollapsed) return; // the reader marks text to copy it
    this.#tabStop(item);
    this.#on.select(item);
    this.#schedule();
  }

  #key(event) {
    const items = [...this.items];
    if (!items.length || event.ctrlKey || event.metaKey || event.altKey) return;
    const at = items.indexOf(document.activeElement);
    const page = 8;
    const to = {
      ArrowDown: at < 0 ? items.length - 1 : at + 1,
      ArrowUp: at < 0 ? items.length - 1 : at - 1,
      PageDown: at + page,
      PageUp: at - page,
      Home: 0,
      End: items.length - 1,
    }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      const index = Math.min(items.length - 1, Math.max(0, to));
      // Who goes up by the keyboard reads, just as one who scrolls.
      if (index < items.length - 1 && this.following) this.follow(false);
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

// dress finishes a row that the server rendered, with what only the page knows:
// the reader's time zone.
function dress(item) {
  const time = item.querySelector('.item-time');
  const ms = Number(item.dataset.time);
  if (time && Number.isFinite(ms)) time.textContent = timeOfDayTenths(ms);
}

// enteredAt is when the event entered the log. Its own time is finer than the
// milliseconds of the ID, but a publisher may have said any time.
function enteredAt(item) {
  const own = Number(item.dataset.time);
  const id = parseInt(item.dataset.id, 10);
  return Number.isFinite(id) && !(own <= id + 1 && own > id - 1000) ? id : own;
}

export const formatLatency = (ms) => {
  if (!Number.isFinite(ms)) return '';
  if (ms >= 10_000) return `${(ms / 1000).toFixed(ms < 100_000 ? 1 : 0)} s`;
  return `${Math.max(0, ms).toFixed(ms < 100 ? 1 : 0)} ms`;
};
