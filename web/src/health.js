// What the server knows of this page's own connection.

import { at } from './node.js';

const EVERY = 5000;
const SURE = 2000; // after an answer of which one is not sure

let timer = 0;
let asking = '';
let under = new AbortController(); // of the question that is under way
let refused = false; // the details may be served elsewhere; one refusal is enough to know

let ask = () => {}; // the question that is planned

// watch shows what the server knows of a connection, and of its topic if that is given:
// show(connection, topic, when it was asked), which returns whether it is to be asked again
// soon, since one answer is not enough.
export function watch(connection, show, topic = '') {
  stop();
  if (refused || !connection) return;
  asking = connection;
  ask = () => question(connection, topic, show);
  timer = setTimeout(ask, 600);
}

// soon brings the next question forward.
export function soon() {
  if (!asking) return;
  clearTimeout(timer);
  under.abort();
  ask();
}

export function stop() {
  clearTimeout(timer);
  under.abort(); // about a connection that is over the answer is an error
  asking = '';
}

// fault asks of a connection that is over whether a fault has ended it: {reason,
// seconds_ago}, or undefined. Its node alone knows.
export async function fault(connection, node) {
  if (refused || !connection) return undefined;
  try {
    const response = await fetch(at(`/sse-health?connection=${encodeURIComponent(connection)}`, node), { cache: 'no-store', signal: AbortSignal.timeout(EVERY) });
    return response.ok ? (await response.json()).ended_connections?.[connection] : undefined;
  } catch {
    return undefined; // it is not told, then
  }
}

export const disable = () => { refused = true; };

async function question(connection, topic, show) {
  let details, about;
  const askedAt = Date.now();
  under = new AbortController();
  const { signal } = under;
  try {
    const response = await fetch(at(`/sse-health?connection=${encodeURIComponent(connection)}${topic && `&topic=${encodeURIComponent(topic)}`}`), { cache: 'no-store', signal: AbortSignal.any([signal, AbortSignal.timeout(EVERY)]) });
    if (response.status === 403) refused = true;
    const answer = response.ok ? await response.json() : {};
    details = answer.connection_details?.[connection];
    about = answer.topics?.[topic];
  } catch {
    // The stream itself tells that the server is away.
  }
  if (asking !== connection || signal.aborted) return;
  const unsure = show(details ?? {}, about, askedAt);
  if (!refused) timer = setTimeout(ask, unsure === true ? SURE : EVERY);
}
