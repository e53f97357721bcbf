// Saves events as a file of NDJSON: one line of JSON for each.

import { toLine } from './row.js';

export function save(items, topic) {
  const text = items.map((item) => `${toLine(item, topic)}\n`).join('');
  const url = URL.createObjectURL(new Blob([text], { type: 'application/x-ndjson' }));
  const link = Object.assign(document.createElement('a'), { href: url, download: `${topic}.ndjson` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
