// Counts for the four figures on top. All of bounded size.

const WINDOW = 60; // s
const SAMPLES = 101; // latencies of which the median is taken

export class Stats {
  constructor() {
    this.reset();
  }

  reset() {
    this.total = 0;
    this.lastAt = 0;
    this.since = 0; // when counting began, 0: not yet
    this.seconds = new Uint32Array(WINDOW + 1);
    this.second = 0;
    this.latencies = [];
  }

  // begin is called when a stream opens. A reconnect does not begin anew.
  begin(at = Date.now()) {
    this.since ||= at;
  }

  count(at = Date.now()) {
    this.begin(at);
    this.#advance(at);
    this.seconds[this.second % this.seconds.length]++;
    this.total++;
    this.lastAt = at;
  }

  latency(ms) {
    this.latencies.push(ms);
    if (this.latencies.length > SAMPLES) this.latencies.shift();
  }

  // perMinute counts the last minute, or what has passed of it. The first
  // seconds are taken for five: one event in 2 ms is not 30,000 a minute.
  perMinute(at = Date.now()) {
    if (!this.since) return 0;
    this.#advance(at);
    const counted = this.seconds.reduce((sum, n) => sum + n, 0);
    // The oldest of the 61 slots has partly left the window.
    const partial = this.seconds[(this.second + 1) % this.seconds.length] * ((at % 1000) / 1000);
    const window = Math.min(WINDOW, Math.max(5, (at - this.since) / 1000));
    return ((counted - partial) * 60) / window;
  }

  p50() {
    if (!this.latencies.length) return NaN;
    const sorted = [...this.latencies].sort((a, b) => a - b);
    return sorted[sorted.length >> 1];
  }

  #advance(at) {
    const second = Math.floor(at / 1000);
    const n = this.seconds.length;
    if (second - this.second >= n) this.seconds.fill(0);
    else for (let s = this.second + 1; s <= second; s++) this.seconds[s % n] = 0;
    this.second = Math.max(this.second, second);
  }
}
