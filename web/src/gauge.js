// A gauge stands in the box of a view that scrolls, and is always at its own end. Where the
// box grows, if only for a moment within one task, the browser scrolls both back. No
// observer tells of that moment; a hand moves the view alone.

export class Gauge {
  #root = document.createElement('div');
  #at = 0;

  constructor(view) {
    this.#root.className = 'gauge';
    this.#root.setAttribute('aria-hidden', 'true');
    this.#root.append(document.createElement('div'));
    view.after(this.#root);
  }

  set() {
    this.#root.scrollTop = this.#root.scrollHeight;
    this.#at = this.#root.scrollTop;
  }

  // moved says whether the box has been higher since it was set.
  get moved() {
    return this.#root.scrollTop < this.#at;
  }
}
