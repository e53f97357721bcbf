// The page's state, for Alpine, and the wiring of its parts.
//
// Stable names, for tests and for user style sheets (see index.html, item.html):
//   body[data-state]                   disconnected | connecting | connected | error
//   #connect #disconnect #clear #follow #jump #theme
//   #connection-status #connection-time #network-status[data-network]
//   #topics input[name=topic][value]   topic choice
//   #total-events #events-per-minute #last-event-time #latency-p50
//   #error-banner #error-message #error-detail #retry-countdown #retry #dismiss
//   #notice-banner[data-notice] #notice-message #notice-dismiss
//                                      stream-error | closed | nothing | malformed
//   #slow-banner                       connecting takes long
//   #feed-count #feed-empty
//   #sse-feed > .data-item[data-id][data-time][data-traceparent][data-latency][aria-pressed]
//              .measure[data-measure][data-value][data-color] .item-text .item-latency
//   #sse-feed > .feed-note[data-note]  gap (data-from, data-to, data-reason) | stream-error | close
//   #charts [data-chart]               one for each measure
//   #journey-panel #journey[data-journey] #journey-close
//                                      empty | loading | loaded | missing | unsampled | moved | failed
//   #journey-total #waterfall [data-span][data-service] #copy-trace #open-jaeger #journey-missing
//   #stream-connection #stream-node #stream-trace #stream-segments #stream-totals
//   #stream-lag #stream-resumed #stream-gaps
//   #announcer                         what a screen reader hears
//   #sse-connector                     the element that holds the stream

import * as beacon from './beacon.js';
import { Charts } from './chart.js';
import { elapsed, resync, synchronise, timeOfDay } from './clock.js';
import { Connection } from './connection.js';
import { Feed, MAX_ITEMS } from './feed.js';
import * as health from './health.js';
import { Journey } from './journey.js';
import { Stats } from './stats.js';

const STATUS = { disconnected: 'Disconnected', connecting: 'Connecting...', connected: 'Connected', error: 'Error' };
const THEMES = ['auto', 'light', 'dark'];

document.addEventListener('alpine:init', () => Alpine.data('weir', weir));

function weir() {
  let connection, feed, charts, journey; // not reactive: Alpine would wrap every row of the feed
  const stats = new Stats();
  let events = 0; // of this connection
  let resumes = 0;
  let gapCount = 0;
  let planned = false;

  return {
    // Only names stand in the attributes: the CSP build of Alpine evaluates nothing else.
    state: 'disconnected',
    statusText: STATUS.disconnected,
    open: false,
    closed: true,
    connectionTime: '00:00',
    network: 'online',
    networkHint: '',
    announcement: '',
    hasError: false,
    error: '',
    errorDetail: '',
    retryText: '',
    retryLabel: 'Retry now',
    canRetry: false,
    hasNotice: false,
    notice: '',
    noticeKind: '',
    slow: false,
    total: '0',
    perMinute: '0',
    lastEvent: '--:--',
    latency: '–',
    hasLatency: false,
    isClear: true,
    emptyText: '',
    feedNote: '',
    followText: 'Following ↓',
    followPressed: 'true',
    canJump: false,
    jumpText: '',
    hasStream: false,
    noStream: true,
    connectionId: '',
    node: '',
    streamTrace: '',
    streamTraceShort: '',
    segments: '',
    hasSegments: false,
    totals: '',
    lag: '',
    hasLag: false,
    resumed: 'not yet',
    gaps: '0',
    themeTitle: '',

    init() {
      const { heartbeat, retry, noDetails } = document.body.dataset;
      // The choice may be older than this script: a quick reader's, or one that the browser restored.
      const topic = document.querySelector('#topics input:checked')?.value ?? document.body.dataset.topic;
      const element = document.getElementById('sse-connector');
      connection = new Connection(element, {
        topic,
        heartbeat: Number(heartbeat) || 0,
        retry: Number(retry) || 0,
        traceparent: document.querySelector('meta[name="traceparent"]')?.content,
        maxAttempts: Number(element.dataset.maxAttempts) || undefined,
      }, {
        change: () => this.plan(),
        opened: () => this.opened(),
        message: (name, data, run) => this.message(name, data, run),
        take: (html, run) => {
          events++;
          stats.count();
          this.plan();
          return feed.take(html, run.receivedAt);
        },
        swap: (fragment, run) => feed.swapping(fragment, run.receivedAt),
      });
      feed = new Feed(document.getElementById('sse-feed'), {
        change: () => this.plan(),
        arrived: (item) => charts.add(item),
        select: (item) => this.select(item),
        shown: (item, received, shown, ms) => {
          if (shown) stats.latency(Math.max(0, ms));
          beacon.report(item, received, shown);
        },
      });
      charts = new Charts(document.getElementById('charts'));
      journey = new Journey({
        enabled: noDetails === undefined,
        closed: () => {
          feed.focusSelected();
          feed.select(null);
        },
      });
      if (noDetails !== undefined) health.disable();
      beacon.setTopic(topic);
      document.getElementById('topics').addEventListener('change', (event) => this.chooseTopic(event.target.value));
      setInterval(() => this.refresh(), 250);
      this.showTheme();
      this.refresh();
    },

    connect() {
      this.dismissNotice();
      connection.connect();
    },

    disconnect() {
      beacon.send();
      connection.disconnect();
    },

    retry() {
      connection.retry();
    },

    dismiss() {
      connection.dismiss();
    },

    dismissNotice() {
      this.hasNotice = false;
    },

    clear() {
      feed.clear();
      charts.clear();
      stats.reset();
      if (connection.state === 'connected') stats.begin();
      this.refresh();
    },

    chooseTopic(topic) {
      if (topic === connection.topic) return;
      beacon.setTopic(topic);
      journey.clear();
      this.dismissNotice();
      this.clear();
      resumes = gapCount = 0;
      stats.reset();
      connection.switchTo(topic);
      history.replaceState(null, '', `?topic=${encodeURIComponent(topic)}`);
    },

    toggleFollow() {
      feed.follow(!feed.following);
    },

    jump() {
      feed.follow(true);
    },

    select(item) {
      feed.select(item);
      journey.open(item);
    },

    nextTheme() {
      const root = document.documentElement;
      const theme = THEMES[(THEMES.indexOf(root.dataset.theme) + 1) % THEMES.length];
      root.dataset.theme = theme;
      try {
        localStorage.setItem('weir-theme', theme);
      } catch {
        // It then holds until the page is left.
      }
      this.showTheme();
    },

    showTheme() {
      const theme = document.documentElement.dataset.theme;
      this.themeTitle = `Colours: ${theme === 'auto' ? 'as the system' : theme}`;
    },

    opened() {
      resync();
      stats.begin();
      events = 0;
    },

    // message gets the named events of the stream.
    message(name, data, run) {
      switch (name) {
        case 'connected': {
          synchronise(run.startedAt, Number(data.time), run.receivedAt);
          this.connectionId = String(data.connection ?? '');
          beacon.setConnection(this.connectionId, String(data.traceparent ?? ''));
          this.node = String(data.node ?? '');
          this.streamTrace = String(data.traceparent ?? '').slice(3, 35);
          this.streamTraceShort = shorten(this.streamTrace);
          this.segments = '';
          this.hasSegments = this.hasLag = false;
          if (data.resumed) resumes++;
          if (data.last_event_id === 'malformed') this.tell('malformed', 'The server did not understand where this page left off: the stream starts live.');
          health.watch(this.connectionId, (details) => this.showHealth(details));
          break;
        }
        case 'gap': {
          gapCount++;
          feed.note('gap', gapText(data), { from: String(data.from ?? ''), to: String(data.to ?? ''), reason: String(data.reason ?? '') });
          break;
        }
        case 'stream-error': {
          const text = String(data.message ?? data.value ?? 'the source failed');
          feed.note('stream-error', text);
          this.tell('stream-error', `${timeOfDay(Date.now())} · ${text} The stream stays open.`);
          break;
        }
        case 'close': {
          const reason = String(data.reason ?? data.value ?? '');
          feed.note('close', reason ? `The topic has ended: ${reason}` : 'The topic has ended.');
          this.tell('closed', `The topic has ended for good${reason ? `: ${reason}` : ''}. Nothing more will come.`);
          break;
        }
        case 'nothing':
          this.tell('nothing', 'The server has nothing to stream here (204) and asks not to be called again.');
          break;
        case 'ping':
          resync();
          break;
      }
      this.plan();
    },

    tell(kind, text) {
      this.noticeKind = kind;
      this.notice = text;
      this.hasNotice = true;
      this.announcement = text;
    },

    // plan asks for a refresh soon: many events, one update of the figures.
    plan() {
      if (connection && connection.state !== this.state) this.refresh(); // a change of state is shown at once
      if (planned) return;
      planned = true;
      setTimeout(() => {
        planned = false;
        this.refresh();
      }, 50);
    },

    refresh() {
      const at = Date.now();
      this.showConnection(at);
      this.total = stats.total.toLocaleString('en');
      const rate = stats.perMinute(at);
      this.perMinute = rate === 0 || rate >= 100 ? Math.round(rate).toLocaleString('en') : rate.toFixed(1);
      this.lastEvent = stats.lastAt ? timeOfDay(stats.lastAt) : '--:--';
      const p50 = stats.p50();
      this.hasLatency = Number.isFinite(p50);
      this.latency = this.hasLatency ? p50.toFixed(p50 < 100 ? 1 : 0) : '–';
      const shown = feed.items.length;
      this.isClear = shown === 0 && !document.querySelector('#sse-feed > *');
      this.feedNote = stats.total > shown && shown >= MAX_ITEMS ? `newest ${shown} of ${this.total}` : '';
      this.followText = feed.following ? 'Following ↓' : 'Follow ↓';
      this.followPressed = String(feed.following);
      this.canJump = !feed.following;
      this.jumpText = feed.missed ? `Jump to latest (${feed.missed.toLocaleString('en')} new)` : 'Jump to latest';
      this.totals = `${events.toLocaleString('en')} · ${size(connection.bytes)}`;
      const times = ['not yet', 'once', 'twice'][resumes] ?? `${resumes} times`;
      this.resumed = resumes ? `${times}${gapCount ? '' : ', nothing missed'}` : times;
      this.gaps = String(gapCount);
    },

    showConnection(at) {
      const { state, error, retryAt, attempt, maxAttempts, gaveUp } = connection;
      if (state !== this.state) {
        this.state = state;
        this.statusText = STATUS[state];
        this.announcement = state === 'error' ? `Error. ${error?.message ?? ''}` : STATUS[state];
        if (state !== 'connected') health.stop();
        beacon.setOpen(state === 'connected');
        if (state === 'error' && this.noticeKind === 'stream-error') this.hasNotice = false;
        if (state === 'connected') this.hasStream = true;
        this.noStream = !this.hasStream;
        this.showButton(connection.wanted);
      }
      this.connectionTime = state === 'connected' ? elapsed(at - connection.openedAt) : '00:00';
      this.slow = connection.slow;
      this.network = navigator.onLine === false ? 'offline' : 'online';
      this.networkHint = this.network === 'offline' ? 'This device says that it is off the network' : '';
      this.hasError = error !== null;
      if (error) {
        this.error = error.message;
        this.errorDetail = error.detail;
        this.canRetry = state === 'error';
        this.retryLabel = retryAt ? 'Retry now' : 'Retry';
        if (state === 'connecting') this.retryText = `Trying again (${attempt} of ${maxAttempts})…`;
        else if (retryAt) this.retryText = `Next try in ${Math.max(0, Math.ceil((retryAt - at) / 1000))} s (${attempt} of ${maxAttempts})${this.network === 'offline' ? ', or when the network is back' : ''}`;
        else this.retryText = gaveUp ? `Gave up after ${maxAttempts} tries.` : '';
      }
      this.emptyText = {
        connecting: 'Opening the stream…',
        connected: 'The stream is open. The next event shows here.',
        error: 'No stream: see above.',
      }[state] ?? 'Press Connect to open the stream: events show here the moment they happen.';
    },

    // showButton swaps Connect for Disconnect. Who pressed one by the keyboard
    // stays on the other, and is not thrown back to the top of the page.
    showButton(open) {
      if (open === this.open) return;
      const focused = document.activeElement?.classList.contains('connect');
      this.open = open;
      this.closed = !open;
      if (focused) this.$nextTick(() => document.getElementById(open ? 'disconnect' : 'connect').focus());
    },

    showHealth({ segments, lag_events: lag }) {
      this.hasSegments = segments !== undefined;
      this.segments = String(segments ?? '');
      this.hasLag = lag !== undefined;
      this.lag = lag ? `${lag.toLocaleString('en')} events` : '0';
    },
  };
}

const reasons = {
  slow: 'this page was too slow to keep up',
  expired: 'they are older than what the server keeps',
  restart: 'the server was restarted and had lost them',
  reset: 'the log was reset',
};

function gapText({ reason }) {
  return `Events are missing here${reasons[reason] ? `: ${reasons[reason]}` : ''}.`;
}

const shorten = (trace) => (trace.length > 16 ? `${trace.slice(0, 8)}…${trace.slice(-7)}` : trace);

function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  const [unit, by] = bytes < 1e6 ? ['kB', 1e3] : bytes < 1e9 ? ['MB', 1e6] : ['GB', 1e9];
  return `${(bytes / by).toFixed(1)} ${unit}`;
}
