// Keyboard shortcuts, and the list of them, with a switch that turns those of one key off:
// who speaks to the page, or presses a key by accident, would set them off.

import { setting } from './memory.js';

const inField = (element) => element?.closest('input:not([type=radio]):not([type=checkbox]), textarea, select, [contenteditable]');

// keys: [[key, what it does, act], …]; others are keys of which somebody else takes care.
export function listenForKeys(keys, others) {
  const dialog = document.getElementById('keys');
  const show = () => { if (!dialog.open) dialog.showModal(); };
  const all = [['?', 'This list', show], ...keys];
  document.getElementById('keys-list').replaceChildren(...[...all, ...others].map(([key, what]) => {
    const row = document.createElement('div');
    const term = document.createElement('dt');
    term.append(...key.split(' ').map((name) => Object.assign(document.createElement('kbd'), { textContent: name.toUpperCase() === name ? name : name[0].toUpperCase() + name.slice(1) })));
    row.append(term, Object.assign(document.createElement('dd'), { textContent: what }));
    return row;
  }));
  const on = document.getElementById('keys-on');
  on.checked = setting('keys') !== 'off';
  on.addEventListener('change', () => setting('keys', on.checked ? 'on' : 'off'));
  for (const id of ['show-keys', 'foot-keys']) document.getElementById(id)?.addEventListener('click', show);
  addEventListener('keydown', (event) => {
    if (!on.checked || event.ctrlKey || event.metaKey || event.altKey || inField(event.target) || dialog.open) return;
    const found = all.find(([key]) => key === event.key.toLowerCase() || key === event.key);
    if (!found) return;
    event.preventDefault();
    found[2]();
  });
}
