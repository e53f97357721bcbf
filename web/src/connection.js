// The connection: the one owner of a stream from the server, from the first
// attempt to the last. It opens it, reads it, resumes it where it broke off,
// retries with growing waits, and gives up. Nobody else fetches a stream, keeps
// a last event ID, or plans a retry.
//
// Every ending (end of file, a close event, a refusal, silence, an abort) comes
// to #ended, and that is the one place from which a retry is planned.

import { now } from './clock.js';
import { noteMine } from './mine.js';
import { describe, retryAfter, told } from './refusal.js';
import { Silence } from './silence.js';
import { Decoder, compareIDs, isID } from './wire.js';

const STABLE = 5_000; // ms of open stream after which the attempts are forgotten, so that flapping counts
const SLOW = 5_000; // ms of connecting after which the page says why that may be
const CONNECT_TIMEOUT = 30_000;
const LONGEST_DELAY = 30_000;
const SLICE = 12; // ms of work after which the browser gets a turn to paint

export class Connection {
  state = 'disconnected'; // or connecting, connected, error
  error = null; // {message, detail, own, away, unknownReader}; stays while a retry is under way; own: the reader cut the line
  retryAt = 0; // when the next attempt starts, 0 when none is planned
  attempt = 0; // retries since the last stable stream
  openedAt = 0;
  downSince = 0; // when the stream was lost, or last heard, 0 while there is one or none is wanted
  slow = false;
  gaveUp = false;
  frozenUntil = 0;
  silent = ''; // quiet: for longer than is usual here; overdue: the heartbeat did not come
  heardAt = 0; // when the last byte came, as far as it was told with silent
  lastID = '';
  bytes = 0; // of the connection that said last who it is, as events: until another says so, they are that one's
  events = 0; // those that came before among them

  #url;
  #on;
  #wanted = false;
  #run = null; // the attempt, or the stream, that is under way
  #retryTimer = 0;
  #baseDelay;
  #heard = 0; // when the last byte came, or would have been read: from then on the server has its time
  #silence;
  #watchedAt = 0;
  #parent; // trace context that the next request continues
  #session = ''; // likewise, the reader's across connections
  #cleanup = new AbortController();

  // url(lastID) is where the stream is. on has change(), and
  // message({event, id, data, fields}, run): fields are the parsed data of a
  // control event, run.by the server's name of the connection, and its node. An event that
  // came before, by its ID, is left out.
  constructor({ url, heartbeat = 0, retry = 0, maxAttempts = 8, traceparent = '' }, on) {
    this.#url = url;
    this.#on = on;
    this.heartbeat = heartbeat;
    this.maxAttempts = maxAttempts;
    this.#silence = new Silence(heartbeat);
    this.#baseDelay = retry || 1000;
    this.#parent = traceparent;
    this.#listen();
  }

  get wanted() {
    return this.#wanted;
  }

  connect() {
    this.attempt = 0;
    this.#open();
  }

  // retry brings the next attempt forward, and counts afresh: somebody is there.
  retry() {
    if (this.state === 'connected') return;
    this.attempt = 0;
    if (this.state !== 'connecting') this.#open();
  }

  disconnect() {
    this.#drop();
    this.error = null;
    this.gaveUp = false;
    this.#set('disconnected');
  }

  // dismiss takes the message away, and the retry that it announces. It never
  // touches a stream that is open or opening.
  dismiss() {
    if (this.state === 'error') return this.disconnect();
    this.error = null;
    this.#on.change();
  }

  // cut drops the line as a network does, and comes back after some time.
  cut(ms) {
    if (this.state !== 'connected') return;
    this.#end(this.#run, 'cut', ms);
  }

  // freeze stops reading: what the server sends stays in the network's buffers,
  // then in the server's log.
  freeze(ms) {
    if (this.state !== 'connected' || this.frozenUntil) return;
    this.frozenUntil = Date.now() + ms;
    this.#run.timers.push(setTimeout(() => this.#thawed(), ms)); // also where nothing waits
    this.#on.change();
  }

  // dispose ends it for good.
  dispose() {
    this.#drop();
    this.#cleanup.abort();
  }

  #drop() {
    this.#wanted = false;
    this.downSince = 0;
    this.frozenUntil = 0;
    this.#cancelRetry();
    const run = this.#run;
    this.#run = null;
    this.#stop(run);
  }

  #stop(run) {
    if (!run) return;
    run.timers.forEach(clearTimeout);
    run.controller.abort();
  }

  #set(state) {
    this.state = state;
    if (state !== 'connecting') this.slow = false;
    if (state !== 'connected') this.frozenUntil = 0;
    this.silent = '';
    this.#on.change();
  }

  #cancelRetry() {
    clearTimeout(this.#retryTimer);
    this.retryAt = 0;
  }

  #open() {
    this.#wanted = true;
    this.gaveUp = false;
    this.#cancelRetry();
    this.#stop(this.#run);
    const run = { controller: new AbortController(), startedAt: now(), receivedAt: 0, status: 0, detail: '', retryAfter: 0, closed: false, bytes: 0, timers: [] };
    this.#run = run;
    run.timers.push(
      setTimeout(() => { this.slow = true; this.#on.change(); }, SLOW),
      setTimeout(() => this.#end(run, 'timeout'), CONNECT_TIMEOUT),
    );
    this.#set('connecting');
    this.#attempt(run);
  }

  // #attempt is one request, to its end. Wherever it has waited, it may have been
  // given up meanwhile: then run is no longer this.#run.
  async #attempt(run) {
    const headers = { Accept: 'text/event-stream, application/problem+json, application/json' };
    if (this.lastID) headers['Last-Event-ID'] = this.lastID;
    if (this.#parent) headers.traceparent = this.#parent;
    if (this.#session) headers.baggage = `session.id=${this.#session}`;
    let response;
    try {
      response = await fetch(this.#url(this.lastID), { headers, cache: 'no-store', signal: run.controller.signal });
    } catch {
      return this.#end(run, 'unreachable');
    }
    if (run !== this.#run) return;
    run.status = response.status;
    run.receivedAt = now();
    if (response.status !== 200 || !/^text\/event-stream\b/i.test(response.headers.get('Content-Type') ?? '')) {
      run.retryAfter = retryAfter(response.headers.get('Retry-After'));
      run.detail = await told(response);
      return this.#end(run, 'refused');
    }
    this.#opened(run);
    try {
      await this.#read(run, response.body.getReader());
    } catch {
      return this.#end(run, 'lost');
    }
    this.#end(run, 'ended');
  }

  #opened(run) {
    run.timers.forEach(clearTimeout);
    run.timers = [setTimeout(() => { this.attempt = 0; }, STABLE)];
    this.openedAt = this.#heard = Date.now();
    this.#silence.begin(this.openedAt);
    this.downSince = 0;
    this.error = null;
    this.#set('connected');
  }

  // #read hands the messages on, and lets the browser paint between them:
  // without that a burst would be one long task.
  async #read(run, reader) {
    const decoder = new Decoder();
    let turnAt = 0;
    for (;;) {
      const { done, value } = await reader.read();
      await this.#thaw(run);
      if (done || run !== this.#run) return;
      run.receivedAt = now();
      this.#heard = Date.now();
      this.#silence.heard(this.#heard);
      this.#isSilent('');
      run.bytes += value.length;
      if (run.by) this.bytes = run.bytes;
      turnAt = performance.now();
      const messages = decoder.push(value);
      if (decoder.retry) this.#baseDelay = Math.min(LONGEST_DELAY, Math.max(50, decoder.retry));
      for (const message of messages) {
        this.#take(message, run);
        if (run !== this.#run) return;
        if (performance.now() - turnAt > SLICE) {
          await nextTask();
          if (run !== this.#run) return;
          turnAt = performance.now();
        }
      }
      if (run.closed) return;
    }
  }

  // #thaw waits while the page is frozen.
  async #thaw(run) {
    while (run === this.#run && this.frozenUntil > Date.now()) {
      await new Promise((resolve) => { setTimeout(resolve, this.frozenUntil - Date.now()); });
    }
    if (run === this.#run) this.#thawed();
  }

  #thawed() {
    if (!this.frozenUntil) return;
    this.frozenUntil = 0;
    // What the server sent meanwhile is only read now.
    this.#heard = Math.max(this.#heard, Date.now() - this.#patience() / 2);
    this.#on.change();
  }

  #take(message, run) {
    switch (message.event) {
      case 'connected':
      case 'gap':
      case 'stream-error':
      case 'ping':
      case 'close':
        message.fields = parse(message.data);
        this.#control(message, run);
        break;
      default:
        if (message.hasData) this.events++;
        if (message.id && this.lastID && compareIDs(message.id, this.lastID) <= 0) return; // it came before
    }
    // The position of a control event never goes back, but for a reset.
    if (message.id && (!message.fields || !this.lastID || compareIDs(message.id, this.lastID) > 0)) this.lastID = message.id;
    if (message.fields || message.hasData) this.#on.message(message, run); // else it was a position alone
  }

  #control({ event, fields }, run) {
    switch (event) {
      case 'connected':
        noteMine(String(fields.connection ?? ''));
        run.by = { connection: String(fields.connection ?? ''), node: String(fields.node ?? '') };
        this.bytes = run.bytes;
        this.events = 0;
        // A reconnect is to link to the stream that it continues.
        if (typeof fields.traceparent === 'string' && fields.traceparent) this.#parent = fields.traceparent;
        if (/^[\w.-]{1,64}$/.test(fields.session)) this.#session = fields.session;
        // Cut off before its first event, the page asks for what came since it connected.
        if (!this.lastID && isID(fields.position)) this.lastID = fields.position;
        break;
      case 'gap':
        // What is lost stays lost: to ask for it again would tell of it again.
        if (fields.reason === 'reset') this.lastID = '';
        if (/^\d+(-\d+)?$/.test(fields.to)) this.lastID = fields.to;
        break;
      case 'close':
        run.closed = true;
        break;
    }
  }

  // #end ends an attempt or a stream; what has been given up before ends in silence.
  #end(run, failure, pause = 0) {
    if (!run || run !== this.#run) return;
    this.#run = null;
    this.#stop(run);
    if (run.closed || run.status === 204) {
      this.#drop();
      this.error = null;
      this.#set('disconnected');
      if (run.status === 204) this.#on.message({ event: 'nothing', fields: {} }, run);
      return;
    }
    const { message, detail = '', own = false, final = false, away = false } = describe({ failure, status: run.status, detail: run.detail }, { silence: Date.now() - this.#silence.since, timeout: CONNECT_TIMEOUT });
    this.error = { message, detail, own, away, unknownReader: run.status === 401 };
    this.downSince ||= failure === 'silent' ? this.#silence.since : Date.now(); // one outage, one age
    // Offline an attempt says nothing about the server, so it is not the last. Nor does a
    // cut that the reader made.
    this.gaveUp = !final && !own && navigator.onLine !== false && this.attempt >= this.maxAttempts;
    if (final || this.gaveUp) {
      this.#wanted = false;
      this.#set('error');
      return;
    }
    if (!own) this.attempt = Math.min(this.attempt + 1, this.maxAttempts);
    const delay = pause || Math.max(this.#backoff(), run.retryAfter * (1 + Math.random() / 10));
    this.retryAt = Date.now() + delay;
    this.#retryTimer = setTimeout(() => this.#open(), delay);
    this.#set('error');
  }

  // The jitter keeps a thousand pages from coming back in the same millisecond.
  #backoff() {
    const delay = Math.min(LONGEST_DELAY, this.#baseDelay * 2 ** (this.attempt - 1));
    return delay / 2 + (Math.random() * delay) / 2;
  }

  #listen() {
    const { signal } = this.#cleanup;
    addEventListener('online', () => this.#online(), { signal });
    addEventListener('offline', () => this.#on.change(), { signal }); // a hint: the server may be on this side of the cut
    addEventListener('pageshow', (event) => {
      if (event.persisted && this.#wanted) this.#open();
    }, { signal });
    document.addEventListener('visibilitychange', () => this.#watch(), { signal });
    const timer = setInterval(() => this.#watch(), Math.min(1000, Math.max(100, this.heartbeat / 4)));
    signal.addEventListener('abort', () => clearInterval(timer));
  }

  // #online hears that the network is back. A stream that is open may have lived
  // through it: it gets one heartbeat to show that.
  #online() {
    if (this.state === 'connected') {
      const patience = this.#patience();
      this.#heard = Math.min(this.#heard, Date.now() - patience + 1.25 * this.heartbeat + 500);
    } else if (this.#wanted) {
      this.attempt = 0;
      this.#open();
    }
    this.#on.change();
  }

  #patience() {
    return Math.max(1000, 2.5 * this.heartbeat);
  }

  // #watch finds half-open connections: the server sends at least a ping each
  // heartbeat, so silence for much longer means that nobody is there.
  #watch() {
    const at = Date.now();
    const asleep = at - this.#watchedAt > 3000;
    this.#watchedAt = at;
    if (this.state !== 'connected' || !this.heartbeat || this.frozenUntil) return;
    // After a sleep the bytes that waited have not been read yet.
    if (asleep) this.#heard = Math.max(this.#heard, at - this.#patience() / 2);
    else this.#isSilent(this.#silence.judge(at));
    if (at - this.#heard > this.#patience()) this.#end(this.#run, 'silent');
  }

  #isSilent(silent) {
    if (silent === this.silent) return;
    this.silent = silent;
    this.heardAt = this.#silence.since;
    this.#on.change();
  }
}

function parse(data) {
  try {
    const value = JSON.parse(data);
    return value !== null && typeof value === 'object' ? value : { value };
  } catch {
    return { value: data };
  }
}

// nextTask is setTimeout(0) without the four milliseconds that browsers add.
const channel = new MessageChannel();
const turns = [];
channel.port1.onmessage = () => turns.shift()();
const nextTask = () => new Promise((resolve) => {
  turns.push(resolve);
  channel.port2.postMessage(0);
});
