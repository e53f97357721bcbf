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

let utc = false;

// setUTC chooses between the reader's time zone and UTC for all that follows.
export const setUTC = (on) => { utc = on; };

const two = (n) => String(n).padStart(2, '0');

// parts are the date and the time of day, in the zone that is chosen.
function parts(ms) {
  const d = new Date(ms);
  const get = (name) => d[`get${utc ? 'UTC' : ''}${name}`]();
  return [`${String(get('FullYear')).padStart(4, '0')}-${two(get('Month') + 1)}-${two(get('Date'))}`, `${two(get('Hours'))}:${two(get('Minutes'))}:${two(get('Seconds'))}`];
}

export const timeOfDay = (ms) => parts(ms)[1];

export const timeOfDayMillis = (ms) => `${timeOfDay(ms)}.${String(((Math.floor(ms) % 1000) + 1000) % 1000).padStart(3, '0')}`;

// today is the date, by which times of another day are told from those of this one.
export const today = () => parts(Date.now())[0];

// dateUnlessToday is the date of a time on another day than today, else ''.
export const dateUnlessToday = (ms) => (parts(ms)[0] === today() ? '' : parts(ms)[0]);

// when is the time of day, by time, behind the date where that is not today's.
export const when = (ms, time = timeOfDay) => `${dateUnlessToday(ms)} ${time(ms)}`.trim();

// dateAndTime is the whole of it.
export const dateAndTime = (ms) => {
  const east = utc ? 0 : -new Date(ms).getTimezoneOffset();
  const zone = east === 0 ? 'UTC' : `UTC${east < 0 ? '−' : '+'}${two(Math.floor(Math.abs(east) / 60))}:${two(Math.abs(east) % 60)}`;
  return `${parts(ms)[0]} ${timeOfDayMillis(ms)} ${zone}`;
};

// elapsed is MM:SS, from an hour on HH:MM:SS.
export const elapsed = (ms) => {
  const s = Math.max(0, Math.floor(ms / 1000));
  const tail = `${two(Math.floor(s / 60) % 60)}:${two(s % 60)}`;
  return s < 3600 ? tail : `${two(Math.floor(s / 3600))}:${tail}`;
};

// duration is how long something took: three digits of it, from a minute on in words, as
// the server writes it (formatMS).
export const duration = (ms) => {
  if (!Number.isFinite(ms)) return '';
  if (ms >= 59_950) return lasting(ms);
  if (ms >= 999.5) return `${(ms / 1000).toFixed(ms < 9995 ? 2 : 1)} s`;
  if (ms > 0 && ms < 0.01) return `${(ms * 1000).toFixed(1)} µs`;
  return `${Math.max(0, ms).toFixed(ms < 9.995 ? 2 : ms < 99.95 ? 1 : 0)} ms`;
};

// lasting is a duration that is no measurement, or a long one: in whole seconds, "2 min 5 s".
export const lasting = (ms) => {
  const s = Math.max(0, Math.round(ms / 1000));
  if (ms < 999.5) return `${Math.max(0, Math.round(ms))} ms`;
  if (s < 60) return `${s} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min${s % 60 ? ` ${s % 60} s` : ''}`;
  if (s < 172_800) return `${Math.floor(s / 3600)} h${Math.floor(s / 60) % 60 ? ` ${Math.floor(s / 60) % 60} min` : ''}`;
  return `${Math.floor(s / 86_400)} days`;
};

// pace says how bad a latency is: '', slow, bad.
export const pace = (ms) => (ms >= 1000 ? 'bad' : ms >= 100 ? 'slow' : '');

export function size(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  const [unit, by] = bytes < 1e6 ? ['kB', 1e3] : bytes < 1e9 ? ['MB', 1e6] : ['GB', 1e9];
  return `${(bytes / by).toFixed(1)} ${unit}`;
}

// secondsUntil is how many seconds are left until a time, a begun one among them.
export const secondsUntil = (time, at = Date.now()) => Math.max(0, Math.ceil((time - at) / 1000));
