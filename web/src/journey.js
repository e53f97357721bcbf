// The journey of one event: where its time went. The server renders it, htmx
// loads it. The panel of the feed has one, the view of the traces another.

import { copy } from './copy.js';
import { allMine } from './mine.js';
import { at } from './node.js';

const PATIENCE = 8000; // ms
const TRIES = 8;
const AGAIN = 800; // ms: the browser's own span reaches the server with the next beacon

export class Journey {
  #body;
  #connector = document.getElementById('journey-connector');
  #empty;
  #asked = ''; // the address that is shown or under way
  #again = 0;

  constructor(body) {
    this.#body = body;
    this.#empty = [...body.childNodes];
    body.addEventListener('click', (event) => {
      const button = event.target.closest('[data-copy]');
      if (button) copy(button, button.dataset.copy);
    });
  }

  // load shows the journey of an event, for one reader if the connection is given, as
  // a node knows it: the page's own, unless another is named.
  load(trace, event = '', connection = '', node = undefined) {
    clearTimeout(this.#again);
    const query = new URLSearchParams();
    if (event) query.set('event', event);
    if (connection) query.set('connection', connection);
    for (const former of allMine()) if (former !== connection) query.append('mine', former);
    this.#asked = at(`/traces/${trace}?${query}`, node);
    this.#state('loading');
    this.#body.setAttribute('aria-busy', 'true');
    this.#load(this.#asked, TRIES);
  }

  // retry asks again for a journey that could not be had.
  retry() {
    if (!this.#asked || this.#body.dataset.journey !== 'failed') return;
    this.#state('loading');
    this.#load(this.#asked, TRIES);
  }

  clear() {
    this.#stop();
    this.#state('empty');
    this.#body.replaceChildren(...this.#empty);
  }

  // say shows a sentence in place of a journey.
  say(state, text, trace = '') {
    this.#stop();
    this.#tell(state, text, trace);
  }

  #stop() {
    clearTimeout(this.#again);
    this.#asked = '';
    this.#body.removeAttribute('aria-busy');
  }

  #state(state) {
    this.#body.dataset.journey = state;
  }

  async #load(address, tries) {
    let answer;
    try {
      answer = await fetch(address, { headers: { Accept: 'text/html', 'HX-Request': 'true' }, signal: AbortSignal.timeout(PATIENCE) });
    } catch (error) {
      if (address !== this.#asked) return;
      return this.#tell('failed', error.name === 'TimeoutError'
        ? 'The server did not answer. Over HTTP/1.1 a browser opens at most six connections to one host; streams in other tabs may hold them all.'
        : 'The server cannot be reached, so its part of the journey is not known.');
    }
    if (address !== this.#asked) return;
    if (!/^text\/html\b/.test(answer.headers.get('Content-Type') ?? '')) {
      return this.#tell('failed', answer.status === 404
        ? 'The server no longer holds this trace: only the most recent ones are kept, and none across a restart.'
        : `The server does not show this trace (${answer.status}).`);
    }
    const text = await answer.text();
    if (address !== this.#asked) return;
    // What a reader has opened stays open when the journey is renewed.
    const open = this.#body.querySelector('details[open]')?.dataset.span;
    await htmx.swap({ sourceElement: this.#connector, target: this.#body, swap: 'innerHTML', text });
    if (address !== this.#asked) return;
    if (open) this.#body.querySelector(`details[data-span="${CSS.escape(open)}"]`)?.setAttribute('open', '');
    this.#body.removeAttribute('aria-busy');
    const missing = Boolean(this.#body.querySelector('[data-missing]'));
    this.#state(missing ? 'missing' : 'loaded');
    if (this.#body.querySelector('[data-service="weir-browser"]')) return;
    // The page's own report, or that of a page that the server waits for, may follow.
    const awaited = address.includes('connection=') || this.#body.querySelector('[data-awaited]');
    if (awaited && tries > 1) this.#again = setTimeout(() => this.#load(address, tries - 1), AGAIN);
  }

  #tell(state, text, trace = '') {
    this.#body.removeAttribute('aria-busy');
    this.#state(state);
    const p = Object.assign(document.createElement('p'), { className: 'journey-missing', textContent: text });
    this.#body.replaceChildren(p);
    if (!trace) return;
    const ids = Object.assign(document.createElement('dl'), { className: 'journey-ids' });
    const row = document.createElement('div');
    row.append(
      Object.assign(document.createElement('dt'), { textContent: 'Trace' }),
      Object.assign(document.createElement('dd'), { className: 'mono', textContent: trace }),
    );
    ids.append(row);
    this.#body.append(ids);
  }
}
