// What the server knows of this page's own connection.

const EVERY = 5000;

let timer = 0;
let asking = '';
let refused = false; // the details may be served elsewhere; one refusal is enough to know

export function watch(connection, show) {
  stop();
  if (refused || !connection) return;
  asking = connection;
  timer = setTimeout(() => ask(connection, show), 600); // the first segment is not made at once
}

export function stop() {
  clearTimeout(timer);
  asking = '';
}

export const disable = () => { refused = true; };

async function ask(connection, show) {
  let details;
  try {
    const response = await fetch(`/sse-health?connection=${encodeURIComponent(connection)}`, { cache: 'no-store', signal: AbortSignal.timeout(EVERY) });
    if (response.status === 403 || response.status === 404) refused = true;
    details = response.ok ? (await response.json()).connection_details?.[connection] : undefined;
  } catch {
    // The stream itself tells that the server is away.
  }
  if (asking !== connection) return;
  show(details ?? {});
  if (!refused) timer = setTimeout(() => ask(connection, show), EVERY);
}
