// The connections of this page, so that it takes none of its own for another reader: it has
// a new one after each cut and each reload, and one for each question about an event.

const MOST = 24; // the newest
const mine = new Set();

// noteMine notes a connection, by the name that the server has given it.
export function noteMine(connection) {
  mine.delete(connection);
  if (connection) mine.add(connection);
  if (mine.size > MOST) mine.delete(mine.values().next().value);
}

// allMine are those that are noted.
export const allMine = () => [...mine];
