// How a stream ended, in words, as the table of the streams tells it for a minute.

export const TOLD_FOR = 60_000; // ms
export const MOST = 20; // at one time, the latest

const WORDS = {
  client: 'the reader left',
  reset: 'its connection was reset',
  slow: 'it acknowledged nothing for too long',
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
  slow: 'The server had cut this page off: it acknowledged nothing of what waited for it, for too long.',
  vanished: 'The server had given this page up: it acknowledged nothing any more.',
  error: 'The server could no longer write to this page.',
  panic: 'A fault in the server had ended this page’s stream.',
};

// cutText says to a page why the server had ended its stream, or ''.
export const cutText = (reason) => CUT[reason] ?? '';

// ended is a stream that is over as a row of the table: what the server told of it,
// with what the view says of every reader.
export function ended(end) {
  const { reason, fault, unsent, atLeast } = end;
  // What the network had taken when the stream was cut off may have arrived, or not.
  const lost = atLeast && fault ? ', and what was sent last may not have arrived' : '';
  const missed = unsent > 0 ? `, ${atLeast ? 'at least ' : ''}${unsent.toLocaleString('en')} not sent` : lost;
  return { ...end, over: true, own: false, behind: unsent, loss: Infinity, worry: fault ? 2 : 0.5, level: fault ? 'bad' : 'over', says: `ended: ${WORDS[reason] ?? reason ?? 'not known why'}${missed}` };
}
