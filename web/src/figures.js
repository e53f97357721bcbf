// The figures above the feed, its head, and what is known of this stream.

import { dateUnlessToday, duration, lasting, size, timeOfDay } from './clock.js';
import { endOf } from './endings.js';
import { MAX_ITEMS } from './feed.js';
import { NOT_SEARCHED, searchedInPart } from './row.js';

export function figures(page) {
  return {
    total: '–',
    lastMinute: '–',
    figureClass: 'stat-none',
    lastEvent: '–',
    lastAge: '',
    latency: '–',
    latencyClass: 'stat-none',
    latencyMore: '',
    latencyUnseen: '',
    hasLatency: false,
    isClear: true,
    noneMatch: false,
    noneMatchMore: '',
    emptyText: '',
    emptyMore: '',
    feedNote: '',
    followText: 'Following ↓',
    followPressed: 'true',
    canJump: false,
    jumpText: '',
    isLatest: false,
    hasStream: false,
    noStream: true,
    connectionId: '',
    hasTabs: false,
    tabs: '',
    node: '',
    streamTrace: '',
    streamTraceShort: '',
    totals: '',
    lag: '',
    hasLag: false,
    resumed: 'not yet',
    gaps: '0',
    lost: '',
    hasLost: false,

    clear() {
      page().clear();
      this.refresh();
    },

    toggleFollow() {
      page().feed.follow(!page().feed.following);
    },

    jump() {
      page().feed.follow(true);
      page().feed.focus(); // the button goes
    },

    filter() {
      page().feed.filter(document.getElementById('filter-text').value, Number(document.getElementById('filter-slower').value));
      page().charts.filtered(page().feed.isFiltered);
    },

    showAll() {
      document.getElementById('filter-text').value = '';
      document.getElementById('filter-slower').value = '0';
      this.filter();
      document.getElementById('filter-text').focus(); // the button goes
    },

    refreshFigures() {
      const { stats, feed, serverTime, isCurrent, stream: { state } } = page();
      // Before anything was read there is nothing to count.
      const none = stats.total === 0 && state === 'disconnected';
      this.figureClass = none ? 'stat-none' : '';
      this.total = none ? '–' : stats.total.toLocaleString('en');
      const { events, atLeast } = stats.lastMinute(serverTime);
      this.lastMinute = (!events && (atLeast || !isCurrent)) ? '–' : events.toLocaleString('en') + (atLeast || !isCurrent ? '+' : '');
      this.lastEvent = stats.lastAt ? timeOfDay(stats.lastAt) : '–';
      this.lastAge = stats.lastAt ? [isCurrent && stats.first <= stats.lastAt ? '' : 'last known:', dateUnlessToday(stats.lastAt), ago(serverTime - stats.lastAt)].filter(Boolean).join(' ') : ''; // of what is known, where newer ones may have come
      const took = stats.latencyFigures();
      this.hasLatency = took !== null;
      this.latencyClass = took ? '' : 'stat-none';
      this.latency = took ? duration(took.p50) : '–';
      this.latencyMore = took ? `p95 ${duration(took.p95)} · worst ${duration(took.worst)} of ${took.of.toLocaleString('en')}` : '';
      // There is room for three digits, and of no more than a thousand is there a figure.
      this.latencyUnseen = took?.unseen ? `${took.unseen > 999 ? 'all' : took.unseen} unseen` : '';
      const shown = feed.items.length;
      this.isClear = feed.isEmpty;
      this.noneMatch = feed.noneMatch;
      // While it is held, newer ones wait.
      const held = !feed.following && feed.pending > 0;
      const of = stats.total > shown && (held || shown >= MAX_ITEMS) ? `${held || !areNewest(feed.items) ? '' : 'newest '}${shown} of ${this.total} that came here${held ? ', not the newest' : ''}` : '';
      const part = feed.isFiltered ? searchedInPart(feed.items, document.getElementById('filter-text').value) : 0;
      this.noneMatchMore = part ? NOT_SEARCHED : '';
      const matching = feed.isFiltered ? `${feed.matching} of ${shown} ${shown === 1 ? 'row matches' : 'rows match'}${part ? `, ${part} searched in part` : ''}` : '';
      this.feedNote = [matching, of].filter(Boolean).join(' · ');
      this.followText = feed.following ? 'Following ↓' : 'Paused';
      this.followPressed = String(feed.following);
      this.canJump = !feed.following;
      // A pause in sight of the newest row has nowhere to jump to.
      this.isLatest = this.canJump && feed.showsNewest;
      const { events: missed, more } = feed.missed;
      const jump = missed || more ? `Jump to latest (${missed.toLocaleString('en')}${more ? '+' : ''} new)` : 'Jump to latest';
      this.jumpText = this.isLatest ? 'Paused · nothing newer to show' : jump;
      this.refreshStream();
    },

    refreshStream() {
      const { stream, resumes, gaps, lost, lostMore, connection, node, trace, lag, lagAt, topic } = page();
      const { state } = stream;
      this.hasStream = connection !== '';
      this.noStream = !this.hasStream;
      this.connectionId = connection;
      this.node = node;
      this.streamTrace = trace;
      this.streamTraceShort = trace.length > 16 ? `${trace.slice(0, 8)}…${trace.slice(-7)}` : trace;
      this.hasTabs = stream.tabs > 1;
      this.tabs = `${stream.tabs} tabs`;
      this.totals = `${stream.events.toLocaleString('en')} · ${size(stream.bytes)}`;
      this.hasLag = lag !== undefined;
      this.lag = lag ? `${lag.toLocaleString('en')} ${lag === 1 ? 'event' : 'events'}` : 'caught up';
      if (lagAt) this.lag += ` (${timeOfDay(lagAt)})`; // the server is asked now and then
      const times = ['not yet', 'once', 'twice'][resumes] ?? `${resumes} times`;
      this.resumed = resumes ? `${times}${gaps ? '' : ', nothing missed'}` : times;
      this.gaps = gaps.toLocaleString('en');
      this.hasLost = lost > 0;
      this.lost = `${lost.toLocaleString('en')}${lostMore ? ' or more' : ''} ${lost === 1 && !lostMore ? 'event' : 'events'}`;
      this.emptyText = {
        connecting: 'Opening the stream…',
        connected: 'The stream is open. The next event shows here.',
        error: this.hasError ? 'There is no stream now.' : 'The line is cut. The page comes back by itself.',
      }[state] ?? (endOf(topic) ? `“${topic}” has ended: nothing more comes. Press Connect to see what the server still holds of it.` : 'Press Connect to open the stream: events show here the moment they happen.');
      this.emptyMore = state === 'connected' && !page().stats.firstAt ? `Nothing of “${topic}” has come yet. ${this.cannotPublish === 'true' ? '' : document.documentElement.dataset.try === 'closed' ? 'Choose “Try it” in the menu ⋯ to publish something.' : 'Press Publish, or run the line with curl in a terminal.'}`.trim() : '';
    },
  };
}

// areNewest says whether no event came between those of some rows: where a filter hides
// rows, it is these that make room for newer ones.
const areNewest = (items) => Number(items[items.length - 1].dataset.nth) - Number(items[0].dataset.nth) === items.length - 1;

const ago = (ms) => (ms < 1000 ? 'now' : `${lasting(ms)} ago`);
