// The panel of one event: what it was, and its journey.

import { asksReader } from './access.js';
import { sampled } from './beacon.js';
import { dateAndTime, duration, size } from './clock.js';
import { copy, unsay } from './copy.js';
import { Journey } from './journey.js';
import { indent } from './json.js';
import { addressOf, frame, lookUp } from './lookup.js';
import { isPartial, payload } from './row.js';
import { curl } from './shell.js';
import { whole } from './whole.js';

const MOST = 300_000; // characters of a payload that are shown

const OWN_TIME = 5; // ms between an event's time and when a server took it, from which both are told

const byID = (id) => document.getElementById(id);

export class EventPanel {
  id = ''; // of the event that is shown

  #topic = '';
  #item = null;
  #by = {}; // of an event that is opened by its address
  #journey = new Journey(byID('journey'));
  #hasJourneys;
  #line = '';
  #opened = 0; // how often the line was
  #payloadFailed = false;
  #rawFailed = false;

  // closed is called when the reader closes the panel.
  constructor({ hasJourneys, closed }) {
    this.#hasJourneys = hasJourneys;
    byID('journey-close').addEventListener('click', () => this.#close(closed));
    document.addEventListener('keydown', (event) => {
      // In a field it is the field's.
      if (event.key === 'Escape' && this.id && !document.querySelector('dialog[open]') && !event.target.matches?.('input:not([type=radio]), textarea, select')) this.#close(closed);
    });
    byID('copy-payload').addEventListener('click', (event) => this.#copy(event.currentTarget));
    byID('copy-link').addEventListener('click', (event) => this.#say(event.currentTarget, this.address));
    byID('raw-frame').addEventListener('click', () => this.#toggleRaw());
  }

  get address() {
    return `${location.origin}/?topic=${encodeURIComponent(this.#topic)}&event=${this.id}`;
  }

  // show takes a row of the feed. It says by which connection it came, or by is that of
  // a row in the feed that shows the same event.
  show(item, topic, by = item.dataset) {
    this.#item = item;
    this.#topic = topic;
    this.id = item.dataset.id;
    byID('journey-close').hidden = false;
    byID('event').hidden = false;
    byID('event-id').textContent = this.id;
    this.#showFacts();
    this.#showPayload();
    this.#hideRaw();
    this.#unsay();
    this.#showJourney(by);
    // On a phone the panel is below the feed, out of sight.
    const box = byID('journey-panel').getBoundingClientRect();
    if (box.top > innerHeight - 120 || box.bottom < 0) byID('journey-panel').scrollIntoView({ block: 'start' });
  }

  // lineIs hears of the state of the page's stream: when that is open again, what could
  // not be had of the event is asked for once more.
  lineIs(state) {
    const opened = state === 'connected' && this.#line !== state;
    this.#line = state;
    if (opened) this.#opened++;
    if (!opened || !this.id) return;
    if (!this.#item) {
      if (byID('journey').dataset.journey === 'failed') this.open(this.#topic, this.id, this.#by);
      return;
    }
    this.#journey.retry();
    if (this.#payloadFailed) this.#showPayload();
    if (this.#rawFailed && !byID('raw').hidden) this.#showRaw();
  }

  // open shows an event by its address, for which the server is asked. by is as for show.
  async open(topic, id, by = {}) {
    this.id = id;
    this.#by = by;
    this.#topic = topic;
    byID('journey-close').hidden = false;
    byID('event-id').textContent = id;
    this.#journey.say('loading', 'Asking the server for this event…');
    const template = document.createElement('template');
    const opened = this.#opened;
    try {
      template.innerHTML = (await lookUp(topic, id, 'html')).data;
    } catch (error) {
      if (this.id !== id || this.#topic !== topic) return;
      this.#journey.say('failed', error.message);
      if (opened !== this.#opened) this.open(topic, id, by); // the line came back meanwhile
      return;
    }
    const item = template.content.querySelector('.data-item');
    if (item && this.id === id) this.show(item, topic, by);
  }

  // redress writes the times anew.
  redress() {
    if (this.#item) this.#showFacts();
  }

  clear() {
    this.id = '';
    this.#item = null;
    byID('journey-close').hidden = true;
    byID('event').hidden = true;
    byID('event-id').textContent = '';
    this.#hideRaw();
    this.#unsay();
    this.#journey.clear();
  }

  #close(closed) {
    this.clear();
    closed();
  }

  // #showPayload shows the payload, and asks the server for what the row lacks.
  async #showPayload() {
    const item = this.#item;
    this.#payloadFailed = false;
    const show = (text, note = '') => { byID('event-payload').textContent = text.length > MOST ? `${text.slice(0, MOST)}\n… ${size(Number(item.dataset.bytes))} in all: Copy has the whole.` : text + note; };
    const pretty = (text) => (item.dataset.content === 'json' && /^\s*[[{]/.test(text) ? indent(text) : text);
    if (!isPartial(item)) return show(pretty(payload(item)));
    show('Asking the server for the whole…');
    try {
      const text = await whole(item, this.#topic);
      if (item === this.#item) show(pretty(text));
    } catch (error) {
      if (item !== this.#item) return undefined;
      this.#payloadFailed = true;
      show(payload(item), `\n… a part of ${size(Number(item.dataset.bytes))}. ${error.message}`);
    }
    return undefined;
  }

  async #copy(button) {
    const item = this.#item;
    const say = (text, said) => this.#say(button, text, said, item);
    try {
      await say(await whole(item, this.#topic));
    } catch {
      await say(payload(item), `Copied a part of ${size(Number(item.dataset.bytes))}`);
    }
  }

  // #say copies, and says so while the event is shown of which that is true.
  #say(button, text, said, item = this.#item) {
    return copy(button, text, said, () => item === this.#item);
  }

  // #unsay takes back what the buttons say of the event before.
  #unsay() {
    unsay(byID('copy-payload'));
    unsay(byID('copy-link'));
  }

  #showFacts() {
    const { name, type, subject, time, accepted, bytes, latency: took, replayed, unseen } = this.#item.dataset;
    let way = ['To your screen', duration(Number(took))];
    if (replayed !== undefined) way = ['To your screen', 'replayed: it was in the log before this page read the stream'];
    else if (unseen !== undefined && took) way = ['To this page', `came in ${duration(Number(took))}; it was not on screen at once`];
    const facts = [
      ['Name', name], ['Type', type], ['Subject', subject], ['Time', dateAndTime(Number(time))],
      // What the publisher says of the time may be anything.
      ['Taken by the server', Math.abs(accepted - time) >= OWN_TIME ? dateAndTime(Number(accepted)) : ''],
      way,
      ['Payload', bytes ? size(Number(bytes)) : ''],
    ];
    byID('event-facts').replaceChildren(...facts.filter(([, value]) => value).map(([name, value]) => {
      const row = document.createElement('div');
      row.append(Object.assign(document.createElement('dt'), { textContent: name }), Object.assign(document.createElement('dd'), { textContent: value }));
      return row;
    }));
  }

  // #showJourney shows the way by which the event came to this page, from the node that
  // knows it, or else the slowest that is known.
  #showJourney({ connection = '', node }) {
    const { traceparent = '' } = this.#item.dataset;
    const trace = traceparent.slice(3, 35);
    if (!this.#hasJourneys) this.#journey.say('moved', 'The journeys of this server are served on its admin address.', trace);
    else if (!sampled(traceparent)) this.#journey.say('unsampled', 'This event was not sampled. So that tracing costs little, only some of many events are.', trace);
    else this.#journey.load(trace, this.id, connection, node);
  }

  #hideRaw() {
    byID('raw').hidden = true;
    byID('raw-frame').setAttribute('aria-expanded', 'false');
  }

  // #toggleRaw shows the event as a program reads it, and how.
  #toggleRaw() {
    if (!byID('raw').hidden) return this.#hideRaw();
    byID('raw').hidden = false;
    byID('raw-frame').setAttribute('aria-expanded', 'true');
    return this.#showRaw();
  }

  async #showRaw() {
    const { id } = this;
    const box = byID('raw');
    this.#rawFailed = false;
    const line = Object.assign(document.createElement('code'), { className: 'raw-curl', textContent: curl([], asksReader(), addressOf(this.#topic, 'json', id)) });
    const pre = Object.assign(document.createElement('pre'), { className: 'payload', id: 'raw-bytes', tabIndex: 0, textContent: '…' });
    pre.setAttribute('aria-label', 'Raw frame');
    box.replaceChildren(line, pre);
    try {
      pre.textContent = frame(await lookUp(this.#topic, id, 'json'));
    } catch (error) {
      pre.textContent = error.message;
      this.#rawFailed = id === this.id;
    }
  }
}
