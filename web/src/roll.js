// The tabs that follow a leader, as the leader counts them. A tab that is closed says
// goodbye. A tab that crashed, or that the browser has frozen, says nothing: so the
// leader calls the roll, and counts who answers.

const EVERY = 3000; // ms between two calls
const UNANSWERED = 2; // calls after which a tab is not counted

export class Roll {
  #calls = new Map(); // by tab: calls since its last answer
  #call;
  #changed;
  #counted = 1;
  #timer = 0;

  // call() asks every tab to answer. changed(tabs) is told the count, with the leader.
  constructor(call, changed) {
    this.#call = call;
    this.#changed = changed;
  }

  // size is how many tabs are spoken to. A tab that does not answer is one of them: it may
  // wake up, and then has everything that was said meanwhile.
  get size() {
    return this.#calls.size;
  }

  join(tab) {
    this.#calls.set(tab, 0);
    this.#timer ||= setInterval(() => this.#next(), EVERY);
    this.#count();
  }

  answer(tab) {
    if (!this.#calls.has(tab)) return;
    this.#calls.set(tab, 0);
    this.#count();
  }

  leave(tab) {
    if (this.#calls.delete(tab)) this.#count();
  }

  clear() {
    clearInterval(this.#timer);
    this.#timer = 0;
    this.#calls.clear();
    this.#counted = 1;
  }

  #next() {
    this.#count();
    for (const [tab, calls] of this.#calls) this.#calls.set(tab, calls + 1);
    this.#call();
  }

  #count() {
    const tabs = 1 + [...this.#calls.values()].filter((calls) => calls < UNANSWERED).length;
    if (tabs === this.#counted) return;
    this.#counted = tabs;
    this.#changed(tabs);
  }
}
