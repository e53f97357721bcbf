// What the page is made of, and how an event goes through it: from the stream to
// the figures, the feed, the charts and the report to the server. Nothing here
// knows of Alpine: app.js shows it.

import * as beacon from './beacon.js';
import { Charts } from './charts.js';
import { dateAndTime, lasting, now, offset, resync, synchronise, timeOfDay, timeOfDayMillis } from './clock.js';
import { EventPanel } from './event.js';
import { Feed } from './feed.js';
import * as health from './health.js';
import { recall, remember } from './memory.js';
import { setNode } from './node.js';
import { Stats } from './stats.js';
import { Stream } from './stream.js';
import { compareIDs, isID } from './wire.js';

const HISTORY = 50; // events of the past on Connect

export class Page {
  topic;
  stream;
  stats = new Stats();
  resumes = 0;
  gaps = 0;
  connection = ''; // its ID
  node = '';
  trace = '';
  lag;

  #on;
  #config;
  #live = ''; // what comes up to this ID is replayed
  #history = 0; // events that were replayed to a page that knew nothing
  #followed = true; // before an event was pressed

  // config: {topic, heartbeat, retry, traceparent, maxAttempts, hasDetails}.
  // on: {change(), notice(kind, text), message(message, replayed), denied(why)}.
  constructor(config, on) {
    this.#config = config;
    this.#on = on;
    this.charts = new Charts(document.getElementById('charts'));
    this.feed = new Feed(document.getElementById('sse-feed'), {
      change: () => on.change(),
      arrived: (item) => this.charts.add(item),
      gap: () => this.charts.gap(),
      select: (item) => this.select(item),
      shown: (item, received, shown, ms, mine) => {
        if (shown && Number.isFinite(ms)) this.stats.latency(Math.max(0, ms));
        if (mine) beacon.report(this.topic, item, received, shown);
      },
    });
    this.panel = new EventPanel({
      hasJourneys: config.hasDetails,
      closed: () => {
        this.feed.focusSelected();
        this.feed.select(null);
        if (this.#followed) this.feed.follow(true);
        on.change();
      },
    });
    if (!config.hasDetails) health.disable();
    this.#begin(config.topic);
    addEventListener('pagehide', () => this.#save());
  }

  get serverTime() {
    return now() + offset;
  }

  connect() {
    this.stream.connect();
  }

  disconnect() {
    beacon.send();
    this.stream.disconnect();
  }

  clear() {
    this.feed.clear();
    this.charts.clear();
    this.stats.reset();
  }

  select(item) {
    if (!this.panel.id) this.#followed = this.feed.following;
    this.feed.follow(false); // or the row that was pressed would scroll away
    this.feed.select(item);
    beacon.send(); // what the journey lacks yet
    this.panel.show(item, this.topic, this.connection);
    this.#on.change();
  }

  // choose goes on with another topic: IDs of one mean nothing in the other.
  choose(topic) {
    const { wanted } = this.stream;
    beacon.send();
    this.stream.dispose();
    this.panel.clear();
    this.clear();
    this.#begin(topic);
    if (wanted) this.stream.connect();
    else this.#on.change();
  }

  // restore goes on where this tab was before it was loaded again. It returns the
  // topic that it found, or ''.
  static remembered = recall;

  restore({ topic, lastID, rows, total, resumes, gaps, wanted, seconds }) {
    if (topic !== this.topic) return;
    this.stream.lastID = isID(lastID) ? lastID : '';
    Object.assign(this, { resumes, gaps });
    this.feed.restore(rows);
    this.stats.total = total;
    for (const ms of seconds) this.stats.recount(ms);
    if (wanted) this.stream.connect();
    this.#on.change();
  }

  #save() {
    const { feed, stream, stats } = this;
    const pending = feed.pending;
    remember({
      topic: this.topic, wanted: stream.wanted, rows: feed.html,
      lastID: pending ? feed.newest?.dataset.id ?? '' : stream.lastID,
      total: stats.total - pending, resumes: this.resumes, gaps: this.gaps,
      seconds: [...feed.items].map((item) => parseInt(item.dataset.id, 10)),
    });
  }

  #begin(topic) {
    this.topic = topic;
    this.resumes = this.gaps = 0;
    this.connection = this.node = this.trace = this.#live = '';
    this.lag = undefined;
    const address = `/sse-stream?topic=${encodeURIComponent(topic)}`;
    const { heartbeat, retry, traceparent, maxAttempts } = this.#config;
    this.stream = new Stream({
      name: address, heartbeat, retry, traceparent, maxAttempts,
      url: (lastID) => (lastID ? address : `${address}&last=${HISTORY}`),
    }, {
      change: () => this.#changed(),
      message: (message, run) => this.#message(message, run),
    });
  }

  #changed() {
    beacon.setOpen(this.stream.state === 'connected');
    if (this.stream.error?.unknownReader) this.#on.denied(this.stream.error.detail);
    if (this.stream.state !== 'connected') {
      health.stop();
      this.lag = undefined;
    }
    this.#on.change();
  }

  #message(message, run) {
    const { event, fields, id } = message;
    switch (event) {
      case 'connected': this.#connected(fields, run); break;
      case 'gap': this.#gap(fields); break;
      case 'stream-error': {
        const text = String(fields.message ?? fields.value ?? 'the source failed');
        this.feed.note('stream-error', text, timeOfDay(Date.now()));
        this.#on.notice('stream-error', `${timeOfDay(Date.now())} · ${text} The stream stays open.`);
        break;
      }
      case 'close': {
        const reason = String(fields.reason ?? fields.value ?? '');
        if (reason === 'expired' || reason === 'revoked') {
          this.feed.note('close', 'The right to read has ended.', timeOfDay(Date.now()));
          this.#on.denied(reason === 'expired' ? 'The last one has expired.' : 'The last one was taken back.');
          break;
        }
        this.feed.note('close', reason ? `The topic has ended: ${reason}` : 'The topic has ended.', timeOfDay(Date.now()));
        this.#on.notice('closed', `The topic has ended for good${reason ? `: ${reason}` : ''}. Nothing more will come.`);
        break;
      }
      case 'nothing':
        this.#on.notice('nothing', 'The server has nothing to stream here (204) and asks not to be called again.');
        break;
      case 'ping':
        resync();
        break;
      default: {
        const replayed = Boolean(run.past) || (Boolean(this.#live) && compareIDs(id, this.#live) <= 0);
        const entered = parseInt(id, 10);
        if (replayed && ++this.#history === HISTORY && !this.resumes) this.stats.knownFrom(this.stats.firstAt);
        this.stats.count(entered);
        this.feed.add(message.data, { received: run.receivedAt, replayed, mine: run.mine });
        this.#on.message(message, replayed);
        this.#on.change();
        return;
      }
    }
    this.#on.message(message, false);
    this.#on.change();
  }

  #connected(fields, run) {
    beacon.setConnection(String(fields.connection ?? ''), String(fields.traceparent ?? '')); // sends what is left to the node before, by the clock of before
    resync();
    synchronise(run.startedAt, Number(fields.time), run.receivedAt);
    this.connection = String(fields.connection ?? '');
    this.node = String(fields.node ?? '');
    this.trace = String(fields.traceparent ?? '').slice(3, 35);
    this.#live = isID(fields.live) ? fields.live : `${Math.floor(Number(fields.time) || 0) - 1}-9007199254740991`;
    this.#history = 0;
    if (fields.resumed) this.resumes++;
    if (fields.last_event_id === 'malformed') this.#on.notice('malformed', 'The server did not understand where this page left off: the stream starts live.');
    setNode(this.node);
    health.watch(this.connection, ({ lag_events: lag }) => {
      this.lag = lag;
      this.#on.change();
    });
  }

  #gap({ from, to, reason }) {
    this.gaps++;
    this.feed.note('gap', gapText(from, to, reason), '', { from: String(from ?? ''), to: String(to ?? ''), reason: String(reason ?? '') });
  }
}

const reasons = {
  slow: 'this page was too slow to keep up',
  expired: 'they are older than what the server keeps',
  restart: 'the server was restarted and had lost them',
  reset: 'the log was reset',
};

// gapText says how much time is missing, and which.
function gapText(from, to, reason) {
  const [a, b] = [parseInt(from, 10), parseInt(to, 10)];
  const why = reasons[reason] ? `: ${reasons[reason]}` : '';
  if (!(a > 0) || !(b >= a)) return `Events are missing here${why}.`;
  const sameDay = dateAndTime(a).slice(0, 10) === dateAndTime(b).slice(0, 10);
  const time = b - a < 2000 ? timeOfDayMillis : timeOfDay;
  const when = sameDay ? `${time(a)}–${time(b)}` : `${dateAndTime(a).slice(0, 19)} – ${dateAndTime(b).slice(0, 19)}`;
  return `${lasting(b - a)} missing, ${when}${why}.`;
}
