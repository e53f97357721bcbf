// Small multiples: one chart for each number that the events of a topic carry,
// in the colour that it has in the feed.

const POINTS = 120;
const MAX_CHARTS = 8;
const COLORS = 8;
const EVERY = 100; // ms between two drawings of the same chart
const DESCRIBE_EVERY = 2000; // ms; a screen reader that is on the chart need not read faster

export class Charts {
  #root;
  #charts = new Map(); // by measure
  #timer = 0;

  constructor(root) {
    this.#root = root;
    new ResizeObserver(() => {
      for (const chart of this.#charts.values()) chart.resize();
    }).observe(root);
    const recolor = () => {
      for (const chart of this.#charts.values()) chart.build();
    };
    new MutationObserver(recolor).observe(document.documentElement, { attributeFilter: ['data-theme'] });
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', recolor);
  }

  // add takes the numbers of one event, and gives them their charts' colours.
  add(item) {
    const at = Number(item.dataset.time) / 1000;
    for (const element of item.querySelectorAll('[data-measure]')) {
      const { measure, value, limit } = element.dataset;
      const chart = this.#charts.get(measure) ?? this.#create(element.dataset);
      if (!chart) continue;
      element.dataset.color = chart.color;
      chart.limit = limit;
      chart.push(at, Number(value), element.querySelector('b')?.textContent ?? value);
    }
    this.#timer ||= setTimeout(() => {
      this.#timer = 0;
      for (const chart of this.#charts.values()) chart.draw();
    }, EVERY);
  }

  clear() {
    for (const chart of this.#charts.values()) chart.destroy();
    this.#charts.clear();
    this.#root.replaceChildren();
    this.#root.hidden = true;
  }

  #create({ measure, label, unit = '', color }) {
    if (this.#charts.size >= MAX_CHARTS) return null;
    const taken = new Set([...this.#charts.values()].map((chart) => chart.color));
    let index = Number(color) % COLORS || 0;
    while (taken.has(index)) index = (index + 1) % COLORS;
    this.#root.hidden = false;
    const chart = new Chart(this.#root, { measure, label: label || measure, unit, color: index });
    this.#charts.set(measure, chart);
    this.#root.dataset.count = this.#charts.size;
    return chart;
  }
}

class Chart {
  #times = [];
  #values = [];
  #texts = [];
  #dirty = false;
  #describedAt = 0;
  #plot = null;
  limit; // that the values cannot exceed, as text

  constructor(root, { measure, label, unit, color }) {
    this.color = color;
    this.label = label;
    this.unit = unit;
    const make = (tag, className, text = '') => Object.assign(document.createElement(tag), { className, textContent: text });
    this.box = make('figure', 'chart');
    this.box.dataset.chart = measure;
    this.box.dataset.color = color;
    const caption = make('figcaption', 'chart-head');
    this.value = make('b', 'chart-value', '–');
    caption.append(make('span', 'chart-label', label), this.value, make('small', 'chart-unit', unit));
    this.canvas = make('div', 'chart-plot');
    this.canvas.setAttribute('role', 'img');
    this.range = make('p', 'chart-range');
    this.range.setAttribute('aria-hidden', 'true');
    this.box.append(caption, this.canvas, this.range);
    root.append(this.box);
    this.build();
  }

  build() {
    this.#plot?.destroy();
    const { color, backgroundColor } = getComputedStyle(this.canvas);
    this.#plot = new uPlot({
      width: this.#width(),
      height: this.#height(),
      padding: [4, 1, 2, 1],
      legend: { show: false },
      axes: [{ show: false }, { show: false }],
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: { y: { range: (_, min, max) => pad(min, max) } },
      series: [{}, { stroke: color, fill: backgroundColor, width: 1.75, points: { show: (plot) => plot.data[0].length < 2, size: 6, fill: color } }],
      hooks: { setCursor: [() => this.#showValue()] },
    }, this.#data(), this.canvas);
  }

  push(at, value, text) {
    if (!Number.isFinite(at) || !Number.isFinite(value)) return;
    // uPlot needs times that do not go back.
    this.#times.push(Math.max(at, this.#times.at(-1) ?? at));
    this.#values.push(value);
    this.#texts.push(text);
    if (this.#times.length > POINTS) for (const list of [this.#times, this.#values, this.#texts]) list.shift();
    this.#dirty = true;
  }

  draw() {
    if (!this.#dirty) return;
    this.#dirty = false;
    this.#plot.setData(this.#data());
    this.#showValue();
    const [low, high] = [Math.min(...this.#values), Math.max(...this.#values)].map(compact);
    this.range.textContent = `${low === high ? low : `${low} – ${high}`}${this.limit ? ` of ${this.limit}` : ''}`;
    if (performance.now() - this.#describedAt > DESCRIBE_EVERY) {
      this.#describedAt = performance.now();
      this.canvas.setAttribute('aria-label', `${this.label}: latest ${this.#texts.at(-1)} ${this.unit}, between ${low} and ${high} over the last ${this.#values.length} events`);
    }
  }

  resize() {
    const width = this.#width();
    const height = this.#height();
    if (width !== this.#plot.width || height !== this.#plot.height) this.#plot.setSize({ width, height });
  }

  destroy() {
    this.#plot.destroy();
  }

  #width() {
    return Math.max(40, Math.floor(this.canvas.clientWidth));
  }

  #height() {
    return this.canvas.clientHeight || 56;
  }

  #data() {
    return [this.#times, this.#values];
  }

  // The value under the pointer, else the latest.
  #showValue() {
    const at = this.#plot?.cursor.idx;
    this.value.textContent = (at != null && this.#texts[at]) || this.#texts.at(-1) || '–';
    this.box.toggleAttribute('data-hover', at != null);
  }
}

function pad(min, max) {
  if (min == null) return [0, 1];
  const room = (max - min) * 0.12 || Math.abs(max) * 0.05 || 1;
  return [min - room, max + room];
}

const compact = (n) => (Number.isInteger(n) ? String(n) : n.toPrecision(Math.abs(n) >= 1000 ? 5 : 3).replace(/\.?0+$/, (zeros) => (zeros.startsWith('.') ? '' : zeros)));
