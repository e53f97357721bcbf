// Try it: publish an event, cut the line, freeze this page, and see what Weir
// makes of it. All of it happens on this page's own connection.

import { copy } from './copy.js';
import { lasting } from './clock.js';
import { endOf, sayEnd } from './endings.js';
import { setting } from './memory.js';
import { covers } from './topics.js';

const CUT = 3000; // ms
const FROZEN = 10_000;
const HINT = 'Publish sends the text to the topic; the other two try this browser’s own line.';
const SETTLED = 400; // ms after which what was waiting has come

export function tryIt(page) {
  let test = null; // what is under way: {kind, began, replayed, gaps, cameBack}
  let timer = 0;
  let hint = HINT; // what is told while nothing else is
  let away = 0; // when the server could not be reached, as long as that is told

  return {
    trySaid: HINT,
    tryKind: '',
    heard: '',
    curl: '',
    cannotPublish: 'false',
    cannotCut: 'true', // a button that is disabled would lose the keyboard's focus
    cutHere: false, // and not in another tab
    freezeLabel: 'Freeze me 10 s',

    initTry() {
      document.getElementById('show-try').addEventListener('click', () => this.showTry(true));
      this.typed();
    },

    toggleTry() {
      this.showTry(document.documentElement.dataset.try === 'closed');
    },

    showTry(open) {
      document.documentElement.dataset.try = setting('try', open ? 'open' : 'closed');
      if (open) document.getElementById('try-text').focus();
    },

    typed() {
      const text = document.getElementById('try-text').value;
      const { topic } = page();
      const json = isObject(text) ? ` -H 'Content-Type: application/json'` : '';
      const token = needsToken() ? ' -H "Authorization: Bearer $TOKEN"' : '';
      this.curl = `curl -d ${quoted(text)}${json}${token} ${quoted(location.host + publishAddress(topic || 'TOPIC'))}`;
      this.judgePublish();
    },

    // judgePublish says whether this page can publish, and beside that why it cannot.
    judgePublish() {
      const why = whyNot(page().topic);
      this.cannotPublish = String(why !== '');
      const told = this.trySaid !== hint;
      hint = why || HINT;
      if (!told && this.trySaid !== hint) this.tell('');
    },

    copyCurl(event) {
      copy(event.currentTarget, this.curl);
    },

    async publish(event) {
      event.preventDefault();
      if (whyNot(page().topic)) return this.tell(whyNot(page().topic), 'bad');
      const text = document.getElementById('try-text').value;
      let answer;
      try {
        answer = await fetch(publishAddress(page().topic), {
          method: 'POST', body: text, headers: { 'Content-Type': isObject(text) ? 'application/json' : 'text/plain' },
          signal: AbortSignal.timeout(8000),
        });
      } catch {
        this.tell(page().stream.error ? 'Not published.' : 'Not published: the server cannot be reached.', 'bad');
        away = Date.now();
        return undefined;
      }
      if (answer.ok) return this.tell(page().stream.state === 'connected' ? 'Published.' : 'Published. Press Connect to see it come.');
      if (answer.status === 401 || answer.status === 403) return this.tell('Publishing needs a token here: the line on the right, with -H "Authorization: Bearer …".', 'bad');
      let detail = '';
      try {
        detail = (await answer.json()).detail;
      } catch {
        // It is said by its status.
      }
      this.tell(detail || `The server did not take it (${answer.status}).`, 'bad');
    },

    cutLine() {
      if (this.cannotCut === 'true') return;
      this.cutHere = true;
      begin('cut');
      page().stream.cut(CUT);
      this.tell(`The line is cut. The page comes back in ${lasting(CUT)} and goes on where it was.`);
    },

    freezeMe() {
      if (this.cannotCut === 'true') return;
      begin('freeze');
      page().stream.freeze(FROZEN);
      this.tell(`This page does not read for ${lasting(FROZEN)}. The server sends on, until the network's buffers are full; then this page falls behind in the log.`);
    },

    // tell says it in a line that is always there: nothing moves.
    tell(text, kind = '') {
      away = 0;
      this.trySaid = text || hint;
      this.tryKind = kind;
    },

    // hear tells what another tab did to the line; '' when that is over.
    hear(text) {
      if (text === this.heard) return;
      if (this.trySaid === hint || this.trySaid === this.heard) this.tell(text);
      this.heard = text;
    },

    // tried hears what comes, while a test is under way.
    tried(message, replayed) {
      if (!test || test.topic !== page().topic) return;
      if (message.event === 'gap') test.gaps++;
      else if (message.event === 'connected') test.cameBack = Date.now();
      else if (!message.fields && (test.kind === 'freeze' || replayed)) test.replayed++;
      clearTimeout(timer);
      timer = 0;
      this.settle();
    },

    // settle waits until what was waiting has come, and says how it went.
    settle() {
      if (test && test.topic !== page().topic) { // the reader has gone on to another
        test = null;
        this.tell('');
      }
      const frozen = page().stream.frozenUntil > 0;
      const over = test && (test.kind === 'cut' ? test.cameBack : !frozen && Date.now() > test.began + FROZEN - 500);
      if (!over) return;
      timer ||= setTimeout(() => {
        timer = 0;
        if (!test) return;
        const { kind, began, replayed, gaps, cameBack } = test;
        test = null;
        const lost = gaps ? 'events were lost, and the gap stands in the feed' : '0 lost';
        if (kind === 'cut') this.tell(`Cut for ${lasting(cameBack - began)}: ${lost}, ${replayed} replayed.`, gaps ? 'bad' : 'good');
        else this.tell(`Frozen for ${lasting(FROZEN)}: ${lost}, ${replayed} came late.${cameBack ? ' The server had given up on this page; it came back.' : ''}`, gaps ? 'bad' : 'good');
      }, SETTLED);
    },

    refreshTry() {
      const { state, frozenUntil, openedAt } = page().stream;
      this.judgePublish();
      if (away && state === 'connected' && openedAt > away) this.tell(''); // it is back
      this.cannotCut = String(state !== 'connected' || frozenUntil > 0);
      if (state === 'connected' && !test) this.cutHere = false;
      if (frozenUntil && !test) this.hear('Another tab of this browser froze the line that you share: nothing is read until it thaws.');
      else if (!frozenUntil && this.heard) this.hear('');
      this.freezeLabel = frozenUntil ? `Frozen, ${Math.max(0, Math.ceil((frozenUntil - Date.now()) / 1000))} s` : 'Freeze me 10 s';
      this.settle();
    },
  };

  function begin(kind) {
    clearTimeout(timer);
    timer = 0;
    test = { kind, topic: page().topic, began: Date.now(), replayed: 0, gaps: 0, cameBack: 0 };
  }
}

// quoted is a word as a shell takes it.
const quoted = (text) => (/^[\w.,:/%-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

const dataset = () => document.body?.dataset ?? {};

// needsToken says whether publishing needs one here.
const needsToken = () => dataset().publishToken !== undefined;

// whyNot says why this page cannot publish to a topic, or ''.
function whyNot(topic) {
  if (!topic) return 'There is no topic yet to publish to.';
  if (endOf(topic)) return `“${topic}” ${sayEnd(endOf(topic))}. It takes no more events.`;
  const { publishes } = dataset();
  if (publishes === undefined || publishes.split(' ').some((grant) => covers(grant.split('/')[0], topic))) return '';
  return publishes ? `Your token does not publish to “${topic}”.` : 'Your token publishes nothing: the line on the right takes another one.';
}

const publishAddress = (topic) => `/t/${encodeURIComponent(topic)}`;

function isObject(text) {
  if (!/^\s*[[{]/.test(text)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}
