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
    const gone = () => end(reject, new Error('The server no longer holds this event.'));
    const connection = new Connection({ url: () => addressOf(topic, format), maxAttempts: 0 }, {
      change: () => {
        if (connection.state === 'error') end(reject, new Error(`${connection.error.message} ${connection.error.detail}`.trim()));
        else if (connection.state === 'disconnected') gone();
      },
      message: (message) => {
        if (message.event === 'ping' || (message.event === 'connected' && !message.id)) return;
        if (message.fields) {
          if (message.event === 'gap' && compareIDs(String(message.fields.to), id) >= 0) gone();
        } else if (message.id === id) end(resolve, message);
        else if (compareIDs(message.id, id) > 0) gone();
      },
    });
    const timer = setTimeout(gone, 5000);
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
