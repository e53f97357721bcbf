// For how long the page read nothing: its main thread was at something else, or the
// page was frozen. An event that came meanwhile had to wait, and that was not the
// network. Some browsers tell of tasks of 50 ms and more; in all of them a timer that
// comes late tells of them.

import { now } from './clock.js';

const KEPT = 128; // times
const CLOSE = 100; // ms between the end of one and what waited for it
const EVERY = 100; // ms between two ticks of the timer
const LATE = 50; // ms

let times = []; // {from, to}
let timer = null;
let take = () => {};

// busyBefore returns for how many ms before a time nothing was read, by times that led
// up to it, one close to the other. They may overlap.
export function busyBefore(busy, at) {
  let sum = 0;
  for (const { from, to } of busy.toSorted((a, b) => b.to - a.to)) {
    if (from >= at) continue;
    const end = Math.min(to, at);
    if (at - end > CLOSE) break;
    sum += end - from;
    at = from;
  }
  return sum;
}

// unread returns busyBefore of a time on this page. A browser tells of a task a little
// after its end, so ask late.
export function unread(at) {
  take();
  return busyBefore(times, at);
}

// paused says that the page read nothing from one time to another.
export function paused(from, to) {
  times.push({ from, to });
  if (times.length > KEPT) times = times.slice(-KEPT / 2);
}

// watch begins to look out for tasks, or ends.
export function watch(on) {
  if (on === (timer !== null)) return;
  clearInterval(timer);
  timer = null;
  if (!on) return;
  let due = 0; // unknown
  timer = setInterval(() => {
    const at = now();
    if (due && at - due > LATE) paused(due, at);
    due = document.hidden ? 0 : at + EVERY; // out of sight timers are late anyway
  }, EVERY);
}

if (globalThis.PerformanceObserver?.supportedEntryTypes?.includes('longtask')) {
  const took = (entries) => {
    const began = now() - performance.now(); // by the clock of all times here
    for (const { startTime, duration } of entries) paused(began + startTime, began + startTime + duration);
  };
  const observer = new PerformanceObserver((list) => took(list.getEntries()));
  observer.observe({ type: 'longtask' });
  take = () => took(observer.takeRecords());
}
