// The whole payload of an event. A row shows a large one in part: the server is asked
// for the rest.

import { lookUp } from './lookup.js';
import { isPartial, payload } from './row.js';

// whole returns the payload of a row's event as text, or throws an Error that says why
// the server does not tell it.
export async function whole(item, topic) {
  if (!isPartial(item)) return payload(item);
  const { id, content } = item.dataset;
  if (content === 'json') return (await lookUp(topic, id, 'data')).data; // with every digit
  const { data, data_base64: bytes } = JSON.parse((await lookUp(topic, id, 'json')).data);
  return bytes === undefined ? String(data) : atob(bytes);
}
