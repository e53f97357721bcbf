// The values of one number over time, as a chart shows them.

const POINTS = 120;
const FINEST = 1 / 200; // of the chart's width: what is closer is one point
const BREAK = 8; // times the usual distance between two values: nothing is known of such a time

export class Series {
  times = []; // s
  values = []; // null: a gap
  counts = []; // how many values a point stands for
  digits = 0;

  get length() {
    return this.values.reduce((n, value) => n + (value !== null), 0);
  }

  // push takes a value; text is how it is written, for the number of its digits.
  push(at, value, text) {
    if (!Number.isFinite(at) || !Number.isFinite(value)) return;
    this.digits = Math.min(6, Math.max(this.digits, /\.(\d+)$/.exec(text)?.[1].length ?? 0));
    const last = this.times.at(-1);
    if (last !== undefined && this.values.at(-1) !== null && at - last <= Math.max(0.002, (last - this.times[0]) * FINEST)) {
      // A batch has one time: the mean of it, not a line straight up.
      const n = ++this.counts[this.counts.length - 1];
      this.values[this.values.length - 1] += (value - this.values.at(-1)) / n;
      return;
    }
    if (last !== undefined && this.values.at(-1) !== null && at - last > 10 && at - last > BREAK * this.#usual()) this.gap();
    this.#add(Math.max(at, last ?? at), value, 1);
  }

  // gap breaks the line: values are missing here.
  gap() {
    const last = this.times.at(-1);
    if (last !== undefined && this.values.at(-1) !== null) this.#add(last + 0.001, null, 0);
  }

  #add(at, value, count) {
    this.times.push(at);
    this.values.push(value);
    this.counts.push(count);
    if (this.times.length > POINTS) for (const list of [this.times, this.values, this.counts]) list.shift();
  }

  #usual() {
    const between = [];
    for (let i = 1; i < this.times.length; i++) {
      if (this.values[i] !== null && this.values[i - 1] !== null) between.push(this.times[i] - this.times[i - 1]);
    }
    if (between.length < 2) return Infinity;
    return between.sort((a, b) => a - b)[between.length >> 1];
  }

  // alone are the places of the values between two gaps, which no line reaches.
  alone() {
    const { values } = this;
    const none = (value) => value === null || value === undefined;
    return values.flatMap((value, i) => (!none(value) && none(values[i - 1]) && none(values[i + 1]) ? [i] : []));
  }

  range() {
    const values = this.values.filter((value) => value !== null);
    return [Math.min(...values), Math.max(...values)];
  }

  // format writes a value with as many digits as the values have that came.
  format(value) {
    if (value === null || value === undefined) return '–';
    if (Math.abs(value) >= 1e15) return value.toPrecision(6);
    return value.toLocaleString('en', { minimumFractionDigits: this.digits, maximumFractionDigits: this.digits, useGrouping: Math.abs(value) >= 10_000 });
  }
}
