// One row of the feed: what the server rendered, finished with what only the
// page knows, and read back for whoever wants the event itself.

import { dateAndTime, dateUnlessToday, duration, offset, pace, timeOfDayMillis } from './clock.js';

const TOLERANCE = 25; // ms by which clocks that are read over a network may seem to differ

// enteredAt is when the event entered the log, by the server's clock. Its own
// time is finer than the milliseconds of the ID, but a publisher may have said any time.
export function enteredAt(item) {
  const own = Number(item.dataset.time);
  const id = parseInt(item.dataset.id, 10);
  return Number.isFinite(id) && !(own <= id + 1 && own > id - 1000) ? id : own;
}

// acceptedAt is when a server took the event from its publisher, by that server's clock.
// The event may have waited for the broker before it entered the log.
export const acceptedAt = (item) => Number(item.dataset.accepted) || enteredAt(item);

// dress sets what depends on the reader's time zone, and on the day, and where a number may
// go on in a line below.
export function dress(item) {
  for (const shown of item.querySelectorAll('.measure b')) breakBehindCommas(shown);
  const ms = Number(item.dataset.time);
  if (Number.isFinite(ms)) tellTime(item.querySelector('.item-time'), ms);
}

// breakBehindCommas lets a long number be broken between its groups of digits alone.
function breakBehindCommas(shown) {
  const groups = shown.textContent.split(/(?<=,)/);
  if (groups.length > 1 && !shown.firstElementChild) shown.replaceChildren(...groups.flatMap((group, i) => (i ? [document.createElement('wbr'), group] : [group])));
}

// tellTime writes a time of day to the millisecond, behind its date where that is not
// today's.
export function tellTime(time, ms) {
  if (!time) return;
  time.textContent = timeOfDayMillis(ms);
  time.title = dateAndTime(ms);
  const date = dateUnlessToday(ms);
  if (date) time.prepend(Object.assign(document.createElement('small'), { className: 'date', textContent: `${date} ` }));
}

// latencyOf is for how long an event was on its way until a time on this page, in ms:
// from the server that took it, so that the event's time and this one make the time here.
// Rounded once, to the microsecond, as the journey is: all places that tell it agree. NaN where the clocks differ, as that server
// may be another than this page's.
export function latencyOf(item, at) {
  const ms = Math.round((at + offset - acceptedAt(item)) * 1000) / 1000;
  return ms > -TOLERANCE ? Math.max(0, ms) : NaN;
}

// showLatency writes how long the event took. One that was replayed waited in the
// log for this page: that is no latency. One that was not on screen when it came has
// been read by nobody: its cell says that it came, and data-unseen marks the row.
export function showLatency(item, at, onScreen) {
  const cell = item.querySelector('.item-latency');
  const ms = latencyOf(item, at);
  const replayed = item.dataset.replayed !== undefined;
  if (!replayed && ms >= 0) item.dataset.latency = ms.toFixed(3);
  if (!replayed && !onScreen) item.dataset.unseen = '';
  if (cell && replayed) {
    cell.textContent = 'replayed';
    // It may have been here live, before the reader went to another topic.
    cell.title = `It was in the log before this stream was read, and came ${duration(ms) || 'at some time'} after a server had taken it.`;
  } else if (cell && Number.isNaN(ms)) {
    cell.textContent = 'clocks differ';
    cell.title = 'The clock of the server that took the event is ahead of this page’s: how long it took is not known.';
  } else if (cell) {
    cell.textContent = onScreen ? duration(ms) : `came in ${duration(ms)}`;
    cell.dataset.pace = pace(ms);
    cell.title = `from when a server took it${onScreen ? ' to your screen' : ' until it was in this page; it was not on screen at once'}`;
  }
  return replayed ? NaN : ms;
}

// tellExactly gives a number under the pointer, where its row has it rounded, a title that
// has all its digits.
export function tellExactly({ target }) {
  const measure = target.closest?.('.measure');
  if (measure) measure.title = exactly(measure.querySelector('b').textContent, Number(measure.dataset.value));
}

// exactly is what a number is that is shown like that; '' where it is just that.
export function exactly(shown, value) {
  if (Number(shown.replaceAll(',', '')) === value || Number.isNaN(value)) return '';
  return Math.abs(value) > Number.MAX_SAFE_INTEGER ? 'rounded: the payload has all digits' : `rounded from ${value}`;
}

// payload is the event's data as text: for JSON as it was published, for text as
// it can be shown.
export function payload(item) {
  return (item.querySelector('.item-data') ?? item.querySelector('.item-text'))?.textContent ?? '';
}

// LARGE is from how many bytes on a row may hold a part of the payload: item.go, maxText.
const LARGE = 4096;

// FOUND is by what the filter finds a row, as it is told to who filters.
export const FOUND = `by what the row shows, by its payload, or by its whole ID. Of a payload over ${LARGE.toLocaleString('en')} bytes the row has a part, and is found by that`;
export const NOT_SEARCHED = `Of payloads over ${LARGE.toLocaleString('en')} bytes only the part that the row has is searched.`;

// isFound says whether a row is found by a text in lower case, by the rule of FOUND. Cells
// stand each for itself: no text that somebody looks for runs from one into the next.
export function isFound(item, text) {
  const cells = [...item.children].flatMap((cell) => (cell.className === 'item-body' ? [...cell.children] : cell));
  return text === item.dataset.id || cells.some((cell) => cell.textContent.toLowerCase().includes(text));
}

// isPartial says whether the row holds a part of the payload alone.
export const isPartial = (item) => item.dataset.partial !== undefined;

// isSearchedInPart says whether what a filter looks for may be in the rest of the payload. One
// that is not large lacks only what cannot be seen.
const isSearchedInPart = (item) => isPartial(item) && Number(item.dataset.bytes) > LARGE;

// searchedInPart is of how many rows that is so, of those that a text has not found.
export const searchedInPart = (items, text) => (text.trim() ? [...items].filter((item) => item.hidden && isSearchedInPart(item)).length : 0);

// toLine is the event as one line of NDJSON. What is cut, since the whole payload is not
// given, is marked.
export function toLine(item, topic, whole) {
  const cut = whole === undefined && isPartial(item);
  const { id, time, name, type, subject, traceparent } = item.dataset;
  const text = whole ?? payload(item);
  const members = [`"id":${JSON.stringify(id)}`, `"topic":${JSON.stringify(topic)}`, `"time":${JSON.stringify(new Date(Number(time)).toISOString())}`];
  for (const [member, value] of [['name', name], ['type', type], ['subject', subject], ['traceparent', traceparent]]) {
    if (value) members.push(`"${member}":${JSON.stringify(value)}`);
  }
  if (cut) members.push(`"data_cut":true,"data_bytes":${Number(item.dataset.bytes) || 0}`);
  let data = JSON.stringify(text);
  if (item.dataset.content === 'json' && !cut) {
    try {
      JSON.parse(text);
      data = text.replace(/[\r\n]+/g, ' '); // in JSON a line can end between tokens only
    } catch {
      // What is no JSON after all stays text.
    }
  }
  return `{${members.join(',')},"data":${data}}`;
}
