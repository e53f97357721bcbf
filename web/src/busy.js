// For how long the page's main thread was at something else: an event that came
// meanwhile had to wait, and that was not the network. Browsers tell of tasks of
// 50 ms and more; those that do not (Firefox, Safari) tell of none.

import { now } from './clock.js';

const KEPT = 64; // tasks
const CLOSE = 100; // ms between the end of a task and what waited for it

// busyBefore returns how many ms before a time the tasks took that led up to it,
// one close to the other. Tasks are {from, to}, the oldest first.
export function busyBefore(tasks, at) {
  let busy = 0;
  for (const { from, to } of tasks.toReversed()) {
    if (from >= at) continue;
    const end = Math.min(to, at);
    if (at - end > CLOSE) break;
    busy += end - from;
    at = from;
  }
  return busy;
}

// watch returns a function that tells busyBefore of a time on this page. The
// browser tells of a task a little after its end, so ask late.
export function watch() {
  if (!globalThis.PerformanceObserver?.supportedEntryTypes?.includes('longtask')) return () => 0;
  const tasks = [];
  const take = (entries) => {
    const began = now() - performance.now(); // by the clock of all times here
    for (const { startTime, duration } of entries) tasks.push({ from: began + startTime, to: began + startTime + duration });
    tasks.splice(0, tasks.length - KEPT);
  };
  const observer = new PerformanceObserver((list) => take(list.getEntries()));
  observer.observe({ type: 'longtask' });
  return (at) => {
    take(observer.takeRecords());
    return busyBefore(tasks, at);
  };
}
