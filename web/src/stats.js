// Counts for the figures on top. All of bounded size.

const WINDOW = 60; // s
const SAMPLES = 1000; // latencies of which the figures are taken

export class Stats {
  constructor() {
    this.reset();
  }

  reset() {
    this.total = 0;
    this.lastAt = 0; // when the newest event entered the log
    this.seconds = new Uint32Array(WINDOW + 1);
    this.second = 0;
    this.first = 0; // from when on all events are known of; 0: always
    this.firstAt = 0; // when the first one that was counted entered
    this.latencies = []; // ms
    this.unseen = []; // for each of them, 1 if it was not on screen at once
  }

  // clear forgets the figures of the events that were shown. How many came in the last
  // minute is of the topic.
  clear() {
    this.total = this.lastAt = 0;
    this.latencies = [];
    this.unseen = [];
  }

  // count takes an event by the time at which it entered the log: what comes
  // late, after an outage, belongs to the minute in which it happened.
  count(enteredAt) {
    this.total++;
    this.firstAt ||= enteredAt;
    this.lastAt = Math.max(this.lastAt, enteredAt);
    const second = Math.floor(enteredAt / 1000);
    this.#advance(second);
    if (this.second - second < this.seconds.length) this.seconds[second % this.seconds.length]++;
  }

  // saved is all of it for another time; restore goes on with it.
  get saved() {
    return { ...this, seconds: [...this.seconds] };
  }

  restore({ seconds, ...saved }) {
    Object.assign(this, saved);
    this.seconds.set(seconds);
  }

  // knownFrom says that not all events that entered before are known of.
  knownFrom(enteredAt) {
    this.first = Math.max(this.first, enteredAt);
  }

  // latency takes how long an event took until it was drawn, or, where it was not on
  // screen at once, until it was here.
  latency(ms, seen) {
    this.latencies.push(ms);
    this.unseen.push(seen ? 0 : 1);
    if (this.latencies.length > SAMPLES) {
      this.latencies.shift();
      this.unseen.shift();
    }
  }

  // lastMinute is how many events entered in the last minute, as far as the page knows;
  // atLeast: there may have been more.
  lastMinute(at) {
    const second = Math.floor(at / 1000);
    this.#advance(second);
    let counted = 0;
    for (let s = Math.max(0, this.second - WINDOW); s <= this.second; s++) {
      const n = this.seconds[s % this.seconds.length];
      // The oldest second has partly left the window.
      counted += s === second - WINDOW ? n * (1 - (at % 1000) / 1000) : n;
    }
    return { events: Math.round(counted), atLeast: this.first > 0 && (at - this.first) / 1000 < WINDOW };
  }

  // latencyFigures are p50, p95 and the worst of the latest, in ms, and of how many; of
  // these not all may have been seen.
  latencyFigures() {
    if (!this.latencies.length) return null;
    const sorted = [...this.latencies].sort((a, b) => a - b);
    const at = (q) => sorted[Math.ceil(q * sorted.length) - 1]; // the least that so many of them do not exceed
    return { p50: at(0.5), p95: at(0.95), worst: sorted.at(-1), of: sorted.length, unseen: this.unseen.filter(Boolean).length };
  }

  #advance(second) {
    const n = this.seconds.length;
    if (second - this.second >= n) this.seconds.fill(0);
    else for (let s = this.second + 1; s <= second; s++) this.seconds[s % n] = 0;
    this.second = Math.max(this.second, second);
  }
}
