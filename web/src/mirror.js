// What a tab shows of a connection, its own or that of the tab that leads.

// AT_REST is how it stands before there is one. connection.js says what each means.
export const AT_REST = {
  state: 'disconnected', error: null, retryAt: 0, attempt: 0, openedAt: 0, downSince: 0, slow: false, gaveUp: false,
  frozenUntil: 0, silent: '', heardAt: 0, bytes: 0, events: 0,
};

// mirrorOf is that of a connection.
export const mirrorOf = (connection) => Object.fromEntries(Object.keys(AT_REST).map((name) => [name, connection[name]]));
