// The events that came since the reader left the newest.

export class Unread {
  #rows = new Set();
  #gone = 0; // such events that have no row any more

  came(row) {
    this.#rows.add(row);
  }

  // lost takes note of an event that gets no row, or whose row goes before it was in view.
  lost(row) {
    if (!row || this.#rows.delete(row)) this.#gone++;
  }

  seen(row) {
    this.#rows.delete(row);
  }

  clear() {
    this.#rows.clear();
    this.#gone = 0;
  }

  // among returns those of some rows that the filter shows.
  among(rows) {
    return [...rows].filter((row) => this.#rows.has(row) && !row.hidden);
  }

  // count is how many there are beside so many that have rows, and more, whether there may
  // be others: whether a filter would show what has no row nobody knows. waiting get theirs.
  count(withRows, waiting, isFiltered) {
    return isFiltered ? { events: withRows, more: this.#gone > 0 } : { events: withRows + waiting + this.#gone, more: false };
  }
}
