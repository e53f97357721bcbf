// Saves events as a file of NDJSON: one line of JSON for each.

import { toLine } from './row.js';
import { whole } from './whole.js';

const PATIENCE = 3; // events in a row that the server does not tell, after which it is not asked again

// lines returns the events as lines, and how many of them are cut.
export async function lines(items, topic) {
  const list = [];
  let cut = 0;
  let failures = 0;
  for (const item of items) {
    let text;
    if (failures < PATIENCE || item.dataset.partial === undefined) {
      try {
        text = await whole(item, topic);
        failures = 0;
      } catch {
        failures++;
      }
    }
    if (text === undefined) cut++;
    list.push(`${toLine(item, topic, text)}\n`);
  }
  return { list, cut };
}

// save returns how many events of the file are cut.
export async function save(items, topic) {
  const { list, cut } = await lines(items, topic);
  const url = URL.createObjectURL(new Blob(list, { type: 'application/x-ndjson' }));
  const link = Object.assign(document.createElement('a'), { href: url, download: `${topic}.ndjson` });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
  return cut;
}
