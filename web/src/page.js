// What the page is made of, and how an event goes through it: from the stream to
// the figures, the feed, the charts and the report to the server. Nothing here
// knows of Alpine: app.js shows it.

import * as beacon from './beacon.js';
import { Charts } from './charts.js';
import { now, offset, resync, synchronise, when } from './clock.js';
import { cutText } from './ending.js';
import { endOf, noteEnd, sayEnd } from './endings.js';
import { EventPanel } from './event.js';
import { Fault, illText, sinceOf } from './fault.js';
import { Feed } from './feed.js';
import * as health from './health.js';
import { Left } from './left.js';
import { LARGEST, recall, remember } from './memory.js';
import { allMine, noteMine } from './mine.js';
import { setNode } from './node.js';
import { Stats } from './stats.js';
import { Stream } from './stream.js';
import { compareIDs, isID } from './wire.js';

export const HISTORY = 50; // events of the past on Connect

export class Page {
  topic;
  stream;
  stats = new Stats();
  resumes = 0;
  gaps = 0;
  lost = 0; // events, as far as gaps told how many
  lostMore = false; // one did not
  connection = ''; // its ID
  node = '';
  trace = '';

  #on;
  #config;
  #fault = new Fault();
  #left = new Left();
  #began = false; // this page has read the topic before
  #lag; // events of this stream that the server had and this page had not, when the server was asked last
  #lagAt = 0;
  #complete = []; // when pings were sent: up to each, this page has all that the node had
  #unasked = false; // the server ended the stream with the reader's right
  #alone = false; // that node alone gives the topic's events
  #live = ''; // what comes up to this ID is replayed
  #head = ''; // the newest event when the stream was opened, where the server told
  #heardLive = false; // something that was not held before has come on this stream
  #toEnd = false; // it has read the topic to its end
  #history = 0; // events that were replayed to a page that knew nothing
  #followed = true; // before an event was pressed

  // config: {topic, heartbeat, retry, traceparent, maxAttempts, hasDetails}.
  // on: {change(), notice(kind, text, over), message(message, replayed), denied(why)}.
  constructor(config, on) {
    this.#config = config;
    this.#on = on;
    this.charts = new Charts(document.getElementById('charts'));
    this.feed = new Feed(document.getElementById('sse-feed'), {
      change: () => on.change(),
      arrived: (item) => this.charts.add(item, this.topic),
      gap: () => this.charts.gap(),
      select: (item) => this.select(item),
      shown: (item, received, shown, ms, mine) => {
        if (Number.isFinite(ms)) this.stats.latency(Math.max(0, ms), shown > 0);
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

  // lagAt is when the server was asked last how many events it had for this page.
  get lagAt() {
    return this.#lagAt;
  }

  // lag is how many of those had not come then, undefined if the server has not told. What
  // has come since does not make it less: as much may have entered the log meanwhile.
  get lag() {
    return this.#lag;
  }

  get serverTime() {
    return now() + offset;
  }

  // isCurrent says whether this page knows of all that has entered the log just now: it
  // reads, and has what came while it did not.
  get isCurrent() {
    if (endOf(this.topic) && this.#toEnd) return true;
    const { state, frozenUntil, silent, lastID } = this.stream;
    return state === 'connected' && !frozenUntil && silent !== 'overdue' && !(this.#head && lastID && compareIDs(lastID, this.#head) < 0);
  }

  connect() {
    // Of a topic that has ended nothing new comes: a page that shows nothing of it asks for
    // what the server holds.
    if (endOf(this.topic) && this.feed.isEmpty && this.stream.lastID) {
      this.stream.lastID = '';
      this.#began = false;
      this.stats.reset();
    }
    this.stream.connect();
  }

  disconnect() {
    beacon.send();
    this.stream.disconnect();
  }

  clear() {
    this.feed.clear();
    this.charts.clear();
    this.stats.clear();
  }

  select(item) {
    if (!this.panel.id) this.#followed = this.feed.following;
    this.feed.follow(false); // or the row that was pressed would scroll away
    this.feed.select(item);
    beacon.send(); // what the journey lacks yet
    this.panel.show(item, this.topic);
    this.#on.change();
  }

  // open shows an event by its address. Where this page has the row, it knows by which
  // connection that came.
  open(id) {
    this.panel.open(this.topic, id, this.feed.find(id)?.dataset);
  }

  // choose goes on with another topic: IDs of one mean nothing in the other.
  choose(topic) {
    const { wanted } = this.stream;
    if (this.stream.lastID) this.#left.keep(this.#known());
    beacon.send();
    this.stream.dispose();
    this.panel.clear();
    this.clear();
    this.stats.reset();
    this.#begin(topic);
    const known = this.#left.take(topic);
    if (known) this.restore({ ...known, wanted });
    else if (wanted) this.stream.connect();
    else this.#on.change();
  }

  // restore goes on where this tab was before it was loaded again, or went to another topic.
  static remembered = recall;

  restore({ topic, lastID, rows, resumes, gaps, lost = 0, lostMore = gaps > 0, wanted, mine = [], stats, charts, toEnd = false }) {
    if (!topic && wanted) return this.stream.connect(); // which topics there are was not known then
    if (topic !== this.topic || !stats) return; // an earlier page kept no stats
    this.stream.lastID = isID(lastID) ? lastID : '';
    this.#began = this.stream.lastID !== '';
    Object.assign(this, { resumes, gaps, lost, lostMore });
    this.#toEnd = toEnd;
    mine.forEach(noteMine);
    this.charts.restore(charts);
    this.feed.restore(rows);
    this.stats.restore(stats);
    if (wanted) this.stream.connect();
    this.#on.change();
  }

  // goOn has the page connect once it is loaded again, if what ended its stream, or kept it
  // from one, was not the reader.
  goOn() {
    if (this.#unasked || this.stream.state === 'error') this.stream.connect();
  }

  #save() {
    remember(this.#known());
  }

  // #known is what this page knows of the topic, for another time.
  #known() {
    const { topic, feed, charts, stream: { wanted, lastID }, stats, resumes, gaps, lost, lostMore } = this;
    const rows = feed.html(LARGEST);
    return { topic, wanted, rows, lastID, resumes, gaps, lost, lostMore, mine: allMine(), stats: stats.saved, charts: charts.saved(LARGEST), toEnd: this.#toEnd };
  }

  #begin(topic) {
    this.topic = topic;
    this.resumes = this.gaps = this.lost = 0;
    this.lostMore = false;
    this.#began = this.#unasked = false;
    this.#fault.clear();
    this.connection = this.node = this.trace = this.#live = this.#head = '';
    this.#lag = undefined;
    this.#complete = [];
    this.#toEnd = false;
    this.#alone = false;
    const address = `/sse-stream?topic=${encodeURIComponent(topic)}`;
    const { heartbeat, retry, traceparent, maxAttempts } = this.#config;
    this.stream = new Stream({
      name: address, heartbeat, retry, traceparent, maxAttempts,
      inSight: () => this.feed.inSight,
      url: (lastID) => (lastID ? address : `${address}&last=${HISTORY}`),
    }, {
      change: () => this.#changed(),
      message: (message, run) => this.#message(message, run),
    });
  }

  #changed() {
    beacon.setOpen(this.stream.state === 'connected', this.stream.state === 'disconnected');
    if (this.stream.error?.unknownReader) this.#on.denied(this.stream.error.detail);
    if (this.stream.state !== 'connected') {
      health.stop();
      this.#lag = undefined;
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
        // One that lasts is told again to who comes back, with the time since when it does.
        const at = Date.parse(fields.time) || parseInt(id, 10) || (run.past ? run.receivedAt : Date.now());
        this.feed.note('stream-error', text, at);
        this.#on.notice('stream-error', `${when(at)} · ${text}${/stays open/.test(text) ? '' : ' The stream stays open.'}`);
        this.#fault.told(Boolean(run.past));
        health.soon();
        break;
      }
      case 'close': {
        const reason = String(fields.reason ?? fields.value ?? '');
        if (reason === 'expired' || reason === 'revoked') {
          this.#unasked = true;
          this.feed.note('close', 'The right to read has ended.', Date.now());
          this.#on.denied(reason === 'expired' ? 'The last one has expired.' : 'The last one was taken back.');
          break;
        }
        noteEnd(this.topic, reason || 'ended');
        this.#toEnd = true;
        // When a topic ended that had before this page came, nobody tells.
        this.feed.note('close', reason ? `The topic ${sayEnd(reason)}` : 'The topic has ended.', !this.#heardLive ? 0 : run.past ? run.receivedAt : Date.now());
        this.#on.notice('closed', `The topic ${sayEnd(endOf(this.topic))}. Nothing more comes on this stream; Connect asks whether there is one of that name again.`);
        break;
      }
      case 'nothing':
        noteEnd(this.topic, endOf(this.topic) || 'ended');
        this.#toEnd = true;
        this.#on.notice('nothing', `“${this.topic}” ${sayEnd(endOf(this.topic))}. This page has read it to the end: nothing more comes. To see again what the server still holds, press Clear, then Connect.`);
        break;
      case 'ping':
        this.#heardLive = true;
        if (!run.past) noteEnd(this.topic, ''); // it goes on
        this.#complete = [...this.#complete, Date.parse(fields?.time) || 0].slice(-2);
        resync();
        break;
      default: {
        const replayed = Boolean(run.past) || (Boolean(this.#live) && compareIDs(id, this.#live) <= 0);
        const entered = parseInt(id, 10);
        if (replayed && ++this.#history === HISTORY && !this.resumes) this.stats.knownFrom(this.stats.firstAt);
        if (!replayed) {
          this.#heardLive = true;
          noteEnd(this.topic, '');
          this.#recovered(this.#fault.came(), entered);
        }
        this.stats.count(entered);
        this.feed.add(message.data, { received: run.receivedAt, replayed, mine: run.mine, by: { ...run.by, nth: this.stats.total } });
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
    if (!run.past) this.#askWhy(this.connection, this.node);
    this.connection = String(fields.connection ?? '');
    noteMine(this.connection); // also where another tab has it
    this.node = String(fields.node ?? '');
    this.trace = String(fields.traceparent ?? '').slice(3, 35);
    this.#head = isID(fields.live) ? fields.live : '';
    this.#live = isID(fields.live) ? fields.live : `${Math.floor(Number(fields.time) || 0) - 1}-9007199254740991`;
    this.#history = 0;
    this.#heardLive = this.#unasked = this.#toEnd = false;
    this.#complete.pop(); // it may have been the last word of a stream that was ended in the middle
    if (!this.#began && isID(fields.position)) this.stats.knownFrom(parseInt(fields.position, 10)); // of what came before, this page hears nothing
    if (this.#began && fields.last_event_id !== 'malformed') this.resumes++; // with a gap, too
    this.#began = true;
    if (fields.last_event_id === 'malformed') this.#on.notice('malformed', 'The server did not understand where this page left off: the stream starts live.');
    setNode(this.node);
    this.charts.load(); // before it is needed: the server may be away then
    const name = this.topic;
    health.watch(this.connection, ({ lag_events: lag, events_sent: sent }, topic, askedAt) => {
      this.#lag = lag === undefined ? undefined : Math.max(0, sent + lag - this.stream.events);
      if (topic) noteEnd(name, topic.ended ?? '');
      if (topic) this.#alone = !topic.broker;
      this.#lagAt = askedAt;
      const how = this.#fault.judge(topic, askedAt);
      const since = topic && sinceOf(topic, askedAt + offset);
      if (how === 'ill') this.#on.notice('stream-error', `${when(since)} · ${illText(topic)}`);
      else this.#recovered(how, since);
      this.#on.change();
      return this.#fault.suspects;
    }, name);
  }

  // #askWhy asks whether the server had cut the connection before: that could not be told
  // on it. What the stream brings now may be so much that a row would be gone at once.
  async #askWhy(connection, node) {
    const { topic } = this;
    const told = await health.fault(connection, node);
    const text = cutText(told?.reason);
    if (!text || topic !== this.topic) return;
    const at = Date.now() - told.seconds_ago * 1000;
    this.feed.note('cut', text, at);
    this.#on.notice('cut-off', `${when(at)} · ${text} It came back.`);
    this.#on.change();
  }

  // #recovered takes the notice of a fault away that is over, since a time.
  #recovered(how, since) {
    if (!how) return;
    const over = how === 'over' ? 'The fault is over.' : '';
    if (over) this.feed.note('recovered', over, since);
    this.#on.notice('stream-error', '', over);
  }

  #gap({ from, to, reason, missed }) {
    this.gaps++;
    this.lost += Number(missed) || 0;
    this.lostMore ||= !Number(missed);
    this.stats.knownFrom(parseInt(to, 10) || this.serverTime);
    const since = reason === 'restart' && this.#alone ? this.#complete.at(-1) : undefined;
    this.feed.note('gap', '', 0, { from: String(from ?? ''), to: String(to ?? ''), reason: String(reason ?? ''), missed: String(missed ?? ''), ...(since && { since }) });
  }
}
