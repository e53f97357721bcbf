// A gap in words.

import { dateAndTime, timeOfDay, timeOfDayMillis, when } from './clock.js';

const reasons = {
  slow: 'this page was too slow to keep up',
  expired: 'they are older than what the server keeps',
  restart: 'the server was restarted, or the topic begun anew, and holds nothing from before',
  reset: 'the log was reset',
  unknown: 'the server does not know the place where this page left off',
};

// gapText says from when to when events may be missing, and of how many the server
// knows. since is until when the page has all, where that is later than its last event.
export function gapText(from, to, reason, missed, since = 0) {
  const b = parseInt(to, 10);
  const a = since < b ? Math.max(parseInt(from, 10), since) : parseInt(from, 10);
  const why = reasons[reason] ? `: ${reasons[reason]}` : '';
  const what = missed > 0 ? `${missed.toLocaleString('en')} ${missed === 1 ? 'event is' : 'events are'} missing` : 'Events may be missing';
  if (!(a > 0) || !(b >= a)) return `${what} here${why}.`;
  const sameDay = dateAndTime(a).slice(0, 10) === dateAndTime(b).slice(0, 10);
  const time = b - a < 2000 ? timeOfDayMillis : timeOfDay;
  const span = sameDay ? `${when(a, time)}–${time(b)}` : `${dateAndTime(a).slice(0, 19)} – ${dateAndTime(b).slice(0, 19)}`;
  return `${what}, ${span}${why}.`;
}
