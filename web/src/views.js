// The three views, each with an address of its own: ?view=, ?topic=, ?event=.
// The stream runs on beneath them.

// topicOfPath is the topic of the address /t/{topic}, or ''.
const topicOfPath = () => decodeURIComponent(/^\/t\/([^/]+)$/.exec(location.pathname)?.[1] ?? '');

// topicAsked is the topic that the address names, or ''.
export const topicAsked = () => new URLSearchParams(location.search).get('topic') || topicOfPath();

export class Views {
  name;

  #shown;

  // shown(name, before) is called when the view changes, and back() when the reader
  // has gone to another address of this page in the browser's history.
  constructor(shown, back) {
    this.#shown = shown;
    const links = document.getElementById('views');
    this.names = [...links.querySelectorAll('[data-view]')].map((link) => link.dataset.view);
    links.addEventListener('click', (event) => {
      const link = event.target.closest('[data-view]');
      if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return; // a new tab, as of any link
      event.preventDefault();
      this.go(link.dataset.view);
    });
    addEventListener('popstate', () => {
      this.#show(this.#asked());
      back();
    });
    this.#show(this.#asked());
  }

  go(name) {
    if (!this.names.includes(name) || name === this.name) return;
    history.pushState(null, '', this.address({ view: name, event: '' }));
    this.#show(name);
  }

  // address is the present one with some of its parameters changed; '' takes one away.
  address(changes) {
    const query = new URLSearchParams(location.search);
    const path = topicOfPath();
    if (path && !query.has('topic')) query.set('topic', path);
    for (const [name, value] of Object.entries(changes)) {
      if (value && !(name === 'view' && value === 'feed')) query.set(name, value);
      else query.delete(name);
    }
    const text = query.toString();
    return `/${text ? `?${text}` : ''}`;
  }

  push(changes) {
    history.pushState(null, '', this.address(changes));
  }

  replace(changes) {
    history.replaceState(null, '', this.address(changes));
  }

  #asked() {
    const asked = new URLSearchParams(location.search).get('view') || (/^\/(streams|traces)\b/.exec(location.pathname)?.[1] ?? '');
    return this.names.includes(asked) ? asked : this.names[0];
  }

  #show(name) {
    const before = this.name;
    this.name = name;
    document.body.dataset.view = name;
    for (const link of document.querySelectorAll('#views [data-view]')) {
      if (link.dataset.view === name) link.setAttribute('aria-current', 'page');
      else link.removeAttribute('aria-current');
      link.setAttribute('href', this.address({ view: link.dataset.view, event: '' }));
    }
    if (name !== before) this.#shown(name, before);
  }
}
