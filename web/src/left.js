// What a page knew of the topics that the reader has left, so that Back goes on where it
// was: an event that was on screen live is not taken for one of the past.

import { FRESH } from './memory.js';

const KEPT = 4; // topics

export class Left {
  #topics = new Map(); // by name, who was left last at the end

  // keep takes what was known of known.topic.
  keep(known) {
    this.#topics.delete(known.topic);
    this.#topics.set(known.topic, { known, at: Date.now() });
    if (this.#topics.size > KEPT) this.#topics.delete(this.#topics.keys().next().value);
  }

  // take returns it once, or undefined: only the latest topics are kept, and for an hour.
  take(topic) {
    const { known, at } = this.#topics.get(topic) ?? {};
    this.#topics.delete(topic);
    return known && Date.now() - at < FRESH ? known : undefined;
  }
}
