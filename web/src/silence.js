// How long a stream has been silent, and what to make of it. A quiet topic is no fault:
// its heartbeat comes all the same. Where more came until now, that nothing comes is
// told, and where the heartbeat is missing, nobody knows whether anybody is there.

const SHORTEST = 3000; // ms of silence that are worth a word
const ON_ITS_WAY = 0.25; // of a heartbeat, by which it may be late

export class Silence {
  since = 0; // when the last byte came

  #heartbeat;
  #usual = 0; // the longest wait, of which half is forgotten with each heartbeat

  constructor(heartbeat) {
    this.#heartbeat = heartbeat;
  }

  begin(at) {
    this.since = at;
    this.#usual = this.#heartbeat;
  }

  heard(at) {
    const waited = at - this.since;
    this.since = at;
    this.#usual = Math.max(waited, this.#usual * 2 ** (-waited / this.#heartbeat));
  }

  // judge returns quiet when nothing has come for longer than is usual on this stream,
  // overdue when not even the heartbeat has, else ''.
  judge(at) {
    const silent = at - this.since;
    if (silent > (1 + ON_ITS_WAY) * this.#heartbeat + 500) return 'overdue';
    return silent > Math.max(SHORTEST, 2 * this.#usual) ? 'quiet' : '';
  }
}
