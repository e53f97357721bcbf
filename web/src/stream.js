// The stream as a tab holds it. The tabs of a browser that read the same stream
// share one connection: HTTP/1.1 has six for a host, whatever the number of tabs.
//
// Who has the lock of that name leads: it owns the Connection, and hands on what
// comes. The others follow. When the leader goes, the lock goes to the next one,
// which opens the stream behind the last event that it has seen.

import { paused } from './busy.js';
import { now } from './clock.js';
import { catchUp, keptFor } from './catchup.js';
import { Connection } from './connection.js';
import { locks } from './locks.js';
import { AT_REST, mirrorOf } from './mirror.js';
import { Roll } from './roll.js';
import { before, compareIDs } from './wire.js';

const KEPT = 200; // messages that a leader keeps for those who join
const ME = Math.random().toString(36).slice(2);

export class Stream {
  lastID = '';
  wanted = false;
  leads = false;
  tabs = 1; // that share the connection, as far as this one knows

  #name;
  #options;
  #on;
  #inSight; // whether what comes is on a screen
  #startsAnew; // a message with which a new reader can begin, where that is not any
  #channel = null;
  #connection = null; // of a leader
  #joined = null; // ends waiting for the lock, or gives it back
  #followers = new Roll(() => this.#post({ type: 'roll' }), (tabs) => this.#counted(tabs));
  #kept = []; // {message, run}
  #resumed = false; // the leader's stream began behind an event: what it keeps lacks those before
  #greeting = null; // the last connected event, likewise
  #greeted = ''; // the connection of the last greeting that was handed on
  #welcomed = false;
  #lacks = false; // it waits for the server to have what the leader does not keep
  #queue = null; // what the leader says while this tab catches up
  #heardAt = 0; // from the leader
  #joinedAt = 0; // when this tab came to read a stream that another had opened
  #watch = 0;
  #frozenAt = 0;
  #endCatchUp = () => {};
  #disposed = new AbortController();

  // name tells streams apart; inSight() says whether what comes is on a screen; the rest is
  // for Connection. on has change(), and
  // message(message, {startedAt, receivedAt, by, mine, past}). by is the connection by which
  // it came, and its node; mine says that this tab is to report when the message was here,
  // and past that it had come before this tab read the stream: another tab kept it, or the
  // server's log did.
  constructor({ name, startsAnew = null, inSight = () => !document.hidden, ...options }, on) {
    Object.assign(this, AT_REST);
    this.#name = `weir:${name}`;
    this.#inSight = inSight;
    this.#startsAnew = startsAnew;
    this.#options = options;
    this.maxAttempts = options.maxAttempts ?? 8;
    this.#on = on;
    // Who has given up tries again when the network is back.
    const { signal } = this.#disposed;
    addEventListener('online', () => { if (this.gaveUp) this.connect(); }, { signal });
    // Who is closed, or put away, neither reads nor holds anything. Who is shown again joins anew.
    addEventListener('pagehide', () => this.#leave(true), { signal });
    addEventListener('pageshow', ({ persisted }) => {
      if (!persisted || !this.wanted || this.#joined) return;
      this.#set({ state: 'connecting' });
      this.#join();
    }, { signal });
  }

  // joined says that another tab had opened the stream before this one came to read it.
  get joined() {
    return this.#joinedAt > 0 && this.openedAt === this.#joinedAt;
  }

  connect() {
    if (this.wanted && this.state !== 'error') return;
    this.wanted = true;
    this.#joinedAt = 0;
    if (this.#connection) return this.#connection.connect();
    this.#set({ state: 'connecting', gaveUp: false, retryAt: 0 });
    this.#join();
  }

  disconnect() {
    this.wanted = false;
    this.#leave();
    this.#set({ state: 'disconnected', error: null, retryAt: 0, downSince: 0, gaveUp: false, slow: false, frozenUntil: 0, silent: '' });
  }

  retry() {
    if (!this.wanted) return this.connect();
    if (this.#connection) this.#connection.retry();
    else this.#post({ type: 'do', name: 'retry' });
  }

  dismiss() {
    if (this.state === 'error') this.disconnect();
    else if (this.#connection) this.#connection.dismiss();
    else this.#set({ error: null });
  }

  cut(ms) {
    if (this.#connection) this.#connection.cut(ms);
    else this.#post({ type: 'do', name: 'cut', ms });
  }

  freeze(ms) {
    if (this.#connection) this.#connection.freeze(ms);
    else this.#post({ type: 'do', name: 'freeze', ms });
  }

  dispose() {
    this.#disposed.abort();
    this.wanted = false;
    this.#leave();
  }

  #set(fields) {
    if (!this.frozenUntil && fields.frozenUntil) this.#frozenAt = now();
    else if (this.frozenUntil && fields.frozenUntil === 0) paused(this.#frozenAt, now());
    Object.assign(this, fields);
    this.#on.change();
  }

  // #join takes the lead, or follows who has it.
  async #join() {
    if (!locks) return this.#lead();
    const joined = new AbortController();
    this.#joined = joined;
    this.#channel = new BroadcastChannel(this.#name);
    this.#channel.onmessage = ({ data }) => this.#hear(data);
    const hold = (lock) => {
      if (!lock || joined.signal.aborted) return null;
      this.#lead();
      return new Promise((resolve) => { joined.signal.addEventListener('abort', resolve); });
    };
    try {
      let free = false;
      await locks.request(this.#name, { ifAvailable: true }, (lock) => {
        free = lock !== null;
        return hold(lock);
      });
      if (free || joined.signal.aborted) return;
      this.#follow();
      await locks.request(this.#name, { signal: joined.signal }, hold);
    } catch (error) {
      if (joined.signal.aborted) return;
      if (error.name !== 'AbortError') return this.#lead(); // storage may be forbidden
      this.#demoted(); // another tab took the lead from this one, which slept
    }
  }

  #leave(atOnce = false) {
    clearInterval(this.#watch);
    this.#queue = null;
    this.#endCatchUp();
    this.#connection?.dispose();
    if (!this.#connection) this.#post({ type: 'bye', from: ME });
    else if (!atOnce) this.#post({ type: 'left' });
    const [joined, channel] = [this.#joined, this.#channel];
    this.#connection = this.#joined = this.#channel = null;
    this.leads = false;
    this.#followers.clear();
    this.#kept = [];
    this.tabs = 1;
    if (channel) channel.onmessage = null; // what others say no longer concerns this tab
    const end = () => {
      joined?.abort();
      channel?.close();
    };
    if (atOnce) end(); // the page may run no more
    else setTimeout(end); // what was said last goes out before the next one leads
  }

  #demoted() {
    this.#connection?.dispose();
    this.#connection = null;
    this.#leave();
    if (this.wanted) this.#join();
  }

  #post(data) {
    this.#channel?.postMessage(data);
  }

  // ---- who leads

  #lead() {
    if (!this.wanted) return;
    clearInterval(this.#watch);
    this.#queue = null;
    this.#endCatchUp(); // to lead is to go on behind the last event, too
    this.leads = true;
    this.tabs = 1; // the others say hello again
    this.#kept = [];
    const connection = new Connection(this.#options, {
      change: () => this.#changed(),
      message: (message, run) => this.#came(message, run),
    });
    this.#connection = connection;
    this.#resumed = this.lastID !== '';
    connection.lastID = this.lastID;
    connection.bytes = this.bytes;
    connection.events = this.events;
    connection.downSince = this.downSince;
    this.#post({ type: 'lead' });
    connection.connect();
  }

  #changed() {
    if (!this.#connection) return;
    const fields = mirrorOf(this.#connection);
    const over = !this.#connection.wanted;
    if (this.#followers.size) this.#post({ type: 'state', fields, over });
    if (over) {
      // There is nothing to lead any more, for anybody.
      this.wanted = false;
      this.#leave();
    }
    this.#set(fields);
  }

  #came(message, run) {
    const times = { startedAt: run.startedAt, receivedAt: run.receivedAt, by: run.by };
    if (this.#connection) {
      this.lastID = this.#connection.lastID;
      this.bytes = this.#connection.bytes;
      this.events = this.#connection.events;
    }
    if (message.event === 'connected') this.#greeting = { message, times };
    else if (message.event !== 'ping') {
      if (this.#startsAnew?.(message)) this.#kept = [];
      this.#kept.push({ message, times });
      if (this.#kept.length > KEPT) this.#kept.shift();
    }
    if (this.#followers.size) this.#post({ type: 'message', message, times, bytes: this.bytes, events: this.events, seen: this.#inSight() });
    this.#on.message(message, { ...times, mine: true });
  }

  // #welcome tells a new follower where things stand. What it lacks and the
  // leader does not keep, it has to fetch by itself.
  #welcome({ from, lastID }) {
    this.#followers.join(from);
    const { kept, missing } = this.#startsAnew ? { kept: this.#kept, missing: null } : keptFor(lastID, this.#kept, this.#resumed);
    this.#post({ type: 'welcome', to: from, fields: mirrorOf(this.#connection), greeting: this.#greeting, kept, missing, tabs: this.tabs });
  }

  #counted(tabs) {
    this.tabs = tabs;
    this.#post({ type: 'tabs', tabs });
    this.#on.change();
  }

  // ---- who follows

  #follow() {
    this.#welcomed = false;
    this.#heardAt = Date.now();
    this.#post({ type: 'hello', from: ME, lastID: this.lastID });
    clearInterval(this.#watch);
    let at = Date.now();
    // A leader says something with each heartbeat. One that the browser has
    // frozen says nothing, and keeps the lock.
    this.#watch = setInterval(() => {
      const slept = Date.now() - at > 3000;
      at = Date.now();
      if (slept) this.#heardAt = at;
      const patience = this.#welcomed ? Math.max(5000, 4 * (this.#options.heartbeat || 15_000)) : 3000;
      if (at - this.#heardAt > patience && at > this.frozenUntil) this.#takeOver();
    }, 1000);
  }

  async #takeOver() {
    clearInterval(this.#watch);
    const joined = this.#joined;
    if (!joined) return;
    const lead = () => {
      if (joined.signal.aborted) return null;
      this.#lead();
      return new Promise((resolve) => { joined.signal.addEventListener('abort', resolve); });
    };
    await locks.request(this.#name, { steal: true }, lead).catch(() => {
      if (!joined.signal.aborted) this.#demoted();
    });
  }

  #hear(data) {
    if (this.#connection) {
      switch (data.type) {
        case 'hello': return this.#welcome(data);
        case 'here': return this.#followers.answer(data.from);
        case 'bye': return this.#followers.leave(data.from);
        case 'do': return this.#connection[data.name](data.ms);
      }
      return;
    }
    this.#heardAt = Date.now();
    if (this.#queue && (data.type === 'message' || data.type === 'state')) return void this.#queue.push(data);
    switch (data.type) {
      case 'lead':
      case 'left':
        this.#welcomed = false;
        this.#queue = null;
        this.#set({ state: 'connecting', error: null });
        if (data.type === 'lead') this.#post({ type: 'hello', from: ME, lastID: this.lastID });
        break;
      case 'welcome':
        if (data.to === ME) this.#begin(data);
        break;
      case 'roll':
        return this.#post({ type: 'here', from: ME });
      case 'tabs':
        this.#set({ tabs: data.tabs });
        break;
      case 'state':
        if (!this.#welcomed) break;
        if (data.over) {
          this.wanted = false;
          this.#leave();
        }
        this.#follows(data.fields);
        // The server is back, and can be asked for what is lacking.
        if (this.#lacks && data.fields.state === 'connected') {
          this.#welcomed = this.#lacks = false;
          this.#post({ type: 'hello', from: ME, lastID: this.lastID });
        }
        break;
      case 'message':
        if (!this.#welcomed || this.#lacks) break;
        Object.assign(this, { bytes: data.bytes, events: data.events });
        this.#deliver(data.message, { ...data.times, mine: !data.seen });
        break;
    }
  }

  async #begin({ fields, greeting, kept, missing, tabs }) {
    this.tabs = tabs;
    this.#lacks = missing !== null && fields.state !== 'connected';
    this.#endCatchUp();
    const queue = [];
    this.#queue = queue;
    if (missing && !this.#lacks) await this.#catchUp(missing.until);
    if (this.#queue !== queue) return; // it has left meanwhile, or leads, or begins anew
    this.#queue = null;
    this.#welcomed = true;
    this.#joinedAt ||= Date.now();
    this.#follows(fields);
    if (this.#lacks) return;
    if (greeting) this.#deliver(greeting.message, { ...greeting.times, mine: false, past: true });
    for (const { message, times } of kept) this.#deliver(message, { ...times, mine: false, past: true });
    for (const said of queue) this.#hear(said);
  }

  // #follows takes over what the leader says of the stream. To this tab the stream is
  // open for as long as this tab reads it.
  #follows(fields) {
    this.#set({ ...fields, openedAt: Math.max(fields.openedAt, this.#joinedAt) });
  }

  // #catchUp reads what came before the first event that the leader keeps. It ends when
  // that is done, or by #endCatchUp.
  async #catchUp(until) {
    const own = catchUp(this.#options, this.lastID, until, (message, run) => this.#deliver(message, { startedAt: run.startedAt, receivedAt: run.receivedAt, by: run.by, mine: false, past: true }));
    this.#endCatchUp = own.end;
    const all = await own.done;
    // What cannot be had is not passed over in silence.
    if (!all && until && this.lastID) this.#deliver({ event: 'gap', fields: { from: this.lastID, to: before(until), reason: '' } }, { startedAt: now(), receivedAt: now(), mine: false, past: true });
  }

  // #deliver hands on what this tab has not had yet.
  #deliver(message, run) {
    if (message.event === 'connected') {
      if (message.fields.connection === this.#greeted) return;
      this.#greeted = message.fields.connection;
    }
    if (message.event === 'gap' && message.fields.reason !== 'reset' && this.lastID && compareIDs(String(message.fields.to), this.lastID) <= 0) return;
    if (message.event === 'gap') this.lastID = String(message.fields.to);
    else if (message.id) {
      if (this.lastID && compareIDs(message.id, this.lastID) <= 0 && !message.fields) return;
      if (!this.lastID || compareIDs(message.id, this.lastID) > 0) this.lastID = message.id;
    }
    this.#on.message(message, run);
  }
}
