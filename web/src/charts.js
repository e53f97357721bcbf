// Small multiples: a chart for each number that the events of a topic carry. The
// first few are shown; the reader may hide them, and choose others.

import { isNumber, numbersIn } from './json.js';
import { setting } from './memory.js';
import { number } from './number.js';
import { enteredAt, payload } from './row.js';
import { Series } from './series.js';

const FIRST = 3; // charts that are shown without being asked for
const MOST = 8; // at one time
const MEASURES = 40; // that are kept
const LINES = 4; // of one measure: a subject each
const STALE = 50; // values of other subjects, after which a new one takes a line's place: the feed shows no more
const OTHERS = 99; // subjects without a line that are counted
const ENOUGH = 3; // values that make a chart
const COLORS = 8;
const OWN = 1; // s between an event's own time and that at which it entered the log, as long as they are taken for one
const EVERY = 100; // ms between two drawings
const AGAIN = 2000; // ms until what draws is asked for again
const HINT = 'Numbers in events become charts here, from three values on.';

export class Charts {
  #root;
  #grid;
  #hint;
  #scope;
  #menu;
  #list;
  #measures = new Map(); // name: {name, label, unit, color, nested, limit, lines, others, many, late, count, chart}
  #choice = {}; // name: shown or not, where the reader has chosen
  #timer = 0;
  #Chart = null; // once what draws is here
  #loading = false;

  constructor(root) {
    this.#root = root;
    const make = (tag, className, text = '') => Object.assign(document.createElement(tag), { className, textContent: text });
    this.#grid = make('div', 'charts-grid');
    this.#hint = make('p', 'hint charts-hint', HINT);
    this.#scope = make('p', 'charts-scope', 'Charts are of all events: the filter is for the rows.');
    this.#scope.hidden = true;
    this.#menu = make('details', 'menu charts-menu');
    this.#menu.id = 'charts-menu';
    this.#menu.append(make('summary', 'link', 'Choose'), this.#list = make('div', 'menu-body'));
    this.#menu.hidden = true;
    root.replaceChildren(this.#hint, this.#scope, this.#grid, this.#menu);
    root.hidden = false;
    try {
      this.#choice = JSON.parse(setting('charts')) ?? {};
    } catch {
      // Nothing was chosen yet.
    }
    new ResizeObserver(() => this.#each((chart) => chart.resize())).observe(root);
    const recolor = () => this.#each((chart) => chart.build());
    new MutationObserver(recolor).observe(document.documentElement, { attributeFilter: ['data-theme'] });
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', recolor);
    matchMedia('(forced-colors: active)').addEventListener('change', recolor);
  }

  // load fetches what draws. Where the server is away just then, it is asked again.
  async load() {
    if (this.#Chart || this.#loading) return;
    this.#loading = true;
    try {
      ({ Chart: this.#Chart } = await import('./chart.js'));
      this.#arrange();
    } catch {
      setTimeout(() => this.load(), AGAIN);
    }
    this.#loading = false;
  }

  // add takes the numbers of one event, and gives them their lines' colours. One that
  // is a number and nothing else has a chart by the name of its topic.
  add(item, topic) {
    const at = enteredAt(item) / 1000;
    const { subject = '', time } = item.dataset;
    const late = Math.abs(at - Number(time) / 1000) > OWN;
    for (const element of item.querySelectorAll('[data-measure]')) {
      const { measure, value, label, unit = '', limit, color } = element.dataset;
      const known = this.#measures.get(measure) ?? this.#create(measure, { label, unit, color, nested: false });
      if (!known) continue;
      known.limit = limit;
      element.dataset.color = this.#push(known, { subject, at, late }, Number(value), element.querySelector('b')?.textContent ?? value)?.color ?? 'none';
    }
    const text = item.dataset.cut ? '' : payload(item).trim();
    if (isNumber(text)) {
      const known = this.#measures.get(topic) ?? this.#create(topic, { label: topic, unit: '', color: this.#measures.size, nested: false });
      if (known) this.#push(known, { subject, at, late }, Number(text), text);
    } else if (item.dataset.content === 'json') {
      // Those at the top are in the row, but for the last ones of many.
      const shown = new Set([...item.querySelectorAll('[data-measure]')].map((element) => element.dataset.measure));
      for (const { path, depth, value } of numbersIn(payload(item))) {
        if (depth === 1 && (shown.has(path) || !item.querySelector('.measure ~ .more'))) continue;
        const known = this.#measures.get(path) ?? this.#create(path, { label: path, unit: '', color: this.#measures.size, nested: true });
        if (known) this.#push(known, { subject, at, late }, value, number(value));
      }
    }
    this.#soon();
  }

  // gap breaks the lines: events are missing here.
  gap() {
    for (const { lines } of this.#measures.values()) for (const { series } of lines.values()) series.gap();
  }

  clear() {
    for (const name of [...this.#measures.keys()]) this.#forget(name);
    this.#arrange();
  }

  // filtered says whether rows of the feed are filtered, which the charts are not.
  filtered(is) {
    this.#scope.hidden = !is;
  }

  // saved returns the values for another time, those that are shown first, in so many
  // characters at most; restore shows them again.
  saved(most) {
    const fits = [];
    for (const { name, lines, others, chart, ...about } of [...this.#measures.values()].sort((a, b) => (b.chart !== null) - (a.chart !== null))) {
      const text = JSON.stringify({ ...about, name, others: [...others], lines: [...lines].map(([subject, line]) => [subject, { ...line, series: line.series.saved }]) });
      most -= text.length;
      if (most < 0) break;
      fits.push({ name, text });
    }
    const order = [...this.#measures.keys()];
    return fits.sort((a, b) => order.indexOf(a.name) - order.indexOf(b.name)).map(({ text }) => text);
  }

  restore(saved) {
    for (const { lines, others, ...about } of saved.map(JSON.parse)) {
      this.#measures.set(about.name, { ...about, chart: null, others: new Set(others), lines: new Map(lines.map(([subject, line]) => [subject, { ...line, series: Series.from(line.series) }])) });
    }
    if (!saved.length) return;
    if (this.#Chart) this.#arrange();
    else this.load();
  }

  rebuild() {
    this.#each((chart) => chart.build());
  }

  #each(act) {
    for (const { chart } of this.#measures.values()) if (chart) act(chart);
  }

  #create(name, about) {
    if (this.#measures.size >= MEASURES) return null;
    const taken = new Set([...this.#measures.values()].map((known) => known.color));
    let color = Number(about.color) % COLORS || 0;
    for (let tries = 0; taken.has(color) && tries < COLORS; tries++) color = (color + 1) % COLORS;
    const known = { ...about, name, label: about.label || name, color, lines: new Map(), others: new Set(), many: false, late: false, count: 0, chart: null };
    this.#measures.set(name, known);
    return known;
  }

  #forget(name) {
    this.#measures.get(name)?.chart?.destroy();
    this.#measures.delete(name);
  }

  // #push returns the line that a value has come to, or undefined.
  #push(known, { subject, at, late }, value, text) {
    if (!Number.isFinite(value)) return undefined; // 1e400, which cannot be drawn
    known.late ||= late; // the events' own times are others
    const line = this.#lineOf(known, subject);
    known.count++;
    known.chart?.touch();
    if (!line) return undefined; // there are others, which have made it a chart
    line.last = known.count;
    line.series.push(at, value, text);
    if (known.count === ENOUGH) this.#arrange();
    return line;
  }

  // #lineOf returns the line of a subject. Where there are enough, a new subject takes the
  // place of one of which nothing has come for long, or has none.
  #lineOf(known, subject) {
    const { lines, others, count, color } = known;
    if (lines.has(subject)) return lines.get(subject);
    let style = lines.size;
    if (style >= LINES) {
      const [oldest, line] = [...lines].reduce((a, b) => (b[1].last < a[1].last ? b : a));
      const stale = count - line.last > STALE;
      if (stale) {
        lines.delete(oldest);
        others.delete(subject);
      }
      const other = stale ? oldest : subject;
      if (others.size < OTHERS) others.add(other);
      else if (!others.has(other)) known.many = true;
      if (!stale) return undefined;
      ({ style } = line);
    }
    const line = { series: new Series(), style, color: (color + style) % COLORS, last: count };
    lines.set(subject, line);
    return line;
  }

  #soon() {
    this.#timer ||= setTimeout(() => {
      this.#timer = 0;
      this.#each((chart) => chart.draw());
    }, EVERY);
  }

  // #arrange shows the charts that are to be seen, in the order of the events' members.
  #arrange() {
    const ready = [...this.#measures.values()].filter(({ count }) => count >= ENOUGH);
    let free = FIRST - ready.filter(({ name }) => this.#choice[name] === true).length;
    const shown = new Set();
    for (const known of ready) {
      const chosen = this.#choice[known.name];
      const show = (chosen ?? (!known.nested && free-- > 0)) && shown.size < MOST;
      if (show) shown.add(known);
      if (show && !known.chart && this.#Chart) known.chart = new this.#Chart(this.#grid, known);
      if (!show && known.chart) {
        known.chart.destroy();
        known.chart = null;
      }
      if (known.chart) this.#grid.append(known.chart.box);
    }
    this.#root.dataset.count = shown.size;
    this.#hint.hidden = shown.size > 0;
    this.#hint.textContent = ready.length ? 'No chart is chosen.' : HINT;
    this.#menu.hidden = ready.length < 2 && shown.size === ready.length; // one that is not shown is to be chosen
    this.#list.replaceChildren(...ready.map((known) => this.#choiceOf(known, shown.has(known))));
    this.#each((chart) => chart.resize()); // the columns are others now
    this.#soon();
  }

  #choiceOf(known, shown) {
    const label = Object.assign(document.createElement('label'), { className: 'menu-item check' });
    const box = Object.assign(document.createElement('input'), { type: 'checkbox', checked: shown });
    box.dataset.measureChoice = known.name;
    box.addEventListener('change', () => {
      this.#choice[known.name] = box.checked;
      setting('charts', JSON.stringify(this.#choice));
      this.#arrange();
      this.#list.querySelector(`[data-measure-choice="${CSS.escape(known.name)}"]`)?.focus();
    });
    label.append(box, Object.assign(document.createElement('span'), { textContent: known.label }));
    return label;
  }
}
