// The reader's right. Where reading needs one, the page asks for a token, once: the
// server keeps it in a cookie that no script can read, until the browser is closed.

import { told } from './refusal.js';

const byID = (id) => document.getElementById(id);
const show = (id, shown) => { if (byID(id)) byID(id).hidden = !shown; };

// listen has the form ask the server about a token for a topic, or for any.
export function listen(topic) {
  byID('ask-form')?.addEventListener('submit', (event) => {
    event.preventDefault();
    use(byID('ask-token').value.trim(), topic());
  });
  byID('forget')?.addEventListener('click', async () => {
    await fetch('/ticket', { method: 'DELETE' });
    location.reload();
  });
}

export const BEARER = ' -H "Authorization: Bearer $TOKEN"'; // what curl is to say besides, where a token is needed

// readToken is that where reading needs a token.
export const readToken = () => (document.body.dataset.publishes === undefined ? '' : BEARER);

// asks says whether there is a place on this page that asks for a token.
export const asks = () => byID('ask') !== null;

// ask asks for another token, once the one that there was is good no longer. A page that
// asks already says nothing new.
export function ask(why) {
  if (!asks() || !byID('ask').hidden) return;
  show('allowed', false);
  show('ask', true);
  byID('ask-said').textContent = why;
}

async function use(token, topic) {
  const said = byID('ask-said');
  const keep = (address) => fetch(address, { method: 'POST', headers: { Authorization: `Bearer ${token}`, Accept: 'application/json' } });
  try {
    let answer = await keep(`/ticket?keep=1${topic && `&topic=${encodeURIComponent(topic)}`}`);
    if (answer.status === 403 && topic) answer = await keep('/ticket?keep=1');
    if (answer.ok) return location.reload(); // with the topics that it allows
    said.textContent = await told(answer);
  } catch (error) {
    said.textContent = error instanceof TypeError && /[^\x20-\x7e]/.test(token) ? 'That is no token.' : 'The server cannot be reached.';
  }
  byID('ask-token').select();
}
