// A fault of the topic's source or broker, of which the stream has told. The stream does
// not tell that a fault is over; nor of one that is not the third in a row, such as that
// of a source that waits for its file, or that gives an event before each of its failures.

const KINDS = {
  missing: 'what it reads is not there', denied: 'it may not read what it is to read', invalid: 'what it gives are no events', timeout: 'it took too long', panic: 'it broke down', unavailable: 'the event broker cannot be reached, or takes no events',
};

// illText says what is wrong with a topic that the server calls unwell.
export function illText({ source, source_fault: kind, broker }) {
  if (broker && broker !== 'up') return 'The event broker cannot be reached, or takes no events. What is published meanwhile is refused or comes later. The stream stays open.';
  return `The source of this topic ${source === 'down' ? 'has failed repeatedly' : 'has failed'}${KINDS[kind] ? `: ${KINDS[kind]}` : ''}. The stream stays open, and goes on when it recovers.`;
}

// sinceOf is when a topic came to be as the server said when it was asked at a time: unwell,
// or well again. seconds are of the source and of the broker.
export function sinceOf({ status, broker, source_state_seconds: source = Infinity, broker_state_seconds: ofBroker = Infinity }, askedAt) {
  const seconds = status === 'ok' ? Math.min(source, ofBroker) : broker && broker !== 'up' ? ofBroker : source;
  return askedAt - (seconds < Infinity ? seconds * 1000 : 0);
}

export class Fault {
  #at = 0; // when it was told; 0: there is none
  #unwell = false; // the topic was seen to be
  #ill = 0; // how often in a row it was, without a word of it on the stream

  // told takes note of a fault, or of one in the past.
  told(past) {
    this.#at = Date.now();
    this.#unwell = past;
    this.#ill = 0;
  }

  // suspects says that the topic was unwell once: whether it stays so, the next answer says.
  get suspects() {
    return this.#ill === 1;
  }

  clear() {
    this.#at = this.#ill = 0;
  }

  // came hears of an event that came live. It returns 'over' if a fault is over by
  // that, 'passed' if all that is known is that something went wrong, or ''.
  came() {
    return this.#end();
  }

  // judge takes what the server said of the topic when it was asked at a time. Not every
  // fault makes the topic unwell: one that does is over when it is well again. It returns
  // 'ill' once when the topic is unwell, twice in a row, and the stream has not told.
  judge(topic, askedAt) {
    if (topic && !this.#at) {
      const told = this.#ill > 1;
      this.#ill = topic.status === 'ok' ? 0 : this.#ill + 1;
      return this.#ill === 2 ? 'ill' : told && !this.#ill ? 'passed' : '';
    }
    if (!topic || !this.#at || askedAt < this.#at) return '';
    if (topic.status === 'ok') return this.#unwell ? this.#end() : '';
    this.#unwell = true;
    return '';
  }

  #end() {
    if (!this.#at) return '';
    this.#at = 0;
    return this.#unwell ? 'over' : 'passed';
  }
}
