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

// dressNote writes what a note says of times.
export function dressNote(row) {
  const { note, at, from, to, reason, missed, since } = row.dataset;
  if (note === 'gap') row.firstChild.textContent = gapText(from, to, reason, Number(missed), Number(since) || 0);
  if (at) row.lastChild.textContent = when(Number(at));
}
