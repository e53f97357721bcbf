// The stream's connection: one owner for connecting, retrying and giving up.
//
// htmx fetches, parses and swaps; this file only decides when. Everything that
// can happen to a stream (end of file, a close event, a refusal, a bad status,
// an abort) ends in exactly one htmx:finally:request, and that is the one place
// from which a retry is scheduled. EventSource's own retries, or the extension's,
// beside these would be a second owner, and two backoffs fight.

import { now } from './clock.js';

const STABLE = 5_000; // ms of open stream after which the attempts are forgotten, so that flapping counts
const SLOW = 5_000; // ms of connecting after which the page says why that may be
const CONNECT_TIMEOUT = 30_000;
const LONGEST_DELAY = 30_000;
const SLICE = 12; // ms of work after which the browser gets a turn to paint
const PIECE = 16 * 1024; // bytes handed to htmx in one go

export class Connection {
  state = 'disconnected'; // or connecting, connected, error
  error = null; // {message, detail}; stays while a retry is under way
  retryAt = 0; // when the next attempt starts, 0 when none is planned
  attempt = 0; // retries since the last stable stream
  openedAt = 0;
  slow = false;
  gaveUp = false;
  lastId = '';
  bytes = 0; // of this connection
  duplicates = 0;

  #element;
  #on;
  #wanted = false;
  #reopen = false;
  #run = null; // the request that htmx has under way
  #timer = 0; // of the next attempt
  #parent = ''; // trace context that the next request continues
  #baseDelay;

  // on: {change(), opened(run), message(name, data, run)} for what is not an event;
  // take(html, run) is offered each event and answers whether the page inserts it
  // itself, else swap(fragment, run) gets it before htmx does.
  constructor(element, { topic, heartbeat, retry, traceparent, maxAttempts = 8 }, on) {
    this.#element = element;
    this.#on = on;
    this.topic = topic;
    this.heartbeat = heartbeat;
    this.maxAttempts = maxAttempts;
    this.#baseDelay = retry || 1000;
    this.#parent = traceparent || '';
    this.#listen();
  }

  get wanted() {
    return this.#wanted;
  }

  connect() {
    this.attempt = 0;
    this.#open();
  }

  disconnect() {
    this.#wanted = this.#reopen = this.gaveUp = false;
    this.error = null;
    this.#cancelRetry();
    this.#abort();
    this.#set('disconnected');
  }

  // retry brings the next attempt forward, and counts afresh: somebody is there.
  retry() {
    this.attempt = 0;
    this.#open();
  }

  // dismiss takes the message away, and the retry that it announces. It never
  // touches a stream that is open or opening.
  dismiss() {
    this.error = null;
    if (this.state === 'error') {
      this.#wanted = this.gaveUp = false;
      this.#cancelRetry();
      this.#set('disconnected');
    } else {
      this.#on.change();
    }
  }

  // switchTo goes on with another topic: IDs of one mean nothing in the other.
  switchTo(topic) {
    this.topic = topic;
    this.lastId = '';
    this.attempt = 0;
    this.error = null;
    if (this.#wanted) this.#bounce();
    else this.#set('disconnected');
  }

  // #bounce replaces the stream. It resumes behind the last event, so nothing is lost.
  #bounce() {
    if (!this.#run) return this.#open();
    this.#reopen = true;
    this.#abort();
    this.#set('connecting');
  }

  #open() {
    this.#wanted = true;
    this.gaveUp = false;
    this.#cancelRetry();
    // hx-sync="drop" would drop the new request while an aborted one winds up.
    if (this.#run) this.#reopen = this.#run.aborted || this.#run.failure !== null;
    if (this.#run && !this.#reopen) return;
    this.#set('connecting');
    if (this.#reopen) return;
    htmx.trigger(this.#element, 'weir:open');
  }

  #abort() {
    if (!this.#run) return;
    this.#run.aborted = true;
    htmx.trigger(this.#element, 'htmx:abort');
  }

  // #fail aborts a stream that is to be retried like one that broke.
  #fail(failure) {
    this.#run.failure = failure;
    htmx.trigger(this.#element, 'htmx:abort');
  }

  #set(state) {
    this.state = state;
    if (state !== 'connecting') this.slow = false;
    this.#on.change();
  }

  #cancelRetry() {
    clearTimeout(this.#timer);
    this.retryAt = 0;
  }

  #listen() {
    const on = (name, handle) => this.#element.addEventListener(name, handle);

    on('htmx:before:request', (event) => {
      const { ctx } = event.detail;
      const run = { startedAt: now(), receivedAt: 0, status: 0, failure: null, detail: '', retryAfter: 0, aborted: false, closed: false, timers: [] };
      this.#run = run;
      ctx.request.action = '/sse-stream?topic=' + encodeURIComponent(this.topic);
      ctx.request.headers.Accept = 'text/event-stream, application/problem+json, application/json';
      if (this.lastId) ctx.request.headers['Last-Event-ID'] = this.lastId;
      if (this.#parent) ctx.request.headers.traceparent = this.#parent;
      ctx.fetch = (url, init) => this.#fetch(run, url, init);
      run.timers.push(
        setTimeout(() => { this.slow = true; this.#on.change(); }, SLOW),
        setTimeout(() => this.#fail('timeout'), CONNECT_TIMEOUT),
      );
    });

    on('htmx:sse:after:connection', () => {
      const run = this.#run;
      run.timers.forEach(clearTimeout);
      run.timers = [setTimeout(() => { this.attempt = 0; }, STABLE)];
      if (run.aborted) return;
      this.openedAt = this.#heard = Date.now();
      this.bytes = 0;
      this.error = null;
      this.#set('connected');
      this.#on.opened(run);
    });

    on('htmx:sse:before:message', (event) => {
      const { message } = event.detail;
      // What was read before an abort still comes through the parser.
      if (this.#run.aborted) event.preventDefault();
      else if (message.event) return;
      else if (message.id && this.lastId && compareIds(message.id, this.lastId) <= 0) {
        this.duplicates++;
        event.preventDefault();
      } else if (this.#on.take(message.data, this.#run)) {
        event.preventDefault();
        this.lastId = message.id || this.lastId;
      }
    });

    on('htmx:before:swap', (event) => {
      const [task] = event.detail.tasks;
      if (!task || this.#run.aborted) event.preventDefault();
      else this.#on.swap(task.fragment, this.#run);
    });

    on('htmx:sse:after:message', (event) => {
      const { message, connection } = event.detail;
      if (this.#run.aborted) return;
      // The extension keeps the server's retry: here. It is 0 (see hx-config) until there was one.
      const retry = connection.config.reconnectDelay;
      if (retry > 0) this.#baseDelay = clamp(retry, 50, LONGEST_DELAY);
      if (!message.event) this.lastId = message.id || this.lastId;
      else this.#named(message);
    });

    on('htmx:finally:request', () => this.#finished());

    addEventListener('online', () => {
      this.#on.change();
      if (this.#wanted || this.gaveUp) {
        this.attempt = 0;
        this.#bounce();
      }
    });
    addEventListener('offline', () => this.#on.change()); // a hint: the server may be on this side of the cut
    addEventListener('pageshow', (event) => {
      if (event.persisted && this.#wanted) this.#bounce();
    });
    document.addEventListener('visibilitychange', () => this.#watch());
    setInterval(() => this.#watch(), clamp(this.heartbeat / 4, 100, 1000));
  }

  #named({ event, data }) {
    const parsed = parse(data);
    switch (event) {
      case 'connected':
        // A reconnect is to link to the stream that it continues.
        if (typeof parsed.traceparent === 'string' && parsed.traceparent) this.#parent = parsed.traceparent;
        // Cut off before its first event, the page asks for what came since it connected.
        if (!this.lastId && /^\d+-\d+$/.test(parsed.position)) this.lastId = parsed.position;
        break;
      case 'gap':
        // What is lost stays lost: to ask for it again would tell of it again.
        if (parsed.reason === 'reset') this.lastId = '';
        if (/^\d+(-\d+)?$/.test(parsed.to)) this.lastId = parsed.to;
        break;
      case 'close':
        this.#run.closed = true;
        break;
    }
    this.#on.message(event, parsed, this.#run);
  }

  #finished() {
    const run = this.#run;
    this.#run = null;
    run.timers.forEach(clearTimeout);
    // htmx frees its queue after this event, so the next request waits a turn.
    if (this.#reopen) {
      this.#reopen = false;
      setTimeout(() => { if (this.#wanted && !this.#run) this.#open(); });
      return;
    }
    if (!this.#wanted) return;
    if (run.closed || run.status === 204) {
      this.#wanted = false;
      this.error = null;
      this.#set('disconnected');
      if (run.status === 204) this.#on.message('nothing', {}, run);
      return;
    }
    const { message, detail = '', final = false } = describe(run, Date.now() - this.#heard);
    this.error = { message, detail: run.detail || detail };
    // Offline an attempt says nothing about the server, so it is not the last.
    const online = navigator.onLine !== false;
    this.gaveUp = !final && online && this.attempt >= this.maxAttempts;
    if (final || this.gaveUp) {
      this.#wanted = false;
      this.#set('error');
      return;
    }
    this.attempt = Math.min(this.attempt + 1, this.maxAttempts);
    const delay = Math.max(this.#backoff(), run.retryAfter * (1 + Math.random() / 10));
    this.retryAt = Date.now() + delay;
    this.#timer = setTimeout(() => this.#open(), delay);
    this.#set('error');
  }

  // The jitter keeps a thousand pages from coming back in the same millisecond.
  #backoff() {
    const delay = Math.min(LONGEST_DELAY, this.#baseDelay * 2 ** (this.attempt - 1));
    return delay / 2 + (Math.random() * delay) / 2;
  }

  #heard = 0; // when the last byte came
  #watchedAt = 0;

  // #watch finds half-open connections: the server sends at least a ping each
  // heartbeat, so silence for much longer means that nobody is there.
  #watch() {
    const at = Date.now();
    const asleep = at - this.#watchedAt > 3000;
    this.#watchedAt = at;
    if (this.state !== 'connected' || !this.heartbeat || !this.#run || this.#run.aborted) return;
    const patience = Math.max(1000, 2.5 * this.heartbeat);
    // After a sleep the bytes that waited have not been read yet.
    if (asleep) this.#heard = Math.max(this.#heard, at - patience / 2);
    if (at - this.#heard > patience && !this.#run.failure) this.#fail('silent');
  }

  // #fetch stands between fetch and htmx. It keeps what htmx drops (the status,
  // Retry-After and the text of a refusal), turns every failure into an abort,
  // which htmx does not log as an error of the page, and counts bytes, which
  // the watchdog needs: a chunk without a whole event is a sign of life too.
  async #fetch(run, url, init) {
    let response;
    try {
      response = await fetch(url, { ...init, cache: 'no-store' });
    } catch {
      run.failure ??= 'unreachable';
      throw quietly();
    }
    run.status = response.status;
    run.receivedAt = now();
    if (response.status !== 200 || !/^text\/event-stream\b/i.test(response.headers.get('Content-Type') ?? '')) {
      run.failure ??= 'refused';
      run.retryAfter = retryAfter(response.headers.get('Retry-After'));
      run.detail = await refusal(response);
      throw quietly();
    }
    return new Response(this.#tap(run, response.body.getReader()), { headers: response.headers });
  }

  // #tap passes the stream on in pieces, and lets the browser paint between
  // them. Without that a burst is one long task: htmx reads what is there in
  // microtasks, and those come before any frame.
  #tap(run, reader) {
    let rest = null;
    let turnAt = performance.now();
    const pull = async (controller) => {
      if (!rest) {
        try {
          const { done, value } = await reader.read();
          if (done) return controller.close();
          rest = value;
        } catch {
          run.failure ??= 'lost';
          return controller.close();
        }
        run.receivedAt = now();
        this.#heard = Date.now();
        this.bytes += rest.length;
      }
      if (performance.now() - turnAt > SLICE) {
        await nextTask();
        turnAt = performance.now();
      }
      controller.enqueue(rest.subarray(0, PIECE));
      rest = rest.length > PIECE ? rest.subarray(PIECE) : null;
    };
    return new ReadableStream({ pull, cancel: () => reader.cancel() }, { highWaterMark: 0 });
  }
}

function describe({ failure, status }, silence) {
  switch (failure) {
    case 'unreachable':
      return { message: 'The server cannot be reached.', detail: 'It may be down, or this device is off the network.' };
    case 'timeout':
      return { message: `The server did not answer within ${CONNECT_TIMEOUT / 1000} seconds.` };
    case 'silent':
      return { message: `Nothing was heard from the server for ${Math.round(silence / 100) / 10} seconds.`, detail: 'The connection is dead, or the server hangs.' };
    case 'refused':
      return refused(status);
    case 'lost':
      return { message: 'The connection was lost.', detail: 'The stream goes on behind the last event as soon as the server is back.' };
    default:
      return { message: 'The server ended the stream.', detail: 'It may be restarting. The stream goes on behind the last event.' };
  }
}

function refused(status) {
  const final = status >= 400 && status < 500 && status !== 408 && status !== 429;
  const known = {
    401: 'The server asks for credentials (401).',
    403: 'The server refuses this page (403).',
    404: 'The server has no such topic (404).',
    429: 'The server has too many connections from here (429).',
    503: 'The server takes no connection right now (503).',
  };
  if (known[status]) return { message: known[status], final };
  if (status < 400) return { message: `The answer is not an event stream (${status}).`, detail: 'Something between this page and the server may be answering in its place.' };
  return { message: status < 500 ? `The server refused the stream (${status}).` : `The server failed (${status}).`, final };
}

// refusal is what the server says about it: the detail of a problem, or plain text.
async function refusal(response) {
  const type = response.headers.get('Content-Type') ?? '';
  try {
    const text = (await response.text()).slice(0, 4096);
    if (type.includes('json')) {
      const problem = JSON.parse(text);
      return String(problem.detail || problem.title || '').slice(0, 500);
    }
    return type.startsWith('text/plain') ? text.trim().slice(0, 500) : '';
  } catch {
    return '';
  }
}

// retryAfter is in milliseconds; the header has seconds or a date.
function retryAfter(value) {
  if (!value) return 0;
  const ms = /^\s*\d+\s*$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return clamp(ms || 0, 0, 3_600_000);
}

// compareIds orders two IDs of the form milliseconds-sequence.
function compareIds(a, b) {
  const [am, as = 0] = a.split('-').map(Number);
  const [bm, bs = 0] = b.split('-').map(Number);
  return am - bm || as - bs;
}

function parse(data) {
  try {
    const value = JSON.parse(data);
    return value !== null && typeof value === 'object' ? value : { value };
  } catch {
    return { value: data };
  }
}

const clamp = (value, low, high) => Math.min(high, Math.max(low, value));

const quietly = () => new DOMException('', 'AbortError');

// nextTask is setTimeout(0) without the four milliseconds that browsers add.
const channel = new MessageChannel();
const turns = [];
channel.port1.onmessage = () => turns.shift()();
const nextTask = () => new Promise((resolve) => {
  turns.push(resolve);
  channel.port2.postMessage(0);
});
