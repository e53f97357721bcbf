// What a tab remembers, so that a reload, or Back, goes on where it was: what it
// read, up to where, whether it wanted to, the rows that it showed, and what it counted.

const KEY = 'weir-tab';
export const FRESH = 3_600_000; // ms after which a tab, or a topic in it, begins anew
export const LARGEST = 1_000_000; // characters of the feed, or of the charts, that are kept

export function remember(what) {
  try {
    sessionStorage.setItem(KEY, JSON.stringify({ ...what, at: Date.now() }));
  } catch {
    // Storage may be full, or forbidden. The tab then begins anew.
  }
}

// recall returns what was remembered, once, or null.
export function recall() {
  try {
    const what = JSON.parse(sessionStorage.getItem(KEY));
    sessionStorage.removeItem(KEY);
    return what && Date.now() - what.at < FRESH ? what : null;
  } catch {
    return null;
  }
}

// draft keeps what is typed to be published, as long as the tab is open; null before that.
export function draft(text) {
  try {
    if (text !== undefined) sessionStorage.setItem('weir-draft', text);
    return sessionStorage.getItem('weir-draft');
  } catch {
    return null;
  }
}

// A setting holds for the whole browser, and for long.
export function setting(name, value) {
  try {
    if (value === undefined) return localStorage.getItem(`weir-${name}`) ?? '';
    localStorage.setItem(`weir-${name}`, value);
  } catch {
    // It then holds until the page is left.
  }
  return value ?? '';
}
