// What the server knows of this page's own connection.

import { at } from './node.js';

const EVERY = 5000;

let timer = 0;
let asking = '';
let question = new AbortController();
let refused = false; // the details may be served elsewhere; one refusal is enough to know

export function watch(connection, show) {
  stop();
  if (refused || !connection) return;
  asking = connection;
  timer = setTimeout(() => ask(connection, show), 600);
}

export function stop() {
  clearTimeout(timer);
  question.abort(); // about a connection that is over the answer is an error
  asking = '';
}

export const disable = () => { refused = true; };

async function ask(connection, show) {
  let details;
  question = new AbortController();
  const { signal } = question;
  try {
    const response = await fetch(at(`/sse-health?connection=${encodeURIComponent(connection)}`), { cache: 'no-store', signal: AbortSignal.any([signal, AbortSignal.timeout(EVERY)]) });
    if (response.status === 403) refused = true;
    details = response.ok ? (await response.json()).connection_details?.[connection] : undefined;
  } catch {
    // The stream itself tells that the server is away.
  }
  if (asking !== connection) return;
  show(details ?? {});
  if (!refused) timer = setTimeout(() => ask(connection, show), EVERY);
}
