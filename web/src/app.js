// The page for Alpine: it puts the parts together and shows what they know.
//
// Stable names, for tests and for user style sheets (see index.html, item.html):
//   body[data-state]                   disconnected | connecting | connected | error
//   body[data-view]                    feed | streams | traces
//   #connect #disconnect #clear #follow #jump #theme #views [data-view]
//   #connection-status #connection-time #network-status[data-network]
//   #topics input[name=topic][value]   topic choice; #topic-form #topic-name: any other
//   #total-events #events-per-minute #last-event-time #last-event-age #latency-p50 #latency-unseen #latency-more
//   #error-banner #error-message #error-detail #retry-countdown #retry #dismiss
//   #notice-banner[data-notice] #notice-message #notice-dismiss
//                                      stream-error | closed | nothing | malformed | unknown-topic | whole-topic | cut | cut-off
//   #ask #ask-token #ask-said #allowed #forget
//                                      where reading needs a token
//   #slow-banner                       connecting takes long
//   #banners                           all of these: in the card of the feed, else over the foot of the view
//   #try-text #publish #cut #freeze #try-curl #try-said
//   #filter-text #filter-slower #more #download #utc #keys #keys-on
//   #feed-count #feed-empty #feed-none #feed-none-more
//   #sse-feed > .data-item[data-id][data-time][data-traceparent][data-connection][data-node][data-latency][data-replayed][aria-pressed]
//              .measure[data-measure][data-value][data-color] .item-text .item-latency
//   #sse-feed > .feed-note[data-note]  gap (data-from, data-to, data-reason) | stream-error | close
//   #charts [data-chart]               one for each measure that is shown; #charts-menu
//              .chart-line[data-subject] .chart-others; .charts-scope: the filter is not theirs
//   #event-id #event-facts #event-payload #copy-payload #copy-link #raw-frame #raw-bytes
//   #journey-panel #journey[data-journey] #journey-close
//                                      empty | loading | loaded | missing | unsampled | moved | failed
//   .journey [data-total] .waterfall [data-span][data-service] [data-copy] [data-jaeger] .journey-missing
//   #stream-connection #stream-node #stream-trace #stream-totals #stream-tabs
//   #stream-lag #stream-resumed #stream-gaps #stream-lost
//   #bands #streams-rows tr[data-own][data-over] #traces #traces-follow #traces-refresh #traces-asof #trace
//   #announcer                         what a screen reader hears

import * as access from './access.js';
import { setUTC, today } from './clock.js';
import { save } from './download.js';
import { figures } from './figures.js';
import { listenForKeys } from './keys.js';
import { setting } from './memory.js';
import { HISTORY, Page } from './page.js';
import { FOUND } from './row.js';
import { status } from './status.js';
import { StreamsView } from './streams.js';
import * as title from './title.js';
import { TracesView } from './traces.js';
import { tryIt } from './tryit.js';
import { notName, Topics } from './topics.js';
import { topicAsked, Views } from './views.js';

const THEMES = ['auto', 'light', 'dark'];
const byID = (id) => document.getElementById(id);

document.addEventListener('alpine:init', () => Alpine.data('weir', weir));

function weir() {
  let page, topics, views, streams, traces; // not reactive: Alpine would wrap every row of the feed
  let planned = false;
  let unseen = 0; // events since the reader has looked
  let day = '';
  const get = () => page;

  return {
    ...status(get),
    ...figures(get),
    ...tryIt(get),
    themeTitle: '',

    init() {
      const { dataset } = document.body;
      const query = new URLSearchParams(location.search);
      const remembered = Page.remembered();
      topics = new Topics((name) => this.chooseTopic(name));
      const asked = topicAsked();
      const topic = topics.first({ asked, remembered: remembered?.topic, server: dataset.topic });
      setUTC(setting('utc') === 'on');
      day = today();
      page = new Page({
        topic,
        heartbeat: Number(dataset.heartbeat) || 0,
        retry: Number(dataset.retry) || 0,
        traceparent: document.querySelector('meta[name="traceparent"]')?.content,
        hasDetails: dataset.noDetails === undefined,
      }, {
        change: () => this.plan(),
        notice: (kind, text, over) => this.tellNotice(kind, text, over),
        denied: access.askReader,
        message: (message, replayed) => {
          if (document.hidden && !message.fields && !replayed) unseen++;
          this.tried(message, replayed);
        },
      });
      const unread = topicUnread(asked);
      if (!unread) topics.show(topic);
      access.listen(() => page.topic, () => page.goOn());
      this.initTry();
      if (byID('view-streams')) streams = new StreamsView(get);
      if (byID('view-traces')) traces = new TracesView(get);
      views = new Views((view) => {
        streams?.show(view === 'streams');
        traces?.show(view === 'traces');
        placeBanners(view);
        this.plan();
      }, () => {
        this.showTopic(topicAsked() || topic);
        traces?.addressChanged();
      });
      if (asked && topic !== dataset.topic) views.replace({ topic, event: '' });
      this.listen();
      this.showTheme();
      if (unread) this.tellNotice('unknown-topic', unread);
      if (remembered) page.restore(remembered);
      const ignored = topic && !unread ? ofStreams(query, topic, Boolean(page.stream.lastID)) : '';
      if (ignored) this.tellNotice('whole-topic', ignored);
      if (query.get('event')) page.open(query.get('event'));
      setInterval(() => this.refresh(), 250);
      this.refresh();
    },

    listen() {
      document.addEventListener('visibilitychange', () => {
        if (!document.hidden) unseen = 0;
      });
      byID('filter-text').title = `Finds a row ${FOUND}`;
      // One press of Escape leaves the filter, with what stands in it.
      byID('filter-text').addEventListener('keydown', (event) => {
        if (event.key !== 'Escape') return;
        event.preventDefault();
        event.stopPropagation();
        page.feed.focus();
      });
      byID('download').addEventListener('click', async () => {
        const cut = await save([...page.feed.items].filter((item) => !item.hidden), page.topic);
        if (cut) this.tellNotice('cut', `${cut} of the events in the file ${cut === 1 ? 'is' : 'are'} cut, since the server did not tell the whole. “data_cut” marks them.`);
      });
      byID('utc').setAttribute('aria-pressed', String(setting('utc') === 'on'));
      byID('utc').addEventListener('click', (event) => {
        const on = setting('utc') !== 'on';
        setting('utc', on ? 'on' : 'off');
        setUTC(on);
        event.currentTarget.setAttribute('aria-pressed', String(on));
        this.retime();
      });
      // A menu closes when something in it was pressed, or something beside it.
      document.addEventListener('click', (event) => {
        for (const menu of document.querySelectorAll('details.menu[open]')) {
          if (!menu.contains(event.target) || (event.target.closest('.menu-item') && !event.target.closest('.check'))) menu.open = false;
        }
      });
      document.addEventListener('keydown', (event) => {
        const menu = event.key === 'Escape' && event.target.closest?.('details.menu[open]');
        if (!menu) return;
        event.stopPropagation();
        menu.open = false;
        menu.querySelector('summary').focus();
      }, true);
      this.listenForKeys();
    },

    // listenForKeys has a key for what this page has: on the admin address there is no feed.
    listenForKeys() {
      const ofViews = [['1', 'Feed'], ['2', 'Streams'], ['3', 'Traces']].filter(([, name]) => views.names.includes(name.toLowerCase())).map(([key, name]) => [key, name, () => views.go(name.toLowerCase())]);
      const ofFeed = [
        ['c', 'Connect, or disconnect', () => (page.stream.wanted ? this.disconnect() : this.connect())],
        ['p', 'Hold the view, or follow the newest event', () => this.toggleFollow()],
        ['/', `Filter: finds a row ${FOUND}`, () => { views.go('feed'); setTimeout(() => byID('filter-text').focus()); }],
        ['x', 'Clear the feed and the charts, and count anew', () => this.clear()],
        ...ofViews,
        ['t', 'Try it', () => this.toggleTry()],
        ...(byID('topic-form') ? [['o', 'Open a topic by its name', () => topics.focus()]] : []),
      ];
      const elsewhere = [
        ['↑ ↓', 'From event to event, once the feed or a row has the focus'],
        ['Enter', views.names.includes('traces') ? 'What that event was, and its journey' : 'What that event was'],
        ['Esc', 'Close the event'],
      ];
      if (views.names.includes('feed')) listenForKeys(ofFeed, elsewhere);
      else listenForKeys(ofViews, []);
    },

    chooseTopic(topic) {
      if (topic === page.topic) return;
      views.push({ topic, event: '' });
      this.showTopic(topic);
    },

    // showTopic goes on with the topic that the address names.
    showTopic(topic) {
      if (topic === page.topic) return;
      this.dismissNotice();
      page.choose(topic);
      topics.show(topic);
      access.topicChosen();
      this.typed();
      this.tell('');
      streams?.topicChanged();
      traces?.topicChanged();
      this.refresh();
    },

    nextTheme() {
      const root = document.documentElement;
      root.dataset.theme = THEMES[(THEMES.indexOf(root.dataset.theme) + 1) % THEMES.length];
      setting('theme', root.dataset.theme);
      this.showTheme();
    },

    showTheme() {
      const { theme } = document.documentElement.dataset;
      this.themeTitle = `Colours: ${theme === 'auto' ? 'as the system' : theme}`;
    },

    // retime writes all times anew, in the zone that is chosen and as seen from this day.
    retime() {
      day = today();
      page.feed.redress();
      page.panel.redress();
      page.charts.rebuild();
      traces?.redress();
      this.refresh();
    },

    // plan asks for a refresh soon: many events, one update of the figures.
    plan() {
      if (!page) return;
      if (page.stream.state !== this.state) this.refresh(); // a change of state is shown at once
      if (planned) return;
      planned = true;
      setTimeout(() => {
        planned = false;
        this.refresh();
      }, 50);
    },

    refresh() {
      if (!page?.stream || !views) return;
      if (day !== today()) return this.retime();
      this.refreshStatus(Date.now());
      this.refreshFigures();
      this.refreshTry();
      traces?.lineIs(page.stream.state);
      page.panel.lineIs(page.stream.state);
      title.show(this.own === 'true' ? 'connecting' : page.stream.state, page.topic, views.name, unseen);
      // What is shown has its own address.
      const event = page.panel.id;
      if (views.name === 'feed' && (new URLSearchParams(location.search).get('event') ?? '') !== event) views.replace({ event, ...(event && { topic: page.topic }) });
    },
  };
}

// topicUnread says why the topic that the address asks for is not read here, or ''. The
// server judges only who may know: where a token is asked for, nothing is said of a topic.
function topicUnread(asked) {
  const { unknown, notAllowed } = document.body.dataset;
  if (unknown === undefined && notAllowed === undefined) return '';
  const bad = notName(asked) && `“${asked.length > 64 ? `${asked.slice(0, 64)}…` : asked}” cannot be the name of a topic. ${notName(asked)}`;
  const why = bad || (unknown === undefined ? `Your token does not read “${asked}”.` : `There is no topic “${asked}” here.`);
  return why + (byID('topics').childElementCount ? ' Choose one that is listed.' : '');
}

// ofStreams says what the page does instead of what parameters of streams in its address ask
// for, or ''. One that comes back goes on where it was.
function ofStreams(query, topic, back) {
  const ignored = ['subject', 'last', 'format', 'last_event_id', 'lastEventId'].filter((name) => query.has(name));
  if (!ignored.length) return '';
  const subject = query.has('subject');
  const reads = `This page reads ${subject ? 'all subjects of ' : ''}“${topic}”${query.has('format') ? ', in a format of its own,' : ''} ${back ? 'on from where this tab was' : `from its newest ${HISTORY} events on`}`;
  return `${reads}: ${ignored.map((name) => `“${name}”`).join(' and ')} in its address ${ignored.length > 1 ? 'are' : 'is'} for streams.${subject ? ' The filter above the rows finds those of a subject.' : ''}`;
}

// placeBanners puts what is told of the stream where nothing that is read moves: in the
// card of the feed, which has room to give; in the other views at their end, where it
// lies over the foot of the window.
function placeBanners(view) {
  const banners = byID('banners');
  if (view === 'feed') byID('feed-card').querySelector('.feed-head').after(banners);
  else byID('main').append(banners);
}
