// One chart: a number of the events over time, in the colour that it has in the feed. Events
// about several subjects have a line for each. It is loaded with what draws, when there
// is something to draw.

import uPlot from 'uplot';

import { dateUnlessToday, timeOfDay, today, when } from './clock.js';
import { alone, edges, join } from './series.js';

const STEPS = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14_400, 28_800, 86_400, 172_800, 604_800, 2_592_000]; // s between two labels
const DAY = 86_400; // s
const NEAR = 1 / 20; // of the chart's width
const LEAST = 1; // s that a chart is wide: a batch of one moment is no line from edge to edge
const POINT = 1 / 200; // of the chart's width: a line that is no wider is not seen
const DIGIT = 6; // px of a digit beside the chart
const LONG = 11; // digits and commas of a number beside the chart
const MILLION = 1e6;
const DESCRIBE_EVERY = 2000; // ms; a screen reader that is on the chart need not read faster
// Lines differ by more than colour, as their samples in the legend do.
const STYLES = [{ width: 1.75 }, { width: 1.75, dash: [6, 3] }, { width: 2, dash: [2, 3] }, { width: 3.5 }];

const make = (tag, className, text = '') => Object.assign(document.createElement(tag), { className, textContent: text });

export class Chart {
  #measure; // {label, unit, limit, lines, others, many, late}, which is the caller's
  #plot = null;
  #built = ''; // the lines of which the plot is
  #legend = []; // {line, value: an element}
  #dirty = true;
  #describedAt = -DESCRIBE_EVERY;
  #describing = 0;

  constructor(root, measure) {
    this.#measure = measure;
    const { name, label, unit, color } = measure;
    this.box = make('figure', 'chart');
    this.box.dataset.chart = name;
    this.box.dataset.color = color;
    const caption = make('figcaption', 'chart-head');
    this.value = make('b', 'chart-value', '–');
    const head = make('span', 'chart-label', label);
    head.title = label;
    caption.append(head, this.value, make('small', 'chart-unit', unit));
    this.canvas = make('div', 'chart-plot');
    this.canvas.title = 'Over the time at which events entered the topic, which may not be their own';
    this.canvas.setAttribute('role', 'img');
    this.canvas.setAttribute('aria-label', label);
    // What the upper and the lower end of the chart stand for: each has a scale of its own.
    this.ends = [make('span', 'chart-end'), make('span', 'chart-end chart-low')];
    this.canvas.append(...this.ends);
    this.legend = make('p', 'chart-legend');
    this.others = make('span', 'chart-others');
    this.range = make('p', 'chart-range');
    for (const each of [this.legend, this.range]) each.setAttribute('aria-hidden', 'true');
    this.box.append(caption, this.canvas, this.legend, this.range);
    root.append(this.box);
    this.build();
  }

  get #lines() {
    return [...this.#measure.lines.values()];
  }

  // #names says which lines there are.
  get #names() {
    return JSON.stringify([...this.#measure.lines.keys()]);
  }

  build() {
    this.#plot?.destroy();
    this.#built = this.#names;
    this.#showLegend();
    const { color, backgroundColor } = getComputedStyle(this.canvas);
    const muted = getComputedStyle(this.range).color;
    const font = `11px ${getComputedStyle(this.canvas).fontFamily}`;
    const several = this.#legend.length > 0;
    const lines = this.#lines.map((line, i) => {
      const stroke = several ? getComputedStyle(this.#legend[i].value.parentElement).color : color;
      return {
        stroke, fill: several ? undefined : backgroundColor, ...STYLES[several ? line.style : 0], spanGaps: false,
        points: { show: true, size: 5, fill: stroke, stroke, filter: (plot, n) => dots(plot, plot.data[n]) },
      };
    });
    this.#plot = new uPlot({
      width: this.#width(),
      height: this.#height(),
      padding: [5, 4, 0, () => 6 + Math.max(...this.ends.map(({ textContent }) => textContent.length)) * DIGIT],
      legend: { show: false },
      axes: [{
        stroke: muted, font, size: 18, gap: 3, space: 72, incrs: STEPS, grid: { show: false }, ticks: { show: false },
        // A label that would be cut at an edge is left out.
        values: (plot, splits) => splits.map((at) => {
          const text = label(at * 1000, plot.scales.x.max - plot.scales.x.min);
          const x = plot.valToPos(at, 'x') + plot.bbox.left / devicePixelRatio;
          const half = (text.length * DIGIT) / 2;
          return x >= half && x <= plot.width - half ? text : '';
        }),
      }, { show: false }],
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 }, sync: { key: 'weir' } },
      scales: { x: { range: (_, min, max) => [Math.min(min, max - LEAST), max] }, y: { range: (_, min, max) => this.#scale(min, max) } },
      series: [{}, ...lines],
      hooks: { setCursor: [() => this.#showValue()], setScale: [(plot, key) => key === 'y' && this.#showEnds(plot.scales.y)] },
    }, this.#data(), this.canvas);
    this.#dirty = true;
    this.draw();
  }

  touch() {
    this.#dirty = true;
  }

  draw() {
    if (!this.#dirty) return;
    if (this.#built !== this.#names) return this.build();
    this.#dirty = false;
    this.#plot.setData(this.#data());
    this.#showValue();
    this.#showOthers();
    this.#showRange();
    this.#describing ||= setTimeout(() => this.#describe(), Math.max(0, this.#describedAt + DESCRIBE_EVERY - performance.now()));
  }

  // #showLegend names the lines, where there are several.
  #showLegend() {
    const { lines } = this.#measure;
    const several = lines.size > 1;
    this.#legend = several ? [...lines].map(([subject, line]) => {
      const box = make('span', 'chart-line');
      box.dataset.color = line.color;
      box.dataset.style = line.style;
      box.dataset.subject = subject;
      const value = make('b', '');
      box.append(make('i', ''), make('span', '', subject || 'no subject'), value);
      return { line, value };
    }) : [];
    this.legend.replaceChildren(...this.#legend.map(({ value }) => value.parentElement));
    this.legend.append(this.others);
    this.box.toggleAttribute('data-lines', several);
  }

  // #showOthers says of how many subjects there is no line.
  #showOthers() {
    const { others: { size }, many } = this.#measure;
    this.others.textContent = size ? `and ${size}${many ? '+' : ''} more ${size === 1 ? 'subject' : 'subjects'}, not drawn` : '';
  }

  #ends() {
    const ranges = this.#lines.map(({ series }) => series.range());
    return [Math.min(...ranges.map(([low]) => low)), Math.max(...ranges.map(([, high]) => high))].map((value) => this.#say(value));
  }

  #showRange() {
    const [low, high] = this.#ends();
    const { limit, late } = this.#measure;
    const date = dateUnlessToday(this.#plot.data[0][0] * 1000);
    this.range.textContent = `${low === high ? low : `${low} – ${high}`}${limit ? ` of ${limit}` : ''}${date ? ` · since ${date}` : ''}${late ? ' · by arrival' : ''}`;
  }

  #describe() {
    this.#describing = 0;
    this.#describedAt = performance.now();
    const { label, unit, lines, others } = this.#measure;
    const told = [...lines].map(([subject, { series }]) => {
      const [low, high] = series.range().map((value) => this.#say(value));
      return `${this.#legend.length ? `${subject || 'no subject'}: ` : ''}latest ${[this.#say(series.latest), unit].filter(Boolean).join(' ')}, between ${low} and ${high} over the last ${series.length === 1 ? 'value' : `${series.length} values`}`;
    });
    this.canvas.setAttribute('aria-label', `${label}: ${told.join('; ')}${others.size ? `; ${this.others.textContent}` : ''}`);
  }

  resize() {
    const width = this.#width();
    const height = this.#height();
    if (width !== this.#plot.width || height !== this.#plot.height) this.#plot.setSize({ width, height });
  }

  destroy() {
    clearTimeout(this.#describing);
    this.#plot.destroy();
    this.box.remove();
  }

  #width() {
    return Math.max(40, Math.floor(this.canvas.clientWidth));
  }

  #height() {
    return this.canvas.clientHeight || 76;
  }

  #data() {
    return join(this.#lines.map(({ series }) => series));
  }

  // #format writes a value with as many digits as the values of all lines have.
  #format(value, grouped = false) {
    const digits = Math.max(...this.#lines.map(({ series }) => series.digits));
    return this.#lines[0].series.format(value, digits, grouped);
  }

  // #say writes a value as its row does: without zeros at the end that no value needs.
  #say(value, grouped = false) {
    const text = this.#format(value, grouped);
    const least = Math.min(...this.#lines.map(({ series }) => series.least));
    if (!/^-?[\d,]+\.\d+$/.test(text)) return text;
    const [whole, behind] = text.split('.');
    const kept = behind.slice(0, least) + behind.slice(least).replace(/0+$/, '');
    return kept ? `${whole}.${kept}` : whole;
  }

  // A share of a whole is shown as one: a cliff of 8 % is none.
  #scale(min, max) {
    if (this.#measure.unit === '%' && (min ?? 0) >= 0 && (max ?? 0) <= 100) return [0, 100];
    if (min === null || min === undefined) return [0, 1];
    const room = (max - min) * 0.12 || Math.abs(max) * 0.05 || 1;
    // Where no value is below zero, or above it, the scale does not go there.
    return [min >= 0 ? Math.max(0, min - room) : min - room, max <= 0 && min < 0 ? Math.min(0, max + room) : max + room];
  }

  // The ends are no values: they have the digits by which they differ.
  #showEnds({ min, max }) {
    const step = 10 ** (Math.floor(Math.log10(max - min)) - 2) || 1;
    const grouped = Math.max(Math.abs(min), Math.abs(max)) >= 10_000;
    const written = [max, min].map((end) => (Number.isFinite(end) ? this.#say(Math.round(end / step) * step, grouped) : ''));
    // Where both have an exponent, the line has the room of the zeros.
    const short = step >= MILLION && written.some((text) => text.length > LONG);
    [max, min].forEach((end, i) => { this.ends[i].textContent = short && end ? (Math.round(end / step) * step).toExponential() : written[i]; });
  }

  // #showValue shows the value of each line under the pointer, else its latest.
  #showValue() {
    if (!this.#plot) return;
    const { idxs = [], idx } = this.#plot.cursor;
    const lines = this.#lines;
    const [times, ...all] = this.#plot.data;
    const time = times[idx];
    // What a line has near the pointer, if it has anything there.
    const near = (n) => n !== null && n !== undefined && Math.abs(times[n] - time) <= NEAR * (times.at(-1) - times[0]);
    const hovered = all.map((values, i) => (near(idxs[i + 1]) ? values[idxs[i + 1]] : undefined));
    const hovers = hovered.some((value) => value !== null && value !== undefined);
    const values = lines.map(({ series }, i) => this.#say(hovers ? hovered[i] : series.latest));
    this.#legend.forEach(({ value }, i) => { value.textContent = values[i] ?? ''; });
    this.value.textContent = this.#legend.length ? '' : values[0];
    this.box.toggleAttribute('data-hover', hovers);
    if (!hovers) {
      this.#dirty = true;
      return;
    }
    const count = lines.length === 1 ? lines[0].series.counts[idxs[1]] : 0;
    this.range.textContent = `${when(time * 1000)}${count > 1 ? `, one of ${count}` : ''}`;
  }
}

// dots are the values of a line that have one: where there is no line, and beside a time
// without values.
function dots({ data: [times], scales: { x } }, values) {
  return [...new Set([...alone(values, times, (x.max - x.min) * POINT), ...edges(values, times)])].sort((a, b) => a - b);
}

// label is a time on an axis of so many seconds, which has little room.
function label(ms, span) {
  const date = dateUnlessToday(ms);
  if (span < DAY || !date) return timeOfDay(ms);
  return date.slice(0, 4) === today().slice(0, 4) ? `${date.slice(5)} ${timeOfDay(ms).slice(0, 5)}` : date;
}
