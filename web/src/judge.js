// How a reader of a topic does, for the view of the streams: how far it is behind,
// and what will come of it.

import { lasting, size } from './clock.js';

const HELD = 2000; // bytes in the network that are more than what is on its way
const STUCK = 3; // s without a write, while there is something to write

// judge takes what the server tells of a reader and of its topic, and how many of
// the events that were sent are read: of its own stream a page knows it. What the
// network holds for the page has left the server's log, and is behind all the same.
// left and cut are the seconds until it loses events, and until it is cut off because
// it does not read; -1 when it does not come to that. What comes first is its loss.
export function judge({ lag, events, idle, waiting, left, cut }, topic, read = events) {
  const unread = Math.max(0, events - read);
  const behind = lag + unread;
  if (topic && behind === 0 && waiting > HELD) return { behind, loss: Infinity, gone: 0, worry: 2, level: 'wait', says: `${size(waiting)} wait in the network` };
  if (!topic || behind === 0) return { behind, loss: Infinity, gone: 0, worry: 0, level: 'good', says: 'caught up' };
  // What came within the last second is on its way.
  if (lag > 0 && unread <= 1 && idle <= STUCK && lag <= Math.max(2, topic.lastMinute / 60)) return { behind, loss: Infinity, gone: 0, worry: 0, level: 'good', says: 'caught up' };
  const gone = left === 0 ? Math.max(1, lag - topic.entries) : 0; // have been dropped before it read them
  const stuck = idle > STUCK && cut >= 0;
  const loss = Math.min(left < 0 ? Infinity : left, stuck ? cut : Infinity); // s
  if (unread > 0) return { behind, loss, gone, worry: 2, level: 'wait', says: `${unread.toLocaleString('en')} on the way to you` };
  if (idle > STUCK) return { behind, loss, gone, worry: 3, level: 'bad', says: `not reading for ${lasting(idle * 1000)}${stuck ? `, cut off in ${lasting(cut * 1000)}` : ''}` };
  return { behind, loss, gone, worry: 1, level: 'wait', says: 'catching up' };
}

// worstFirst is the order of the table: this page, then those who need looking after.
export const worstFirst = (a, b) => b.own - a.own || b.worry - a.worry || (a.worry && b.behind - a.behind) || a.n - b.n;
