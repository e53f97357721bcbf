// How a reader of a topic does, for the view of the streams: how far it is behind,
// and what will come of it. The server knows what it has handed to the network, and
// whether that takes more; what a client has read, the client alone knows.

import { lasting, size } from './clock.js';

const HELD = 2000; // bytes in the network that are more than what is on its way
const STUCK = 3; // s from which on it is bad that nothing is taken, as the legend says

// judge takes what the server tells of a reader and of its topic, and how many of
// the events that were sent are read: of its own stream a page knows it. What the
// network holds for the page has left the server's log, and is behind all the same.
// missed is how many events it has lost, and knows of.
// back is how far the server has it from the topic's newest event, which is more than
// lag for a reader of some subjects; distance is that of what is read.
// left and cut are the seconds until it loses events, and until it is cut off because
// it takes nothing; -1 when it does not come to that. first is what comes first of them.
export function judge({ lag, events, idle, waiting, left, cut, lost = 0, back = lag, missed = 0, protocol }, topic, read) {
  const unread = read === undefined ? 0 : Math.max(0, events - read);
  const behind = lag + unread;
  const loss = left < 0 ? Infinity : left; // s
  const before = missed ? `, ${missed.toLocaleString('en')} lost before` : '';
  const is = (worry, level, says, first = '') => ({ behind, distance: back + unread, loss: topic ? loss : Infinity, gone: lost, first, worry, level, says: says + before });
  if (!topic) return is(0, 'good', 'all sent');
  if (idle > 0) {
    const first = cut >= 0 && (lost || cut <= loss) ? 'cut' : loss < Infinity && !lost ? 'loss' : '';
    const next = { cut: `, cut off in ${lasting(cut * 1000)}`, loss: `, would lose events in ${lasting(loss * 1000)}` }[first] ?? '';
    // On HTTP/2 the server does not see what is taken of a write that waits.
    const says = protocol === '2' ? `a write has waited for ${lasting(idle * 1000)}` : `has acknowledged nothing for ${lasting(idle * 1000)}`;
    return idle >= STUCK ? is(3, 'bad', `${says}${next}`, first) : is(2, 'wait', says, first);
  }
  if (unread > 1 || (unread && !lag)) return is(2, 'wait', `${unread.toLocaleString('en')} on the way to you`);
  if (behind === 0) return waiting > HELD ? is(2, 'wait', `all sent, ${size(waiting)} not taken yet`) : is(0, 'good', read === undefined ? 'all sent' : 'caught up');
  // What came within the last second is on its way.
  if (lag <= Math.max(2, topic.lastMinute / 60)) return is(0, 'good', 'being sent');
  return is(1, 'wait', 'still taking');
}

// worstFirst is the order of the table: this page, then those who need looking after.
export const worstFirst = (a, b) => b.own - a.own || b.worry - a.worry || (a.worry && b.behind - a.behind) || a.n - b.n;

// isBehind says that events wait for a reader that does not keep up. What was sent, and
// waits in the network, is no longer behind.
const isBehind = (reader) => reader.level !== 'good' && reader.behind > 0;

const count = (n, one, many) => (n ? `${n.toLocaleString('en')} ${n === 1 ? one : many}` : '');

// together says how the readers at one place do.
export function together({ readers, own }) {
  const [one] = readers;
  const behind = one.behind ? `${one.behind.toLocaleString('en')} behind` : '';
  if (readers.length === 1 && own) return behind ? `you: ${behind}` : 'you';
  if (readers.length === 1) return [one.says, behind, one.gone ? `${one.gone.toLocaleString('en')} of them lost` : ''].filter(Boolean).join(', ');
  const well = readers.filter((reader) => reader.level === 'good').length;
  const late = readers.filter(isBehind).length;
  return [count(well, 'keeps up', 'keep up'), count(late, 'behind', 'behind'), count(readers.length - well - late, 'has not taken all yet', 'have not taken all yet')].filter(Boolean).join(', ');
}

// inAll says how many readers of a topic are not where they are to be.
export function inAll(readers) {
  const late = readers.filter(isBehind);
  const furthest = Math.max(...late.map((reader) => reader.behind));
  const taking = readers.filter((reader) => reader.level !== 'good' && !isBehind(reader)).length;
  return [late.length ? `${late.length} behind, the furthest by ${furthest} events` : '', count(taking, 'has not taken all yet', 'have not taken all yet')].filter(Boolean).join(', ') || 'none is behind';
}

const GRAVE = { good: 0, wait: 1, bad: 2 };
const furthest = ({ readers }) => Math.max(...readers.map((reader) => reader.behind));

// worseFirst is the order in which places get their words, as far as there is room.
export const worseFirst = (a, b) => GRAVE[b.level] - GRAVE[a.level] || furthest(b) - furthest(a) || b.own - a.own;
