// The view of the traces: recent journeys, or the slowest, and one of them. The list
// follows what comes, for as long as the reader looks at it from outside.

import { when } from './clock.js';
import { Journey } from './journey.js';
import { at } from './node.js';
import { tellTime } from './row.js';

const byID = (id) => document.getElementById(id);
const PATIENCE = 8000; // ms
const EVERY = 3000; // ms between two looks for new journeys
const LEAST = /^(\d+(\.\d+)?(ms|s|m|h))+$/; // a duration, as the address has it

export class TracesView {
  #page;
  #list = byID('traces');
  #form = byID('traces-form');
  #follow = byID('traces-follow');
  #journey = new Journey(byID('trace'));
  #pressed = '';
  #asked = null;
  #shown = false;
  #line = '';
  #following = true;
  #text = ''; // of the list that is shown
  #readAt = 0;
  #failure = ''; // why the list could not be read again

  constructor(page) {
    this.#page = page;
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.load();
    });
    this.#form.addEventListener('change', () => {
      this.#address();
      this.load();
    });
    this.#obey();
    this.#follow.addEventListener('click', () => {
      this.#following = !this.#following;
      this.#follow.setAttribute('aria-pressed', String(this.#following));
      this.#follow.textContent = this.#following ? 'Following' : 'Paused';
      if (this.#following) this.load();
      else this.redress();
    });
    this.#list.addEventListener('click', (event) => {
      const line = event.target.closest('[data-trace-id]');
      if (line) this.#press(line);
    });
    this.#list.addEventListener('keydown', (event) => this.#key(event));
    setInterval(() => this.#look(), EVERY);
  }

  show(shown) {
    this.#shown = shown;
    if (!shown) return this.#asked?.abort();
    this.load();
    const trace = /^\/traces\/([0-9a-f]{32})$/.exec(location.pathname)?.[1];
    if (trace && !this.#pressed) this.#open(trace, new URLSearchParams(location.search).get('event') ?? '');
  }

  // lineIs hears of the state of the page's stream: when that is open again, so is the
  // way to the traces, and the journey, that could not be had.
  lineIs(state) {
    const opened = state === 'connected' && this.#line !== state;
    this.#line = state;
    if (!opened || !this.#shown) return;
    if (this.#failure || this.#following) this.load(!this.#failure);
    this.#journey.retry();
  }

  topicChanged() {
    if (this.#shown) this.load();
  }

  // addressChanged hears that the reader has gone to another address of the page.
  addressChanged() {
    if (this.#obey() && this.#shown) this.load();
  }

  // #obey sets order and least duration as the address has them, and says whether that
  // changes them. A duration that is none of the choices becomes one.
  #obey() {
    const query = new URLSearchParams(location.search);
    const { sort, min } = this.#form.elements;
    const before = `${sort.value} ${min.value}`;
    const least = LEAST.exec(query.get('min') ?? '')?.[0] ?? '';
    if (![...min.options].some((option) => option.value === least)) min.append(new Option(`over ${least.replace(/([\d.]+)(\D+)/g, '$1 $2 ').trim()}`, least));
    min.value = least;
    sort.value = query.get('sort') === 'slowest' ? 'slowest' : 'newest';
    return `${sort.value} ${min.value}` !== before;
  }

  // #address puts into the address what the reader has set.
  #address() {
    const query = new URLSearchParams(location.search);
    const form = new FormData(this.#form);
    for (const name of ['sort', 'min']) {
      const value = form.get(name);
      if (value && value !== 'newest') query.set(name, value);
      else query.delete(name);
    }
    history.replaceState(null, '', `${location.pathname}${query.size ? `?${query}` : ''}`);
  }

  // #look reads the list again, unless nobody sees it or somebody is at it.
  #look() {
    if (!this.#shown || document.hidden || !this.#following) return;
    if (this.#away || this.#held()) this.redress();
    else if (!this.#list.hasAttribute('aria-busy')) this.load(true);
  }

  // #away reports whether the page's stream has been lost: the server is asked again once
  // that is open.
  get #away() {
    return this.#line === 'error' || this.#line === 'connecting';
  }

  // #held reports whether the reader is in the list: what is under the pointer, or in
  // focus, or marked, or was scrolled to, stays where it is.
  #held() {
    const list = this.#list;
    const marked = getSelection();
    return list.matches(':hover') || list.contains(document.activeElement) || (list.querySelector('.traces')?.scrollTop ?? 0) > 0
      || (!marked.isCollapsed && list.contains(marked.anchorNode));
  }

  // load reads the list. quietly, what is shown stays where that fails.
  async load(quietly = false) {
    const form = new FormData(this.#form);
    const query = new URLSearchParams({ sort: form.get('sort') });
    if (form.get('min')) query.set('min', form.get('min'));
    if (!form.get('all')) query.set('topic', this.#page().topic);
    this.#asked?.abort();
    const asked = new AbortController();
    this.#asked = asked;
    if (!quietly) this.#list.setAttribute('aria-busy', 'true');
    try {
      const answer = await fetch(at(`/traces?${query}`), { headers: { Accept: 'text/html', 'HX-Request': 'true' }, signal: AbortSignal.any([asked.signal, AbortSignal.timeout(PATIENCE)]) });
      if (!/^text\/html\b/.test(answer.headers.get('Content-Type') ?? '')) throw new Error(`The server does not show its traces (${answer.status}).`);
      const text = await answer.text();
      if (asked.signal.aborted || (quietly && this.#held())) return;
      if (text !== this.#text || this.#list.dataset.traces === 'failed') await htmx.swap({ sourceElement: byID('journey-connector'), target: this.#list, swap: 'innerHTML', text });
      this.#text = text;
      this.#readAt = Date.now();
      this.#failure = '';
      this.#list.dataset.traces = this.#list.querySelector('.trace-line') ? 'loaded' : 'none';
    } catch (error) {
      if (asked.signal.aborted) return;
      this.#failure = error.message.startsWith('The server') ? error.message : 'The server cannot be reached.';
      if (!quietly) this.#list.replaceChildren(Object.assign(document.createElement('p'), { className: 'hint table-empty', textContent: this.#failure }));
      if (!quietly) this.#list.dataset.traces = 'failed';
    }
    this.#list.removeAttribute('aria-busy');
    this.redress();
    this.#mark();
  }

  // redress writes the times in the zone that the reader has chosen, and when the list
  // was read.
  redress() {
    for (const time of this.#list.querySelectorAll('.trace-time')) tellTime(time, Number(time.dataset.ms));
    for (const time of this.#list.querySelectorAll('.trace-since')) time.textContent = when(Number(time.dataset.ms));
    const shows = this.#readAt && this.#list.dataset.traces !== 'failed';
    const why = this.#failure || (this.#away && 'the stream is down') || (this.#following && this.#held() ? 'held while you are in the list' : '');
    byID('traces-asof').textContent = shows ? `as of ${when(this.#readAt)}${why ? ` · ${why}` : ''}` : '';
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
