// Clocks. Times on the page are milliseconds since 1970 by this machine's clock,
// with the fraction that Date.now lacks.

let drift = 0;

export const now = () => performance.timeOrigin + performance.now() + drift;

// performance.now stands still while a laptop sleeps, and does not follow when
// the system clock is set.
export function resync() {
  const behind = Date.now() - (performance.timeOrigin + performance.now());
  drift = Math.abs(behind) > 25 ? behind : 0;
}

// offset is by how much the server's clock is ahead of this one.
export let offset = 0;

// synchronise takes one exchange with the server: the request was sent at from,
// the server read its clock (at), the answer was here at to. Where the clocks
// could be the same they are taken for the same: half a round trip of doubt
// would spoil a measurement of less than a millisecond.
export function synchronise(from, at, to) {
  if (!Number.isFinite(at)) return;
  const whole = Number.isInteger(at) ? 1 : 0; // a time in whole milliseconds was cut
  if (at + whole >= from && at <= to) offset = 0;
  else offset = at + whole / 2 - (from + to) / 2;
}

const two = (n) => String(n).padStart(2, '0');

export const timeOfDay = (ms) => {
  const d = new Date(ms);
  return `${two(d.getHours())}:${two(d.getMinutes())}:${two(d.getSeconds())}`;
};

export const timeOfDayTenths = (ms) => `${timeOfDay(ms)}.${Math.floor((ms % 1000) / 100)}`;

// elapsed is MM:SS, from an hour on HH:MM:SS.
export const elapsed = (ms) => {
  const s = Math.max(0, Math.floor(ms / 1000));
  const tail = `${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
  return s < 3600 ? tail : `${two(Math.floor(s / 3600))}:${tail}`;
};
