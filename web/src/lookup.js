// Asks the log for one event, as any client may: a stream that begins just behind
// the event before it, and ends with it.

import { Connection } from './connection.js';
import { before, compareIDs } from './wire.js';

export const addressOf = (topic, format, lastID = '') => `/sse-stream?topic=${encodeURIComponent(topic)}&format=${format}${lastID ? `&last_event_id=${encodeURIComponent(lastID)}` : ''}`;

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
  if (id === '0-0') throw new Error('The server holds no such event.'); // there is nothing before it
  return new Promise((resolve, reject) => {
    const end = (settle, value) => {
      connection.dispose();
      clearTimeout(timer);
      settle(value);
    };
    const fail = (text) => end(reject, new Error(text));
    const none = () => fail('The server holds no such event.');
    let answered = false;
    const connection = new Connection({ url: () => addressOf(topic, format), maxAttempts: 0 }, {
      change: () => {
        if (connection.state === 'error') fail(`${connection.error.message} ${connection.error.detail}`.trim());
        else if (connection.state === 'disconnected') none();
      },
      message: (message) => {
        answered = true;
        if (message.event === 'ping' || (message.event === 'connected' && !message.id)) return;
        if (message.fields) {
          if (message.event === 'gap' && message.fields.reason === 'unknown') none();
          else if (message.event === 'gap' && compareIDs(String(message.fields.to), id) >= 0) fail('The server does not hold this event.');
        } else if (message.id === id) end(resolve, message);
        else if (compareIDs(message.id, id) > 0) none();
      },
    });
    const timer = setTimeout(() => fail(answered ? 'The server has told nothing of this event.' : 'The server did not answer.'), 5000);
    connection.lastID = before(id);
    connection.connect();
  });
}

// frame is a message as the server writes it: package sse, Message.AppendTo.
export function frame({ id, event, data }) {
  const lines = data.split('\n').map((line) => `data: ${line}`);
  if (event) lines.unshift(`event: ${event}`);
  if (id) lines.push(`id: ${id}`);
  return `${lines.join('\n')}\n\n`;
}
