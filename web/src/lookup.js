// Asks the log for one event, as any client may.

import { describe, told } from './refusal.js';
import { Decoder } from './wire.js';

const PATIENCE = 5000; // ms

export const addressOf = (topic, format, id) => `/sse-stream?topic=${encodeURIComponent(topic)}&format=${format}&event=${encodeURIComponent(id)}`;

const LARGEST = BigInt('18446744073709551615'); // of either number of an ID

// idOf returns an ID as the server writes it, and '' for text that is none: the server
// reads zeros in front, and takes one number for milliseconds.
function idOf(text) {
  const [, ms, sequence = '0'] = /^(\d+)(?:-(\d+))?$/.exec(text) ?? [];
  if (!ms || text.length > 64 || BigInt(ms) > LARGEST || BigInt(sequence) > LARGEST) return '';
  return `${BigInt(ms)}-${BigInt(sequence)}`;
}

// lookUp returns the message of the event in a format, or throws an Error whose
// message says why there is none.
export async function lookUp(topic, text, format) {
  const id = idOf(text);
  if (!id) throw new Error(`“${text.slice(0, 64)}” cannot be the ID of an event: an ID has the form milliseconds-sequence, as 1700000000000-0.`);
  const controller = new AbortController();
  const timer = setTimeout(() => controller.abort(), PATIENCE);
  let response, message;
  try {
    response = await fetch(addressOf(topic, format, id), { headers: { Accept: 'text/event-stream, application/problem+json, application/json' }, cache: 'no-store', signal: controller.signal });
    if (response.status === 200) [message] = new Decoder().push(new Uint8Array(await response.arrayBuffer()));
  } catch {
    const { message: why, detail = '' } = describe({ failure: response ? 'lost' : 'unreachable' }, {});
    throw new Error(controller.signal.aborted ? 'The server did not answer.' : response ? why : `${why} ${detail}`);
  } finally {
    clearTimeout(timer);
  }
  if (message?.id === id && message.event !== 'stream-error') return message;
  if (response.status === 404) throw new Error((await told(response)) || 'The server holds no such event.');
  const { message: why, detail = '' } = describe({ failure: 'refused', status: response.status, detail: await told(response) }, {});
  throw new Error(response.status === 200 ? 'The server has told nothing of this event.' : `${why} ${detail}`.trim());
}

// frame is a message as the server writes it: package sse, Message.AppendTo.
export function frame({ id, event, data }) {
  const lines = data.split('\n').map((line) => `data: ${line}`);
  if (event) lines.unshift(`event: ${event}`);
  if (id) lines.push(`id: ${id}`);
  return `${lines.join('\n')}\n\n`;
}
