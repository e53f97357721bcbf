// A row between the events that is none: a gap, an error of the source, an end.

import { when } from './clock.js';
import { gapText } from './gap.js';

// noteOf makes the row. A gap is told by its data; another note has a text, and may have a
// time.
export function noteOf(kind, text, at, data) {
  const row = document.createElement('div');
  row.className = `feed-note feed-note-${kind}`;
  Object.assign(row.dataset, { note: kind }, data);
  row.append(Object.assign(document.createElement('span'), { textContent: text }));
  if (at) row.append(document.createElement('time'));
  if (at) row.dataset.at = at;
  dressNote(row);
  return row;
}

// isNoted says whether some rows have a note already: a fault that lasts is told anew to who
// comes back, with its own time.
export const isNoted = ({ dataset: { note, at }, firstChild }, rows) => Boolean(at) && rows.some((row) => row?.dataset.note === note && row.dataset.at === at && row.firstChild.textContent === firstChild.textContent);

// dressNote writes what a note says of times.
export function dressNote(row) {
  const { note, at, from, to, reason, missed, since } = row.dataset;
  if (note === 'gap') row.firstChild.textContent = gapText(from, to, reason, Number(missed), Number(since) || 0);
  if (at) row.lastChild.textContent = when(Number(at));
}
