// Which topics have ended, and why, as far as this page has been told.

const ends = new Map(); // topic: why

// endOf says why a topic has ended, or ''.
export const endOf = (topic) => ends.get(topic) ?? '';

// noteEnd takes note of why a topic has ended, or with '' that it goes on: the name of
// one on demand is free again after a while. The choice of the topic shows it.
export function noteEnd(topic, why) {
  if (endOf(topic) === why) return;
  if (why) ends.set(topic, why);
  else ends.delete(topic);
  mark(topic);
}

// mark shows in the choice of the topic whether it has ended.
export function mark(topic) {
  const input = document.getElementById('topics')?.querySelector(`input[value="${CSS.escape(topic)}"]`);
  if (!input) return;
  const why = endOf(topic);
  const label = input.parentElement;
  label.toggleAttribute('data-ended', why !== '');
  label.title = why ? `${topic} ${sayEnd(why)}` : topic;
  input.ariaDescription = why ? 'has ended' : null;
}

// sayEnd says it in words: the server has a word of its own where nobody gave a reason.
export const sayEnd = (why) => (why === 'ended' ? 'has ended' : `has ended: ${why}`);
