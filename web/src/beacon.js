// Tells the server when events arrived and were on screen, so that the trace of
// an event can end where the reader sits. No tracing library: the server makes the
// span.

import { unread, watch } from './busy.js';
import { now, offset } from './clock.js';
import { at } from './node.js';

const MAX_REPORTS = 100; // what the server takes in one beacon
const EVERY = 1000; // ms
const MAX_ASTRAY = 3; // times in a row that reports reach another node

let own = {}; // the page's own connection, and its proof: what connected told
let reports = [];
let there = false;
let astray = 0;
let timer = 0;

// setConnection names the page's own connection, on which the events come that are
// reported from now on: the server believes reports about no other.
export function setConnection(connection, proof) {
  if (own.connection === connection) return;
  send();
  own = { connection, proof };
  astray = 0;
}

// setOpen says whether the stream is open, or is over without a fault: what came last is
// reported all the same. Else the server is likely away, and a beacon that meets nobody is
// an error in the console.
export function setOpen(open, over = false) {
  there = open || over;
  watch(open);
  if (!there) reports = [];
}

// sampled tells whether the trace of an event is kept anywhere.
export const sampled = (traceparent) => /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/.test(traceparent ?? '')
  && (parseInt(traceparent.slice(-2), 16) & 1) === 1;

// report takes an event, when the page had it, and when it was on screen: 0 if it was not
// when it came.
export function report(topic, item, received, shown) {
  const { id, traceparent } = item.dataset;
  if (!sampled(traceparent)) return;
  reports.push({ topic, id, traceparent, received, shown: shown || undefined });
  if (reports.length >= MAX_REPORTS) send();
  else timer ||= setTimeout(send, EVERY);
}

export function send() {
  clearTimeout(timer);
  timer = 0;
  if (!reports.length || !there || astray >= MAX_ASTRAY) {
    reports = [];
    return;
  }
  for (const report of reports) report.busy = Math.round(unread(report.received)) || undefined;
  const body = JSON.stringify({ now: now(), offset, ...own, reports });
  reports = []; // kept for nobody: a beacon that cannot be sent is worth no memory
  post(body, own.connection);
}

async function post(body, connection) {
  try {
    const { status } = await fetch(at('/telemetry/browser'), { method: 'POST', headers: { 'Content-Type': 'application/json' }, body, keepalive: true });
    if (own.connection === connection) astray = status === 409 ? astray + 1 : 0;
  } catch {
    // The server is away, or a content blocker is in between. The page works without.
  }
}

addEventListener('pagehide', send);
document.addEventListener('visibilitychange', () => {
  if (document.hidden) send();
});
