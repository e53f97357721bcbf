// The values of one number over time, as a chart shows them. What is said of them (the
// newest, the least, the greatest, how many) is of every value. The line has fewer
// points than there are values, and keeps the extremes.

const COLUMNS = 120;
const FINEST = 1 / 200; // of the chart's width: what is closer is one column
const BREAK = 8; // times the usual distance between two values: nothing is known of such a time

export class Series {
  digits = 0;
  latest = null; // the value that came last

  #columns = []; // {at, values: [{at, value}], count}, or {at, values: [null], count: 0} for a gap
  #line = null; // {times, values, counts}, until there is a new value

  // length is how many values there are.
  get length() {
    return this.#columns.reduce((n, { count }) => n + count, 0);
  }

  // times (in s), values and counts are the points of the line, in order. A value is
  // null in a gap; a count says of how many values its point is an extreme, or the last.
  get times() {
    return this.#points().times;
  }

  get values() {
    return this.#points().values;
  }

  get counts() {
    return this.#points().counts;
  }

  // push takes a value; text is how it is written, for the number of its digits.
  push(at, value, text) {
    if (!Number.isFinite(at) || !Number.isFinite(value)) return;
    this.digits = Math.min(6, Math.max(this.digits, /\.(\d+)$/.exec(text)?.[1].length ?? 0));
    this.latest = value;
    const last = this.#columns.at(-1);
    if (last?.count && at - last.at <= Math.max(0.002, (last.at - this.#columns[0].at) * FINEST)) {
      last.values.push({ at: Math.max(at, last.values.at(-1).at), value });
      last.values = extremes(last.values);
      last.count++;
      this.#line = null;
      return;
    }
    if (last?.count && at - last.at > 10 && at - last.at > BREAK * this.#usual()) this.gap();
    this.#add({ at: Math.max(at, this.#end), values: [{ at: Math.max(at, this.#end), value }], count: 1 });
  }

  // gap breaks the line: values are missing here.
  gap() {
    if (this.#columns.at(-1)?.count) this.#add({ at: this.#end + 0.001, values: [{ at: this.#end + 0.001, value: null }], count: 0 });
  }

  get #end() {
    return this.#columns.at(-1)?.values.at(-1).at ?? -Infinity;
  }

  #add(column) {
    this.#columns.push(column);
    if (this.#columns.length > COLUMNS) this.#columns.shift();
    this.#line = null;
  }

  #points() {
    if (this.#line) return this.#line;
    const points = this.#columns.flatMap(({ values, count }) => values.map(({ at, value }) => ({ at, value, count })));
    this.#line = { times: points.map(({ at }) => at), values: points.map(({ value }) => value), counts: points.map(({ count }) => count) };
    return this.#line;
  }

  #usual() {
    const between = [];
    for (let i = 1; i < this.#columns.length; i++) {
      if (this.#columns[i].count && this.#columns[i - 1].count) between.push(this.#columns[i].at - this.#columns[i - 1].at);
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

// extremes are the first of some values, the least, the greatest and the last, in the
// order in which they came. They are extremes of all values that were ever among them.
function extremes(values) {
  const least = values.reduce((a, b) => (b.value < a.value ? b : a));
  const greatest = values.reduce((a, b) => (b.value > a.value ? b : a));
  return values.filter((each, i) => i === 0 || i === values.length - 1 || each === least || each === greatest);
}
