// Asks the log for one event, as any client may: a stream that begins just behind
// the event before it, and ends with it.

import { Connection } from './connection.js';
import { before, compareIDs } from './wire.js';

export const addressOf = (topic, format, lastID = '') => `/sse-stream?topic=${encodeURIComponent(topic)}&format=${format}${lastID ? `&last_event_id=${encodeURIComponent(lastID)}` : ''}`;

// lookUp returns the message of the event in a format, or throws an Error whose
// message says why there is none.
export function lookUp(topic, id, format) {
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
