// The view of the feed: it follows the newest row until the reader leaves it;
// then what the reader looks at does not move.

import { Gauge } from './gauge.js';

const AT_BOTTOM = 8; // px

export class Tail {
  following = true;

  #root;
  #changed;
  #gauge;
  #scrolledTo = 0; // by us; any other position is the reader's doing
  #viewHeight = 0; // when it was scrolled by us
  #contentHeight = 0;
  #owed = 0; // fractions of a pixel that the browser did not scroll

  // changed is called when the reader begins or ends to follow, and when the
  // view has to be brought to the end again.
  constructor(root, changed) {
    this.#root = root;
    this.#changed = changed;
    this.#gauge = new Gauge(root);
    root.addEventListener('scroll', () => this.#scrolled(), { passive: true });
    root.addEventListener('wheel', (event) => this.#wheeled(event), { passive: true });
    new ResizeObserver(() => this.#changed()).observe(root);
  }

  follow(following) {
    if (this.following === following) return;
    this.following = following;
    this.#scrolledTo = this.#root.scrollTop;
    this.#changed();
  }

  toEnd() {
    const root = this.#root;
    const bottom = root.scrollHeight - root.clientHeight;
    if (Math.abs(root.scrollTop - bottom) > 1) root.scrollTop = bottom;
    this.#scrolledTo = root.scrollTop;
    this.#viewHeight = root.clientHeight;
    this.#contentHeight = root.scrollHeight;
    this.#gauge.set();
  }

  // above counts the rows that are out of sight above the view.
  above(rows) {
    const top = this.#root.getBoundingClientRect().top;
    let n = 0;
    while (n < rows.length && (rows[n].hidden || rows[n].getBoundingClientRect().bottom <= top)) n++;
    return n;
  }

  // below counts the rows that are out of sight below the view.
  below(rows) {
    const bottom = this.#root.getBoundingClientRect().bottom - AT_BOTTOM;
    let n = 0;
    for (const row of rows.toReversed()) {
      if (row.hidden) continue;
      if (row.getBoundingClientRect().top < bottom) break;
      n++;
    }
    return n;
  }

  // sees says whether some of a row is in the view.
  sees(row) {
    const view = this.#root.getBoundingClientRect();
    const { top, bottom } = row.getBoundingClientRect();
    return top < view.bottom - AT_BOTTOM && bottom > view.top;
  }

  // hold changes the rows, and keeps the anchor where it stands.
  hold(anchor, change) {
    const root = this.#root;
    const before = anchor?.getBoundingClientRect().top;
    change();
    if (!anchor?.isConnected) return;
    const moved = anchor.getBoundingClientRect().top - before;
    if (moved === 0) return;
    // A browser scrolls by whole pixels; the rest must not add up.
    const to = root.scrollTop + moved + this.#owed;
    root.scrollTop = to;
    this.#scrolledTo = root.scrollTop;
    this.#owed = Math.abs(to - root.scrollTop) < 1 ? to - root.scrollTop : 0;
  }

  #scrolled() {
    const root = this.#root;
    if (Math.abs(root.scrollTop - this.#scrolledTo) < 1) return;
    if (this.following && this.#movedByLayout) return this.#changed();
    const down = root.scrollTop > this.#scrolledTo;
    this.#scrolledTo = root.scrollTop;
    this.#owed = 0;
    const below = root.scrollHeight - root.clientHeight - root.scrollTop;
    if (this.following) {
      if (below > AT_BOTTOM) this.follow(false);
    } else if (below <= AT_BOTTOM && (down || root.scrollTop === 0) && root.scrollHeight > root.clientHeight) {
      this.follow(true); // back at the tail
    }
  }

  // #movedByLayout says whether it is the browser that scrolls: where the view grows or
  // the rows shrink, as when a banner goes or charts are drawn anew, also where the view
  // has its old height again. It would look like a reader who leaves the tail.
  get #movedByLayout() {
    const root = this.#root;
    return root.clientHeight !== this.#viewHeight || root.scrollHeight < this.#contentHeight || this.#gauge.moved;
  }

  // #wheeled knows that a reader leaves the tail before the view has moved: an
  // event, or a banner, in the first frame of a smooth scroll would bring it back.
  #wheeled(event) {
    if (event.deltaY < 0 && this.following && this.#root.scrollTop > 0) this.follow(false);
  }
}
