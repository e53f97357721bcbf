// One of a browser's tabs leads. Web Locks say which, but a page has them over
// https and on localhost alone; elsewhere the tabs agree over a BroadcastChannel.

import { now } from './clock.js';

// locks has of navigator.locks what stream.js needs: request(name, {ifAvailable |
// steal | signal}, use). It is null where tabs cannot hear each other.
export const locks = navigator.locks ?? (typeof BroadcastChannel === 'undefined' ? null : { request: (name, options, use) => new LockRequest(name, options, use).done });

const ANSWER = 400; // ms in which a holder answers
const RETRY = 2000; // ms between two looks whether the holder is still there

class LockRequest {
  done;

  #id = `${now().toFixed(3)} ${Math.random().toString(36).slice(2)}`; // who asked first has the first name
  #channel;
  #state = 'asking'; // or waiting, holding, over
  #options;
  #use;
  #timer = 0;
  #settle;
  #away = () => this.#state === 'holding' && this.#lose();

  constructor(name, options, use) {
    this.#options = options;
    this.#use = use;
    this.#channel = new BroadcastChannel(`${name}:lock`);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    this.done = new Promise((resolve, reject) => { this.#settle = { resolve, reject }; });
    options.signal?.addEventListener('abort', () => this.#state !== 'holding' && this.#over(() => this.#settle.reject(options.signal.reason)));
    // A page that is put away, or closed, holds nothing.
    addEventListener('pagehide', this.#away);
    if (options.signal?.aborted) this.#over(() => this.#settle.reject(options.signal.reason));
    else if (options.steal) this.#hold('steal');
    else this.#ask();
  }

  #ask() {
    this.#state = 'asking';
    this.#channel.postMessage({ type: 'ask', from: this.#id });
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#state === 'asking' && this.#hold('held'), ANSWER + Math.random() * 50);
  }

  #hear({ type, from }) {
    if (this.#state === 'over' || from === this.#id) return;
    const first = this.#id < from;
    switch (type) {
      case 'ask': // of two who ask, the first by name has it
        if (this.#state === 'holding' || (this.#state === 'asking' && first)) this.#channel.postMessage({ type: 'held', from: this.#id });
        break;
      case 'held':
        if (this.#state === 'asking') this.#taken();
        else if (this.#state === 'holding') {
          // Two hold it: one of them had been put to sleep.
          if (first) this.#channel.postMessage({ type: 'held', from: this.#id });
          else this.#lose();
        }
        break;
      case 'steal':
        if (this.#state === 'holding') this.#lose();
        else if (this.#state === 'asking') this.#taken();
        break;
      case 'free':
        if (this.#state === 'waiting') this.#ask();
        break;
    }
  }

  // #taken: somebody else has it.
  #taken() {
    clearTimeout(this.#timer);
    if (this.#options.ifAvailable) return this.#over(() => this.#settle.resolve(this.#use(null)));
    this.#state = 'waiting';
    this.#timer = setTimeout(() => this.#ask(), RETRY + Math.random() * 500); // it may have gone without a word
  }

  async #hold(word) {
    clearTimeout(this.#timer);
    this.#state = 'holding';
    this.#channel.postMessage({ type: word, from: this.#id });
    try {
      const value = await this.#use({});
      this.#over(() => this.#settle.resolve(value));
    } catch (error) {
      this.#over(() => this.#settle.reject(error));
    }
  }

  #lose() {
    this.#over(() => this.#settle.reject(new DOMException('another tab has taken the lock', 'AbortError')));
  }

  #over(settle) {
    if (this.#state === 'over') return;
    if (this.#state === 'holding') this.#channel.postMessage({ type: 'free', from: this.#id });
    this.#state = 'over';
    clearTimeout(this.#timer);
    removeEventListener('pagehide', this.#away);
    setTimeout(() => this.#channel.close());
    settle();
  }
}
