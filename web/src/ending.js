// How a stream ended, in words, as the table of the streams tells it for a minute.

const TOLD_FOR = 60_000; // ms
// At one time, the latest: as the server tells them to who comes to look (ended.go).
const MOST_FAULTED = 40;
const MOST_LEFT = 20;

const WORDS = {
  client: 'the reader left',
  reset: 'its connection was reset',
  slow: 'a write waited for it for too long',
  vanished: 'the reader was no longer there',
  error: 'a write failed',
  ended: 'the topic has ended',
  expired: 'its right to read ran out',
  revoked: 'its right to read was taken back',
  drain: 'the server shuts down',
  lifetime: 'it was open long enough, and may come back',
  panic: 'a fault in the server',
};

const CUT = {
  slow: 'The server had cut this page off: a write waited for it for too long.',
  vanished: 'The server had given this page up: it acknowledged nothing any more.',
  error: 'The server could no longer write to this page.',
  panic: 'A fault in the server had ended this page’s stream.',
};

// cutText says to a page why the server had ended its stream, or ''.
export const cutText = (reason) => CUT[reason] ?? '';

// ended is a stream that is over as a row of the table: what the server told of it,
// with what the view says of every reader.
export function ended(end) {
  const { reason, fault, unsent, missed = 0, atLeast } = end;
  const behind = unsent - missed;
  // What the network had taken when the stream was cut off may have arrived, or not.
  const lost = atLeast && fault ? ', and what was sent last may not have arrived' : '';
  const not = behind > 0 ? `, ${atLeast ? 'at least ' : ''}${behind.toLocaleString('en')} not sent` : lost;
  const before = missed ? `, ${missed.toLocaleString('en')} lost before` : '';
  return { ...end, over: true, own: false, behind, loss: Infinity, worry: fault ? 2 : 0.5, level: fault ? 'bad' : 'over', says: `ended: ${WORDS[reason] ?? reason ?? 'not known why'}${not}${before}` };
}

// keepLatest drops from a map, the oldest first, what is not to be told any more at a time:
// readers that come and go do not push out those that a fault has ended.
export function keepLatest(ends, t) {
  const kept = { true: 0, false: 0 };
  for (const [n, { at, fault }] of [...ends].reverse().sort(([, a], [, b]) => b.at - a.at)) {
    if (t - at > TOLD_FOR || ++kept[Boolean(fault)] > (fault ? MOST_FAULTED : MOST_LEFT)) ends.delete(n);
  }
}

const count = (n) => n.toLocaleString('en');

// shownText says how many streams a table shows: of those that are open, and of those
// that have ended. moreFaulted and moreLeft have ended, and the server tells no more of them.
export function shownText({ openShown, open, endedShown, ended: over, moreFaulted, moreLeft }) {
  const all = over + moreFaulted + moreLeft;
  const parts = [];
  if (openShown < open) parts.push(`${count(openShown)} of ${count(open)} open, the worst off first`);
  else if (all) parts.push(`${count(open)} open`);
  if (all) parts.push(`${endedShown < all ? `${count(endedShown)} of ${count(all)} that` : count(all)} ended in the last minute${moreFaulted ? `, ${count(moreFaulted)} of the others by a fault` : ''}`);
  return parts.join(' · ');
}
