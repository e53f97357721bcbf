// What a tab that follows lacks, read by a connection of its own, which ends with that.

import { Connection } from './connection.js';
import { compareIDs, isID } from './wire.js';

const HISTORY = 50; // events for a tab that has seen none

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

// keptFor is what a leader hands to a tab whose last event is lastID, of what it keeps, and
// whether the tab misses more: {until} is the first event that is kept, '' if there is none.
// resumed says that the leader's stream began behind an event.
export function keptFor(lastID, kept, resumed) {
  const isEvent = ({ message }) => !message.fields && message.id;
  if (lastID) {
    const first = kept.find(isEvent)?.message.id;
    const missing = first && compareIDs(first, lastID) > 0 ? { until: first } : null;
    return { kept: kept.filter((entry) => !isEvent(entry) || compareIDs(entry.message.id, lastID) > 0), missing };
  }
  const newest = kept.filter(isEvent).slice(-HISTORY);
  return { kept: newest, missing: resumed && newest.length < HISTORY ? { until: newest[0]?.message.id ?? '' } : null };
}
