// The journey panel: where the time of one event went. The server renders it,
// htmx loads it.

import { sampled } from './beacon.js';

const PATIENCE = 8000; // ms
const AGAIN = 1500; // ms: the browser's own span reaches the server with the next beacon

export class Journey {
  #panel = document.getElementById('journey-panel');
  #body = document.getElementById('journey');
  #close = document.getElementById('journey-close');
  #connector = document.getElementById('journey-connector');
  #empty = [...this.#body.childNodes];
  #trace = '';
  #again = 0;
  #enabled;

  // closed is called when the reader closes the panel.
  constructor({ enabled, closed }) {
    this.#enabled = enabled;
    const close = () => {
      this.clear();
      closed();
    };
    this.#close.addEventListener('click', close);
    document.addEventListener('keydown', (event) => {
      if (event.key === 'Escape' && !this.#close.hidden) close();
    });
    this.#body.addEventListener('click', (event) => {
      const button = event.target.closest('[data-copy]');
      if (button) copy(button);
    });
    this.#connector.addEventListener('htmx:before:request', (event) => {
      const { ctx } = event.detail;
      ctx.fetch = (url, init) => this.#fetch(url, init);
    });
  }

  open(item) {
    const { traceparent = '', id } = item.dataset;
    this.#trace = traceparent.slice(3, 35);
    clearTimeout(this.#again);
    this.#close.hidden = false;
    if (!this.#enabled) {
      this.#say('moved', 'The journeys of this server are served on its admin address.', id);
    } else if (!traceparent) {
      this.#say('unsampled', 'This event carries no trace: it was not sampled, so nobody kept its times.', id);
    } else if (!sampled(traceparent)) {
      this.#say('unsampled', 'This event was not sampled. So that tracing costs little, only some of many events are.', id);
    } else {
      this.#body.dataset.journey = 'loading';
      this.#body.setAttribute('aria-busy', 'true');
      this.#load(this.#trace, 2);
    }
    // On a phone the panel is below the feed, out of sight.
    const box = this.#panel.getBoundingClientRect();
    if (box.top > innerHeight - 120 || box.bottom < 0) this.#panel.scrollIntoView({ block: 'start' });
  }

  clear() {
    clearTimeout(this.#again);
    this.#trace = '';
    this.#close.hidden = true;
    this.#body.removeAttribute('aria-busy');
    this.#body.dataset.journey = 'empty';
    this.#body.replaceChildren(...this.#empty);
  }

  async #load(trace, tries) {
    await htmx.ajax('GET', `/traces/${trace}`, { source: this.#connector, target: this.#body, swap: 'innerHTML' });
    if (trace !== this.#trace || this.#body.dataset.journey === 'failed') return;
    this.#body.removeAttribute('aria-busy');
    this.#body.dataset.journey = this.#body.querySelector('[data-missing]') ? 'missing' : 'loaded';
    if (tries > 1 && !this.#body.querySelector('[data-service="weir-browser"]')) {
      this.#again = setTimeout(() => this.#load(trace, tries - 1), AGAIN);
    }
  }

  // #fetch says in words what went wrong, in place of an error page in the panel.
  async #fetch(url, init) {
    try {
      const response = await fetch(url, { ...init, signal: AbortSignal.any([init.signal, AbortSignal.timeout(PATIENCE)]) });
      if (response.ok || /^text\/html\b/.test(response.headers.get('Content-Type') ?? '')) return response;
      const gone = response.status === 404 || response.status === 410;
      this.#say('failed', gone
        ? 'The server no longer holds this trace: only the most recent ones are kept.'
        : `The server does not show this trace (${response.status}).`);
    } catch (error) {
      if (error.name === 'TimeoutError') {
        this.#say('failed', 'The server did not answer. Over HTTP/1.1 a browser opens at most six connections to one host; streams in other tabs may hold them all.');
      } else if (error.name !== 'AbortError') this.#say('failed', 'The server cannot be reached, so its part of the journey is not known.');
    }
    throw new DOMException('', 'AbortError');
  }

  #say(state, text, id) {
    this.#body.removeAttribute('aria-busy');
    this.#body.dataset.journey = state;
    const p = Object.assign(document.createElement('p'), { className: 'journey-missing', id: 'journey-missing', textContent: text });
    const ids = document.createElement('dl');
    ids.className = 'journey-ids';
    for (const [term, value] of [['Event', id], ['Trace', this.#trace]]) {
      if (!value) continue;
      const row = document.createElement('div');
      row.append(
        Object.assign(document.createElement('dt'), { textContent: term }),
        Object.assign(document.createElement('dd'), { className: 'mono', textContent: value }),
      );
      ids.append(row);
    }
    this.#body.replaceChildren(p, ids);
  }
}

async function copy(button) {
  const text = button.dataset.copy;
  let done = true;
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    done = copyBySelection(text); // the clipboard needs https or localhost
  }
  const label = (button.dataset.label ??= button.textContent);
  button.textContent = done ? 'Copied' : 'Not copied';
  setTimeout(() => { button.textContent = label; }, 1500);
}

function copyBySelection(text) {
  const area = Object.assign(document.createElement('textarea'), { value: text, className: 'sr-only' });
  document.body.append(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  return done;
}
