// Small multiples: a chart for each number that the events of a topic carry. The
// first few are shown; the reader may hide them, and choose others.

import { Chart, load } from './chart.js';
import { isNumber, numbersIn } from './json.js';
import { setting } from './memory.js';
import { enteredAt, payload } from './row.js';
import { Series } from './series.js';

const FIRST = 3; // charts that are shown without being asked for
const MOST = 8; // at one time
const MEASURES = 40; // that are kept
const ENOUGH = 3; // values that make a chart
const COLORS = 8;
const EVERY = 100; // ms between two drawings

export class Charts {
  #root;
  #grid;
  #hint;
  #menu;
  #list;
  #measures = new Map(); // name: {label, unit, color, nested, limit, series, chart}
  #choice = {}; // name: shown or not, where the reader has chosen
  #timer = 0;

  constructor(root) {
    this.#root = root;
    const make = (tag, className, text = '') => Object.assign(document.createElement(tag), { className, textContent: text });
    this.#grid = make('div', 'charts-grid');
    this.#hint = make('p', 'hint charts-hint', 'Numbers in events become charts here, from three values on.');
    this.#menu = make('details', 'menu charts-menu');
    this.#menu.id = 'charts-menu';
    this.#menu.append(make('summary', 'link', 'Choose'), this.#list = make('div', 'menu-body'));
    this.#menu.hidden = true;
    root.replaceChildren(this.#hint, this.#grid, this.#menu);
    root.hidden = false;
    try {
      this.#choice = JSON.parse(setting('charts')) ?? {};
    } catch {
      // Nothing was chosen yet.
    }
    load(); // before it is needed: the server may be away then
    new ResizeObserver(() => this.#each((chart) => chart.resize())).observe(root);
    const recolor = () => this.#each((chart) => chart.build());
    new MutationObserver(recolor).observe(document.documentElement, { attributeFilter: ['data-theme'] });
    matchMedia('(prefers-color-scheme: dark)').addEventListener('change', recolor);
    matchMedia('(forced-colors: active)').addEventListener('change', recolor);
  }

  // add takes the numbers of one event, and gives them their charts' colours. One that
  // is a number and nothing else has a chart by the name of its topic.
  add(item, topic) {
    const at = enteredAt(item) / 1000;
    for (const element of item.querySelectorAll('[data-measure]')) {
      const { measure, value, label, unit = '', limit, color } = element.dataset;
      const known = this.#measures.get(measure) ?? this.#create(measure, { label, unit, color, nested: false });
      if (!known) continue;
      element.dataset.color = known.color;
      known.limit = limit;
      this.#push(known, at, Number(value), element.querySelector('b')?.textContent ?? value);
    }
    const text = item.dataset.cut ? '' : payload(item).trim();
    if (isNumber(text)) {
      const known = this.#measures.get(topic) ?? this.#create(topic, { label: topic, unit: '', color: this.#measures.size, nested: false });
      if (known) this.#push(known, at, Number(text), text);
    } else if (item.dataset.content === 'json') {
      for (const { path, value } of numbersIn(payload(item))) {
        const known = this.#measures.get(path) ?? this.#create(path, { label: path, unit: '', color: this.#measures.size, nested: true });
        if (known) this.#push(known, at, value, String(value));
      }
    }
    this.#soon();
  }

  // gap breaks the lines: events are missing here.
  gap() {
    for (const { series } of this.#measures.values()) series.gap();
  }

  clear() {
    for (const name of [...this.#measures.keys()]) this.#forget(name);
    this.#arrange();
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
    const known = { ...about, name, label: about.label || name, color, series: new Series(), chart: null };
    this.#measures.set(name, known);
    return known;
  }

  #forget(name) {
    this.#measures.get(name)?.chart?.destroy();
    this.#measures.delete(name);
  }

  #push(known, at, value, text) {
    const before = known.series.length;
    known.series.push(at, value, text);
    known.chart?.touch();
    if (before < ENOUGH && known.series.length >= ENOUGH) this.#arrange();
  }

  #soon() {
    this.#timer ||= setTimeout(() => {
      this.#timer = 0;
      this.#each((chart) => chart.draw());
    }, EVERY);
  }

  // #arrange shows the charts that are to be seen, in the order of the events' members.
  #arrange() {
    const ready = [...this.#measures.values()].filter(({ series }) => series.length >= ENOUGH);
    let free = FIRST - ready.filter(({ name }) => this.#choice[name] === true).length;
    let shown = 0;
    for (const known of ready) {
      const chosen = this.#choice[known.name];
      const show = (chosen ?? (!known.nested && free-- > 0)) && shown < MOST;
      if (show) shown++;
      if (show && !known.chart) known.chart = new Chart(this.#grid, { ...known, measure: known.name }, known.series);
      if (!show && known.chart) {
        known.chart.destroy();
        known.chart = null;
      }
      if (known.chart) this.#grid.append(known.chart.box);
    }
    this.#root.dataset.count = shown;
    this.#hint.hidden = shown > 0;
    this.#hint.textContent = ready.length ? 'No chart is chosen.' : 'Numbers in events become charts here, from three values on.';
    this.#menu.hidden = ready.length < 2;
    this.#list.replaceChildren(...ready.map((known) => this.#choiceOf(known)));
    this.#soon();
  }

  #choiceOf(known) {
    const label = Object.assign(document.createElement('label'), { className: 'menu-item check' });
    const box = Object.assign(document.createElement('input'), { type: 'checkbox', checked: known.chart !== null });
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
