// The reader's right. Where reading needs one, the page asks for a token, once: the
// server keeps it in a cookie that no script can read, until the browser is closed.
// Where publishing alone needs one, the page asks when it is to publish.

import { told } from './refusal.js';

const byID = (id) => document.getElementById(id);
const show = (id, shown) => { if (byID(id)) byID(id).hidden = !shown; };

let hint = ''; // what the form says before it is used
let misses = false; // it says that a token is not good for the topic

// listen has the form ask the server about a token for a topic, or for any. accepted()
// is called before the page is loaded again with a token.
export function listen(topic, accepted) {
  hint = byID('ask-said')?.textContent ?? '';
  byID('ask-form')?.addEventListener('submit', (event) => {
    event.preventDefault();
    use(byID('ask-token').value.trim(), asksPublisher() ? '' : topic(), accepted);
  });
  byID('forget')?.addEventListener('click', async () => {
    await fetch('/ticket', { method: 'DELETE' });
    location.reload();
  });
}

// asks says whether there is a place on this page that asks for a token.
export const asks = () => byID('ask') !== null;

// asksReader says whether there is a place on this page that asks for a token to read.
export const asksReader = () => byID('ask')?.dataset.for === 'read';

// asksPublisher says whether there is one that asks for a token to publish, and no other.
export const asksPublisher = () => byID('ask')?.dataset.for === 'publish';

// isAsking says whether the page asks now: it has no token, or none that is good any longer.
export const isAsking = () => byID('ask')?.hidden === false;

// isReaderAsked says whether it asks for one by which to read: which topics there are is not
// known then.
export const isReaderAsked = () => asksReader() && isAsking();

// askReader asks for another token, once the one that there was is good no longer: it does
// not publish either.
export function askReader(why) {
  if (asksReader()) ask(why);
}

// ask is for both. A page that asks already says nothing new.
function ask(why) {
  const says = !isAsking() || byID('allowed')?.hidden === false;
  show('allowed', false);
  show('ask', true);
  delete document.body.dataset.publishes;
  if (says) byID('ask-said').textContent = why || hint;
}

// askPublisher asks for a token by which this page publishes.
export function askPublisher(why = '') {
  ask(why);
  byID('ask-token').focus();
}

// admitted hears that the page's stream is open. A page that still asks for a token to read
// is loaded again, with what the token allows that the browser keeps now: the last one is
// good again, or another tab gave one. The server says first whether it would ask again: the
// stream may be another tab's, and older than the token, and the page would be loaded for ever.
export async function admitted() {
  if (!isReaderAsked()) return;
  try {
    const answer = await fetch(location.href, { headers: { Accept: 'text/html' }, cache: 'no-store' });
    const next = new DOMParser().parseFromString(await answer.text(), 'text/html');
    if (answer.ok && next.getElementById('connect') && next.getElementById('ask')?.hidden !== false) location.reload();
  } catch {
    // The server is away: the next stream tells it again.
  }
}

// topicChosen takes back what was said of a token for the topic before.
export function topicChosen() {
  if (misses) byID('ask-said').textContent = hint;
  misses = false;
}

async function use(token, topic, accepted) {
  const said = byID('ask-said');
  misses = false;
  const keep = (address) => fetch(address, { method: 'POST', headers: { Authorization: `Bearer ${token}`, Accept: 'application/json' } });
  try {
    let answer = await keep(`/ticket?keep=1${topic && `&topic=${encodeURIComponent(topic)}`}`);
    if (answer.status === 403 && topic) answer = await keep('/ticket?keep=1');
    if (answer.ok) {
      accepted();
      return location.reload(); // with the topics that it allows
    }
    misses = answer.status === 403;
    said.textContent = misses && byID('topic-form') ? `The token does not read ${topic ? `“${topic}”` : 'what is listed'}. Open a topic that it reads, by its name, and use it then.` : await told(answer);
  } catch (error) {
    said.textContent = error instanceof TypeError && /[^\x20-\x7e]/.test(token) ? 'That is no token.' : 'The server cannot be reached.';
  }
  byID('ask-token').select();
}
