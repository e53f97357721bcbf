// Tabs that share a stream, in one process: each has a copy of the script of its
// own. They agree as tabs without Web Locks do, over channels. Who imports this has the
// clock, the server and the tabs anew for each test.
import { afterEach, beforeEach } from 'node:test';

import { Server, settled, startClock } from './browser.mjs';

const scripts = await Promise.all([1, 2, 3].map((n) => import(`../src/stream.js?tab=${n}`)));

export let clock, server, tabs;

// Tab is one tab, with what its page was handed.
export class Tab {
  messages = [];
  runs = [];
  #listeners = [];

  constructor(options = {}) {
    const { Stream } = scripts[tabs.length];
    const listen = globalThis.addEventListener;
    globalThis.addEventListener = (type, listener, options) => {
      this.#listeners.push([type, listener]);
      listen(type, listener, options);
    };
    this.stream = new Stream({ name: 'of t', url: () => '/sse-stream', retry: 1000, ...options }, {
      change() {},
      message: (message, run) => {
        this.messages.push(message);
        this.runs.push(run);
      },
    });
    globalThis.addEventListener = listen;
    tabs.push(this);
  }

  // emit has the window of this tab alone hear an event.
  emit(type, fields = {}) {
    for (const [heard, listener] of this.#listeners) if (heard === type) listener(Object.assign(new Event(type), fields));
  }

  get ids() {
    return this.messages.filter(({ fields }) => !fields).map(({ id }) => id);
  }

  // connect returns when it was decided who leads.
  async connect() {
    const before = new Set(BroadcastChannel.all);
    this.stream.connect();
    await clock.pass(600);
    this.channels = [...BroadcastChannel.all].filter((channel) => !before.has(channel));
  }

  // sleep is what a browser does to a tab that nobody looks at.
  sleep(asleep) {
    for (const channel of this.channels) channel.asleep = asleep;
  }
}

// led connects a tab that leads, and returns it with the server's end of its stream.
export async function led(options) {
  const tab = new Tab(options);
  await tab.connect();
  return [tab, await served()];
}

export async function served() {
  const stream = server.last.stream();
  await settled();
  await stream.connected(`c-${server.requests.length}`, { position: '1-0' });
  return stream;
}

export async function followed(options) {
  const tab = new Tab(options);
  await tab.connect();
  return tab;
}

export const events = (from, to) => Array.from({ length: to - from }, (_, n) => ({ id: `100-${from + n}`, data: String(from + n) }));
export const idsOf = (from, to) => events(from, to).map(({ id }) => id);
export const leaders = () => tabs.filter(({ stream }) => stream.leads);

beforeEach(() => {
  clock = startClock();
  server = new Server();
  tabs = [];
});

afterEach(async () => {
  for (const { stream } of tabs) stream.dispose();
  await clock.pass(100);
  clock.stop();
  document.hidden = false;
});
