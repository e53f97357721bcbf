// The view of the traces: recent journeys, or the slowest, and one of them.

import { timeOfDay, when } from './clock.js';
import { Journey } from './journey.js';
import { at } from './node.js';
import { tellTime } from './row.js';

const byID = (id) => document.getElementById(id);
const PATIENCE = 8000; // ms

export class TracesView {
  #page;
  #list = byID('traces');
  #form = byID('traces-form');
  #journey = new Journey(byID('trace'));
  #pressed = '';
  #asked = null;
  #shown = false;
  #line = '';

  constructor(page) {
    this.#page = page;
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.load();
    });
    this.#form.addEventListener('change', () => this.load());
    this.#list.addEventListener('click', (event) => {
      const line = event.target.closest('[data-trace-id]');
      if (line) this.#press(line);
    });
    this.#list.addEventListener('keydown', (event) => this.#key(event));
  }

  show(shown) {
    this.#shown = shown;
    if (!shown) return this.#asked?.abort();
    this.load();
    const trace = /^\/traces\/([0-9a-f]{32})$/.exec(location.pathname)?.[1];
    if (trace && !this.#pressed) this.#open(trace, new URLSearchParams(location.search).get('event') ?? '');
  }

  // lineIs hears of the state of the page's stream: when that is open again, so is the
  // way to the traces that could not be had.
  lineIs(state) {
    const opened = state === 'connected' && this.#line !== state;
    this.#line = state;
    if (opened && this.#shown && this.#list.dataset.traces === 'failed') this.load();
  }

  topicChanged() {
    if (this.#shown) this.load();
  }

  async load() {
    const form = new FormData(this.#form);
    const query = new URLSearchParams({ sort: form.get('sort') });
    if (form.get('min')) query.set('min', form.get('min'));
    if (!form.get('all')) query.set('topic', this.#page().topic);
    this.#asked?.abort();
    const asked = new AbortController();
    this.#asked = asked;
    this.#list.setAttribute('aria-busy', 'true');
    try {
      const answer = await fetch(at(`/traces?${query}`), { headers: { Accept: 'text/html', 'HX-Request': 'true' }, signal: AbortSignal.any([asked.signal, AbortSignal.timeout(PATIENCE)]) });
      if (!/^text\/html\b/.test(answer.headers.get('Content-Type') ?? '')) throw new Error(`The server does not show its traces (${answer.status}).`);
      await htmx.swap({ sourceElement: byID('journey-connector'), target: this.#list, swap: 'innerHTML', text: await answer.text() });
      this.#list.dataset.traces = this.#list.querySelector('.trace-line') ? 'loaded' : 'none';
    } catch (error) {
      if (asked.signal.aborted) return;
      const p = Object.assign(document.createElement('p'), { className: 'hint table-empty', textContent: error.message.startsWith('The server') ? error.message : 'The server cannot be reached.' });
      this.#list.replaceChildren(p);
      this.#list.dataset.traces = 'failed';
    }
    this.#list.removeAttribute('aria-busy');
    this.redress();
    this.#mark();
  }

  // redress writes the times in the zone that the reader has chosen. The list stands
  // still, so it says of when it is.
  redress() {
    for (const time of this.#list.querySelectorAll('.trace-time')) tellTime(time, Number(time.dataset.ms));
    for (const time of this.#list.querySelectorAll('.trace-since')) time.textContent = when(Number(time.dataset.ms));
    for (const at of this.#list.querySelectorAll('.trace-asof')) at.textContent = `as of ${timeOfDay(Date.now())}`;
  }

  #press(line) {
    this.#open(line.dataset.traceId, line.dataset.eventId);
    // On a phone the journey is below the list, out of sight.
    const box = byID('trace-panel').getBoundingClientRect();
    if (box.top > innerHeight - 120) byID('trace-panel').scrollIntoView({ block: 'start' });
  }

  #open(trace, event) {
    this.#pressed = `${trace} ${event}`;
    this.#journey.load(trace, event, '', this.#list.querySelector('[data-node]')?.dataset.node);
    this.#mark();
  }

  #mark() {
    for (const line of this.#list.querySelectorAll('.trace-line')) {
      line.setAttribute('aria-pressed', String(`${line.dataset.traceId} ${line.dataset.eventId}` === this.#pressed));
    }
  }

  #key(event) {
    const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    const lines = [...this.#list.querySelectorAll('.trace-line')];
    const at = lines.indexOf(document.activeElement);
    if (!step || at < 0) return;
    event.preventDefault();
    lines[Math.min(lines.length - 1, Math.max(0, at + step))].focus();
  }
}
