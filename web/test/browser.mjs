// The little of a browser that the page's scripts need in node: a window and a
// document that hear events, a clock that the test moves, and a server that the
// test plays. Import it before any script of the page.
import { mock } from 'node:test';

const target = new EventTarget();
const listeners = new Map();

function listening(to) {
  return {
    // Node may collect what is to take a listener away when its signal aborts.
    addEventListener(type, listener, { signal, ...options } = {}) {
      to.addEventListener(type, listener, options);
      signal?.addEventListener('abort', () => to.removeEventListener(type, listener));
    },
    removeEventListener: (...args) => to.removeEventListener(...args),
    dispatchEvent: (event) => to.dispatchEvent(event),
  };
}

Object.assign(globalThis, listening(target));
globalThis.document = Object.assign(listening(new EventTarget()), { hidden: false, getElementById: (id) => document.elements[id] ?? null, elements: {} });
Object.defineProperty(globalThis, 'navigator', { value: { onLine: true }, writable: true, configurable: true });
globalThis.location = { host: 'weir.example', origin: 'http://weir.example' };

// Node's own would keep the process alive.
globalThis.MessageChannel = class {
  port1 = { onmessage: null, close() {} };
  port2 = { postMessage: (data) => setImmediate(() => this.port1.onmessage?.({ data })) };
};

// BroadcastChannel within this process. Messages come in order, and never to who
// sent them. One that is asleep, as in a tab that the browser has frozen, neither
// hears nor says anything.
globalThis.BroadcastChannel = class {
  static all = new Set();

  onmessage = null;
  asleep = false;
  #name;

  constructor(name) {
    this.#name = name;
    if (!listeners.has(name)) listeners.set(name, new Set());
    listeners.get(name).add(this);
    BroadcastChannel.all.add(this);
  }

  postMessage(data) {
    if (this.asleep) return;
    const copy = structuredClone(data);
    for (const other of listeners.get(this.#name)) {
      if (other !== this) setImmediate(() => { if (listeners.get(this.#name).has(other) && !other.asleep) other.onmessage?.({ data: copy }); });
    }
  }

  close() {
    listeners.get(this.#name).delete(this);
    BroadcastChannel.all.delete(this);
  }
};

// emit has the window, or the document, hear an event.
export const emit = (type, fields = {}) => target.dispatchEvent(Object.assign(new Event(type), fields));

// settled returns when everything that could happen without the clock has happened.
export async function settled() {
  for (let turn = 0; turn < 12; turn++) await new Promise((resolve) => { setImmediate(resolve); });
}

// startClock stops the time at a fixed moment. pass moves it on; sleep moves it on
// as a machine does that sleeps: no timer runs meanwhile.
export function startClock() {
  mock.timers.enable({ apis: ['setTimeout', 'setInterval', 'Date'], now: 1_800_000_000_000 });
  const mocked = Date.now;
  const later = globalThis.setTimeout;
  globalThis.setTimeout = (act, ms = 0) => later(act, ms); // node's needs to be told
  let slept = 0;
  Date.now = () => mocked() + slept;
  return {
    async pass(ms) {
      await settled();
      for (let left = ms; left > 0; left -= 100) {
        mock.timers.tick(Math.min(100, left));
        await settled();
      }
    },
    sleep: (ms) => { slept += ms; },
    stop() {
      Date.now = mocked;
      mock.timers.reset();
    },
  };
}

// Server plays the server: each request waits in requests until the test answers it.
export class Server {
  requests = [];

  constructor() {
    globalThis.fetch = (url, options = {}) => new Promise((resolve, reject) => {
      const request = {
        url, options, at: Date.now(), aborted: false,
        fail: () => reject(new TypeError('fetch failed')),
        answer: (status, headers = {}, body = '') => resolve(new Response(status === 204 ? null : body, { status, headers })),
        stream: () => {
          const stream = new OpenStream();
          options.signal?.addEventListener('abort', () => stream.break(options.signal.reason));
          resolve(new Response(stream.body, { status: 200, headers: { 'Content-Type': 'text/event-stream; charset=utf-8' } }));
          return stream;
        },
      };
      options.signal?.addEventListener('abort', () => {
        request.aborted = true;
        reject(options.signal.reason);
      });
      this.requests.push(request);
    });
  }

  get last() {
    return this.requests.at(-1);
  }
}

// OpenStream is the answer to a request for a stream, as the server writes it.
class OpenStream {
  #controller;
  body = new ReadableStream({ start: (controller) => { this.#controller = controller; } });
  over = false;

  // send writes blocks, each {event, id, data, retry}; an object in data as JSON.
  async send(...blocks) {
    const lines = ({ data, ...fields }) => [...Object.entries(fields).map(([name, value]) => `${name}: ${value}`), `data: ${typeof data === 'string' ? data : JSON.stringify(data ?? {})}`];
    this.#controller.enqueue(new TextEncoder().encode(blocks.map((block) => `${lines(block).join('\n')}\n\n`).join('')));
    await settled();
  }

  // connected greets a reader, as the server does first of all.
  connected(connection, fields = {}) {
    return this.send({ event: 'connected', data: { connection, time: Date.now(), ...fields } });
  }

  async end() {
    this.over = true;
    this.#controller.close();
    await settled();
  }

  break(reason = new TypeError('network error')) {
    if (this.over) return;
    this.over = true;
    this.#controller.error(reason);
  }
}
