// One chart: a number of the events over time, in the colour that it has in the feed.

import { timeOfDay } from './clock.js';

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400]; // s between two labels
const DESCRIBE_EVERY = 2000; // ms; a screen reader that is on the chart need not read faster

let library = null;

// load fetches what draws. Where the server is away just then, it is asked again.
export const load = () => (library ??= import('uplot').then((module) => module.default, () => {
  library = null;
  return null;
}));

export class Chart {
  #series;
  #plot = null;
  #dirty = true;
  #describedAt = -DESCRIBE_EVERY;
  #describing = 0;
  #gone = false;

  constructor(root, { measure, label, unit, color, limit }, series) {
    this.#series = series;
    this.label = label;
    this.unit = unit;
    this.limit = limit;
    const make = (tag, className, text = '') => Object.assign(document.createElement(tag), { className, textContent: text });
    this.box = make('figure', 'chart');
    this.box.dataset.chart = measure;
    this.box.dataset.color = color;
    const caption = make('figcaption', 'chart-head');
    this.value = make('b', 'chart-value', '–');
    const name = make('span', 'chart-label', label);
    name.title = label;
    caption.append(name, this.value, make('small', 'chart-unit', unit));
    this.canvas = make('div', 'chart-plot');
    this.canvas.setAttribute('role', 'img');
    this.canvas.setAttribute('aria-label', label);
    // What the upper and the lower end of the chart stand for: each has a scale of its own.
    this.ends = [make('span', 'chart-end'), make('span', 'chart-end chart-low')];
    this.canvas.append(...this.ends);
    this.range = make('p', 'chart-range');
    this.range.setAttribute('aria-hidden', 'true');
    this.box.append(caption, this.canvas, this.range);
    root.append(this.box);
    this.build();
  }

  async build() {
    const uPlot = await load();
    if (this.#gone) return;
    if (!uPlot) return void setTimeout(() => this.build(), 2000);
    this.#plot?.destroy();
    const { color, backgroundColor } = getComputedStyle(this.canvas);
    const muted = getComputedStyle(this.range).color;
    const font = `11px ${getComputedStyle(this.canvas).fontFamily}`;
    this.#plot = new uPlot({
      width: this.#width(),
      height: this.#height(),
      padding: [5, 4, 0, 4],
      legend: { show: false },
      axes: [{
        stroke: muted, font, size: 18, gap: 3, space: 72, incrs: STEPS, grid: { show: false }, ticks: { show: false },
        // A label that would be cut at an edge is left out.
        values: (plot, splits) => splits.map((at) => {
          const x = plot.valToPos(at, 'x');
          return x > 22 && x < plot.width - 30 ? timeOfDay(at * 1000) : '';
        }),
      }, { show: false }],
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 }, sync: { key: 'weir' } },
      scales: { y: { range: (_, min, max) => this.#scale(min, max) } },
      series: [{}, { stroke: color, fill: backgroundColor, width: 1.75, spanGaps: false, points: { show: true, size: 5, fill: color, stroke: color, filter: () => this.#series.alone() } }],
      hooks: { setCursor: [() => this.#showValue()], setScale: [(plot, key) => key === 'y' && this.#showEnds(plot.scales.y)] },
    }, this.#data(), this.canvas);
    this.#dirty = true;
    this.draw();
  }

  touch() {
    this.#dirty = true;
  }

  draw() {
    if (!this.#dirty || !this.#plot) return;
    this.#dirty = false;
    this.#plot.setData(this.#data());
    this.#showValue();
    const [low, high] = this.#series.range().map((value) => this.#series.format(value));
    this.range.textContent = `${low === high ? low : `${low} – ${high}`}${this.limit ? ` of ${this.limit}` : ''}`;
    this.#describing ||= setTimeout(() => this.#describe(), Math.max(0, this.#describedAt + DESCRIBE_EVERY - performance.now()));
  }

  #describe() {
    this.#describing = 0;
    this.#describedAt = performance.now();
    const [low, high] = this.#series.range().map((value) => this.#series.format(value));
    this.canvas.setAttribute('aria-label', `${this.label}: latest ${this.#series.format(this.#series.latest)} ${this.unit}, between ${low} and ${high} over the last ${this.#series.length} values`);
  }

  resize() {
    if (!this.#plot) return;
    const width = this.#width();
    const height = this.#height();
    if (width !== this.#plot.width || height !== this.#plot.height) this.#plot.setSize({ width, height });
  }

  destroy() {
    this.#gone = true;
    clearTimeout(this.#describing);
    this.#plot?.destroy();
    this.box.remove();
  }

  #width() {
    return Math.max(40, Math.floor(this.canvas.clientWidth));
  }

  #height() {
    return this.canvas.clientHeight || 76;
  }

  #data() {
    return [this.#series.times, this.#series.values];
  }

  // A share of a whole is shown as one: a cliff of 8 % is none.
  #scale(min, max) {
    if (this.unit === '%' && (min ?? 0) >= 0 && (max ?? 0) <= 100) return [0, 100];
    if (min === null || min === undefined) return [0, 1];
    const room = (max - min) * 0.12 || Math.abs(max) * 0.05 || 1;
    return [min - room, max + room];
  }

  #showEnds({ min, max }) {
    [max, min].forEach((end, i) => { this.ends[i].textContent = Number.isFinite(end) && this.#series.length ? this.#series.format(end) : ''; });
  }

  // The value under the pointer, else the latest.
  #showValue() {
    const at = this.#plot?.cursor.idx;
    const value = at === null || at === undefined ? null : this.#series.values[at];
    const hovers = value !== null && value !== undefined;
    this.value.textContent = this.#series.format(hovers ? value : this.#series.latest);
    this.box.toggleAttribute('data-hover', hovers);
    const count = hovers ? this.#series.counts[at] : 0;
    if (hovers) this.range.textContent = `${timeOfDay(this.#series.times[at] * 1000)}${count > 1 ? `, one of ${count}` : ''}`;
    else this.#dirty = true;
  }
}
