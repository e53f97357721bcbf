// The state of the stream in the tab's title and icon, for those who look elsewhere.

const COLORS = { disconnected: '#8a938f', connecting: '#d97706', connected: '#15803d', error: '#dc2626' };
const WORDS = { connecting: '… ', error: '▲ ' };

let shown = '';

// show writes them, when they have changed. unseen is how many events came since
// the reader has looked.
export function show(state, topic, view, unseen) {
  const where = view === 'feed' ? topic : `${topic} · ${view}`;
  const title = `${WORDS[state] ?? ''}${unseen > 0 ? `(${unseen > 99 ? '99+' : unseen}) ` : ''}${where} · Weir`;
  if (document.title !== title) document.title = title;
  if (shown === state) return;
  shown = state;
  const mark = state === 'error'
    ? `<path d="M24 13l8 15H16z" fill="${COLORS.error}"/>`
    : `<circle cx="24.500" cy="24.500" r="6.500" fill="${COLORS[state]}" stroke="#fff" stroke-width="1.500"/>`;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 32 32"><g fill="none" stroke="#0f9488" stroke-width="3" stroke-linecap="round" stroke-linejoin="round"><path d="M3 8c3-3 6-3 9.500 0s6.500 3 9.500 0 5-2.500 7-1.500"/><path d="M3 16h8.500l4.500 7 4.500-7H29"/></g>${mark}</svg>`;
  const icon = document.getElementById('favicon');
  icon.href = `data:image/svg+xml,${encodeURIComponent(svg)}`;
  icon.dataset.state = state;
}
