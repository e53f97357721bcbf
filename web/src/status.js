// The state of the stream in words: the head of the page and its banners.

import { admitted, asksReader } from './access.js';
import { elapsed, lasting, secondsUntil } from './clock.js';

const STATUS = { disconnected: 'Disconnected', connecting: 'Connecting...', connected: 'Connected', error: 'Error' };
const SILENT = { quiet: 'Until now something came more often. The server sends a heartbeat when there is nothing else', overdue: 'The server sends at least a heartbeat, and that is overdue: it may hang, or the line may be dead. The page waits a little longer, then opens the stream anew' };

export function status(page) {
  return {
    // Only names stand in the attributes: the CSP build of Alpine evaluates nothing else.
    state: 'disconnected',
    own: 'false', // the reader cut the line: that is no fault
    statusText: STATUS.disconnected,
    silent: '',
    open: false,
    closed: true,
    disconnectLabel: 'Disconnect',
    connectionTime: '',
    timeTitle: '',
    network: 'online',
    announcement: '',
    hasError: false,
    error: '',
    errorDetail: '',
    retryText: '',
    retryLabel: 'Retry now',
    retrying: 'false',
    hasNotice: false,
    notice: '',
    noticeKind: '',
    slow: false,

    connect() {
      this.dismissNotice();
      page().connect();
    },

    disconnect() {
      page().disconnect();
    },

    retry() {
      page().stream.retry();
    },

    dismiss() {
      page().stream.dismiss();
      this.keepFocus('error-banner');
    },

    dismissNotice() {
      this.hasNotice = false;
      this.keepFocus('notice-banner');
    },

    // tellNotice shows a notice; no text takes one of its kind away, and over is said of
    // that to who hears the page.
    tellNotice(kind, text, over = '') {
      if (!text) {
        if (over || (this.noticeKind === kind && this.announcement === this.notice)) this.announcement = over;
        if (this.noticeKind === kind) this.dismissNotice();
        return;
      }
      this.noticeKind = kind;
      this.notice = text;
      this.hasNotice = true;
      this.announcement = text;
    },

    // keepFocus moves the keyboard's focus from what is about to go to the button
    // of the connection, which never goes.
    keepFocus(banner) {
      const box = document.getElementById(banner);
      if (!box.contains(document.activeElement)) return;
      this.focusButton(() => !box.checkVisibility());
    },

    // focusButton moves the focus to the button of the connection, as soon as Alpine has
    // shown it or hidden what was there: in a frame to come, which on a busy machine is
    // later than any timer, and until then what is to be shown takes no focus. A reader who
    // went elsewhere meanwhile is left there.
    focusButton(ready) {
      const from = document.activeElement;
      const look = (frames) => {
        if (document.activeElement !== from && document.activeElement !== document.body) return;
        const button = document.getElementById(this.open ? 'disconnect' : 'connect');
        if (ready(button)) button.focus();
        else if (frames > 0) requestAnimationFrame(() => look(frames - 1));
      };
      look(60);
    },

    refreshStatus(at) {
      const { state, error, retryAt, attempt, maxAttempts, gaveUp, wanted, openedAt, downSince, slow, joined, silent, heardAt } = page().stream;
      if (state !== this.state) {
        this.state = state;
        const own = state === 'error' && Boolean(error?.own);
        this.own = String(own);
        this.silent = '';
        this.statusText = own ? 'Line cut' : STATUS[state];
        this.announcement = state === 'error' && !own ? `Error. ${error?.message ?? ''}` : this.statusText;
        if (state === 'error' && this.noticeKind === 'stream-error') this.hasNotice = false;
        if (error === null) this.keepFocus('error-banner');
        if (state === 'connected') admitted();
      }
      this.showSilence(state, silent);
      this.showButton(wanted);
      const down = state !== 'connected' && downSince > 0;
      this.connectionTime = silent ? `nothing heard for ${lasting(at - heardAt)}` : state === 'connected' ? elapsed(at - openedAt) : down ? `down ${elapsed(at - downSince)}` : '';
      this.timeTitle = silent ? SILENT[silent] : state === 'connected' ? (joined ? 'How long this tab has read the stream; another tab had opened it before' : 'How long the stream has been open') : down ? 'How long there has been no stream, or nothing was heard on it' : '';
      this.disconnectLabel = state === 'connected' ? 'Disconnect' : state === 'error' || down ? 'Stop trying' : 'Cancel';
      this.slow = slow;
      this.network = navigator.onLine === false ? 'offline' : 'online';
      // What the reader did is told where it was done.
      this.hasError = error !== null && !(error.own && this.cutHere);
      if (!error) return;
      this.error = error.message;
      // How another program shows its right is of no use beside the field that takes a token.
      this.errorDetail = error.unknownReader && asksReader() ? 'Give the page a token.' : error.detail;
      this.retrying = String(state === 'connecting');
      this.retryLabel = state === 'connecting' ? 'Trying…' : retryAt ? 'Retry now' : 'Retry';
      const which = attempt ? ` (${attempt} of ${maxAttempts})` : '';
      if (state === 'connecting') this.retryText = `Trying again${which}…`;
      else if (retryAt) this.retryText = `Next try in ${secondsUntil(retryAt, at)} s${which}${this.network === 'offline' ? ', or when the network is back' : ''}`;
      else this.retryText = gaveUp ? `Gave up after ${maxAttempts} more tries.` : '';
    },

    // showSilence says no more of a stream than is known: one whose heartbeat is overdue
    // may be open, or not.
    showSilence(state, silent) {
      if (state !== 'connected' || silent === this.silent) return;
      const was = this.silent;
      this.silent = silent;
      this.statusText = silent === 'overdue' ? 'Silent' : STATUS.connected;
      if (silent === 'overdue') this.announcement = 'Nothing is heard from the server.';
      else if (was === 'overdue') this.announcement = 'The server is heard again.';
    },

    // showButton swaps Connect for Disconnect. Who pressed one by the keyboard
    // stays on the other, and is not thrown back to the top of the page.
    showButton(open) {
      if (open === this.open) return;
      const focused = document.activeElement?.classList.contains('connect');
      this.open = open;
      this.closed = !open;
      if (focused) this.focusButton((button) => button.checkVisibility());
    },
  };
}
