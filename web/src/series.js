// The values of one number over time, as a chart shows them. What is said of them (the
// newest, the least, the greatest, how many) is of every value. The line has fewer
// points than there are values, and keeps the extremes.

import { aligned, PLACES } from './number.js';

const COLUMNS = 120;
const FINEST = 1 / 200; // of the chart's width: what is closer is one column
const QUIET = 8; // times the usual distance between two values
const APART = 1e-6; // s between two points of one moment: no width on screen
const SAME = 1e-4; // s: the points of one moment are no further from one another, and IDs no closer
const LEAST = 10; // s: what is shorter is no quiet time

export class Series {
  digits = 0; // the most that a value had behind the point
  least = PLACES; // and the least
  latest = null; // the value that came last

  #columns = []; // {at, values: [{at, value}], count}, or {at, values: [{at, value: null}], count: 0} for a gap
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
    this.digits = Math.min(PLACES, Math.max(this.digits, digitsOf(text)));
    this.least = Math.max(0, Math.min(this.least, digitsOf(text)));
    this.latest = value;
    const last = this.#columns.at(-1);
    if (last?.count && at - last.at <= Math.max(0.002, (last.at - this.#columns[0].at) * FINEST)) {
      last.values.push({ at: Math.max(at, last.values.at(-1).at), value });
      last.values = extremes(last.values);
      last.count++;
      this.#line = null;
      return;
    }
    this.#add({ at: Math.max(at, this.#end), values: [{ at: Math.max(at, this.#end), value }], count: 1 });
  }

  // gap breaks the line: values are missing here. Nothing else breaks it, however long no
  // value comes: a reader takes a hole for what was lost.
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

  // saved is all of it for another time, as small as it can be; Series.from brings it back.
  get saved() {
    return { digits: this.digits, least: this.least, latest: this.latest, columns: this.#columns.map(({ at, values, count }) => [count, at, ...values.flatMap((each) => [each.at, each.value])]) };
  }

  static from({ digits, least = 0, latest, columns }) {
    const series = new Series();
    Object.assign(series, { digits, least, latest });
    for (const [count, at, ...flat] of columns) {
      const values = [];
      for (let i = 0; i < flat.length; i += 2) values.push({ at: flat[i], value: flat[i + 1] });
      series.#columns.push({ at, values, count });
    }
    return series;
  }

  range() {
    const values = this.values.filter((value) => value !== null);
    return [Math.min(...values), Math.max(...values)];
  }

  // format writes a value with as many digits as the values have that came, or as asked.
  format(value, digits = this.digits, grouped = false) {
    return value === null || value === undefined ? '–' : aligned(value, digits, grouped);
  }
}

// digitsOf is how many digits are behind the point of a number that is written like that.
function digitsOf(text) {
  const [, behind = '', exponent = 0] = /(?:\.(\d+))?(?:e([-+]?\d+))?$/i.exec(text);
  return behind.length - Number(exponent);
}

// extremes are the first of some values, the least, the greatest and the last, in the
// order in which they came. They are extremes of all values that were ever among them.
function extremes(values) {
  const least = values.reduce((a, b) => (b.value < a.value ? b : a));
  const greatest = values.reduce((a, b) => (b.value > a.value ? b : a));
  return values.filter((each, i) => i === 0 || i === values.length - 1 || each === least || each === greatest);
}

// alone are the places of the values that no line shows: a line between two gaps that is
// less than so wide has no width on screen. What is undefined is of another line.
export function alone(values, times, width = 0) {
  const at = [...values.keys()].filter((i) => values[i] !== undefined);
  const places = [];
  for (let first = 0, end; first < at.length; first = end + 1) {
    for (end = first; end < at.length && values[at[end]] !== null; end++);
    if (end > first && times[at[end - 1]] - times[at[first]] <= width) places.push(...at.slice(first, end));
  }
  return places;
}

// edges are the places of the two values beside each time in which none came for long, so
// that the line between them is seen to have no value of its own.
export function edges(values, times) {
  const at = [...values.keys()].filter((i) => values[i] !== undefined);
  const steps = [];
  for (let n = 1; n < at.length; n++) {
    const step = times[at[n]] - times[at[n - 1]];
    if (step > SAME && values[at[n]] !== null && values[at[n - 1]] !== null) steps.push({ step, from: at[n - 1], to: at[n] });
  }
  const usual = steps.map(({ step }) => step).sort((a, b) => a - b)[(steps.length - 1) >> 1];
  return [...new Set(steps.filter(({ step }) => step > LEAST && step > QUIET * usual).flatMap(({ from, to }) => [from, to]))];
}

// join puts several series on one axis: the times, and for each series its values, which
// are undefined where the time is another one's. No two times are the same: what draws
// finds its first and its last point by their times, and would leave out those that share
// the last one, in the scale and in the line.
export function join(all) {
  const points = all.flatMap((series, of) => series.times.map((at, i) => ({ at, of, value: series.values[i] })));
  if (all.length > 1) points.sort((a, b) => a.at - b.at);
  let last = -Infinity;
  for (const point of points) last = point.at = Math.max(point.at, last + APART);
  return [points.map(({ at }) => at), ...all.map((_, of) => points.map((point) => (point.of === of ? point.value : undefined)))];
}
