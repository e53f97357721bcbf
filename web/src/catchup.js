// What a tab that follows lacks, read by a connection of its own, which ends with that.

import { Connection } from './connection.js';
import { compareIDs, isID } from './wire.js';

// catchUp reads what came between the last event that a tab has, if it has any, and an
// event that it will be handed. Where there is none, it reads all that the server holds
// at that moment. done tells whether that was had; end gives it up.
export function catchUp(options, lastID, until, take) {
  let end;
  const done = new Promise((resolve) => {
    let newest = '';
    const own = new Connection(options, {
      change: () => { if (own.state === 'error' || own.state === 'disconnected') end(false); },
      message: (message, run) => {
        if (message.event === 'connected') {
          const { position, live } = message.fields;
          newest = isID(live) ? live : position;
          if (newest === position && (newest || !until)) end(true); // nothing more is held
          return;
        }
        if (until && message.id && compareIDs(message.id, until) >= 0) return end(true);
        take(message, run);
        if (newest && message.id && compareIDs(message.id, newest) >= 0) end(true);
      },
    });
    end = (all = true) => {
      own.dispose();
      resolve(all);
    };
    own.lastID = lastID;
    own.connect();
  });
  return { done, end };
}
