// A fault of the topic's source or broker, of which the stream has told. The stream does
// not tell that a fault is over.

export class Fault {
  #at = 0; // when it was told; 0: there is none
  #unwell = false; // the topic was seen to be

  // told takes note of a fault, or of one in the past.
  told(past) {
    this.#at = Date.now();
    this.#unwell = past;
  }

  clear() {
    this.#at = 0;
  }

  // came hears of an event that came live. It returns 'over' if a fault is over by
  // that, 'passed' if all that is known is that something went wrong, or ''.
  came() {
    return this.#end();
  }

  // judge takes what the server said of the topic when it was asked at a time. Not every
  // fault makes the topic unwell: one that does is over when it is well again.
  judge(topic, askedAt) {
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
