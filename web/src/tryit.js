// Try it: publish an event, cut the line, freeze this page, and see what Weir
// makes of it. All of it happens on this page's own connection.

import { askPublisher, asks, asksPublisher, isAsking, isReaderAsked } from './access.js';
import { send } from './beacon.js';
import { copy } from './copy.js';
import { lasting, offset, secondsUntil } from './clock.js';
import { endOf, sayEnd } from './endings.js';
import { draft, setting } from './memory.js';
import { told } from './refusal.js';
import { curl } from './shell.js';
import { covers } from './topics.js';

const CUT = 3000; // ms
const FROZEN = 10_000;
const HINT_ASKS = 'Publishing needs a token here: Publish asks for it. The other two try this browser’s own line.';
const HINT = 'Publish sends the text to the topic; the other two try this browser’s own line.';
const FORM = 'application/x-www-form-urlencoded'; // what curl -d says: the server sees for itself what the text is
const SETTLED = 400; // ms after which what was waiting has come
const ANSWERED = 1500; // ms in which the line does what it is asked for

export function tryIt(page) {
  let test = null; // what is under way: {kind, topic, began, until, over, cameBack, late, gaps, said, stands}
  let timer = 0;
  let hint = HINT; // what is told while nothing else is
  let awaits = ''; // what is told of an event that was published and cannot come yet
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
      const box = document.getElementById('try-text');
      box.value = draft() ?? box.value;
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
      draft(text);
      const json = isObject(text) ? ['-H', 'Content-Type: application/json'] : [];
      this.curl = curl([text.startsWith('@') ? '--data-raw' : '-d', text, ...json], needsToken(), publishAddress(topic || 'TOPIC'));
      this.judgePublish();
    },

    // judgePublish says whether this page can publish, and beside that why it cannot.
    judgePublish() {
      const why = whyNot(page().topic);
      this.cannotPublish = String(why !== '');
      const told = this.trySaid !== hint;
      hint = why || (lacksToken() ? HINT_ASKS : HINT);
      if (!told && this.trySaid !== hint) this.tell('');
    },

    copyCurl(event) {
      copy(event.currentTarget, this.curl);
    },

    async publish(event) {
      event.preventDefault();
      if (whyNot(page().topic)) return this.tell(whyNot(page().topic), 'bad');
      if (lacksToken()) return askPublisher();
      const text = document.getElementById('try-text').value;
      let answer;
      try {
        answer = await fetch(publishAddress(page().topic), {
          method: 'POST', body: text, headers: { 'Content-Type': isObject(text) ? 'application/json' : FORM },
          signal: AbortSignal.timeout(8000),
        });
      } catch (error) {
        this.tell(error.name === 'TimeoutError' ? 'The server does not answer: whether this is published is not known.' : 'Not published: the server cannot be reached.', 'bad');
        away = Date.now();
        return undefined;
      }
      if (answer.ok) return this.tellPublished();
      if (answer.status === 401 && asks()) {
        this.tell('');
        return askPublisher('The last one is good no longer.');
      }
      this.tell((await told(answer)) || `The server did not take it (${answer.status}).`, 'bad');
    },

    // tellPublished says when what was published is to come, where it does not at once. While a
    // test is under way, that says so.
    tellPublished() {
      awaits = '';
      if (test?.stands) {
        test.said = `Published. ${test.stands}`;
        return this.tell(test.said);
      }
      awaits = awaited();
      return this.tell(awaits || 'Published.');
    },

    cutLine() {
      if (this.cannotCut === 'true') return;
      send(); // while there is a line: that these events were on screen
      this.cutHere = true;
      this.begin('cut', `The line is cut. The page comes back in ${lasting(CUT)} and goes on where it was.`);
      page().stream.cut(CUT);
    },

    freezeMe() {
      if (this.cannotCut === 'true') return;
      this.begin('freeze', `This page does not read for ${lasting(FROZEN)}. The server sends on, until the network’s buffers are full; then this page falls behind in the log.`);
      page().stream.freeze(FROZEN);
    },

    begin(kind, text) {
      clearTimeout(timer);
      timer = 0;
      test = { kind, topic: page().topic, began: Date.now(), until: 0, over: 0, cameBack: 0, late: 0, gaps: 0, missed: 0, more: false, said: '', stands: '' };
      this.narrate(text);
    },

    // narrate says how the test stands. What was said of something else meanwhile stays.
    narrate(text) {
      if (text === test.stands) return;
      if (!test.said || this.trySaid === test.said) this.tell(text);
      test.said = test.stands = text;
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

    // tried hears what comes, while a test is under way. What waited is what entered the
    // log before the test was over. The log has an order: after the first event that did
    // not wait, nothing comes that did.
    tried(message, replayed) {
      this.settle();
      if (!test) return;
      if (message.event === 'gap') {
        test.gaps++;
        test.missed += Number(message.fields?.missed) || 0;
        test.more ||= !Number(message.fields?.missed); // of which nobody knows how many
      } else if (message.event === 'connected') test.cameBack = Date.now();
      else if (message.fields || !isOver()) return; // what comes before it is over did not wait
      else if (replayed || (test.kind === 'freeze' && parseInt(message.id, 10) < test.over + offset)) test.late++;
      else return this.conclude();
      clearTimeout(timer);
      timer = 0;
      this.settle();
    },

    // settle follows the test. Where nothing comes that did not wait, it is over a moment
    // after the last event that did.
    settle() {
      if (!test) return;
      const { state, frozenUntil, gaveUp } = page().stream;
      const at = Date.now();
      const neverBegan = test.kind === 'freeze' && !test.until && !frozenUntil && at > test.began + ANSWERED;
      if (test.topic !== page().topic || state === 'disconnected' || gaveUp || neverBegan) {
        this.narrate('');
        test = null;
        return;
      }
      test.until = frozenUntil || test.until;
      if (test.kind === 'cut') {
        if (!test.cameBack && at > test.began + CUT + ANSWERED) this.narrate('The line was cut. The page is trying to come back.');
        if (test.cameBack) this.narrate('The page is back. First comes what waited.');
      } else if (!test.over && test.until && !frozenUntil) {
        test.over = Math.min(test.until, at);
        this.narrate('The page reads again, first what waited.');
      }
      if (isOver() && state === 'connected') timer ||= setTimeout(() => this.conclude(), SETTLED);
    },

    // conclude says how it went.
    conclude() {
      clearTimeout(timer);
      timer = 0;
      if (!test || page().stream.state !== 'connected') return;
      const { kind, began, over, cameBack, late, gaps, missed, more } = test;
      test = null;
      // Where the rows of the gaps are is not said: newer rows push them out of the feed.
      const of = gaps === 1 ? 'in a gap' : `in ${gaps.toLocaleString('en')} gaps`;
      const lost = gaps ? `${missed ? `${more ? 'at least ' : ''}${missed.toLocaleString('en')} lost` : 'events may be missing'} ${of}` : '0 lost';
      const came = late.toLocaleString('en');
      if (kind === 'cut') this.tell(`Cut for ${lasting(cameBack - began)}: ${lost}, ${came} replayed.`, gaps ? 'bad' : 'good');
      else this.tell(`Frozen for ${lasting(over - began)}: ${lost}, ${came} came late.${cameBack ? ' The server had given up on this page; it came back.' : ''}`, gaps ? 'bad' : 'good');
    },

    refreshTry() {
      const { state, frozenUntil, openedAt } = page().stream;
      this.judgePublish();
      if (away && state === 'connected' && openedAt > away) this.tell(''); // it is back
      if (awaits && this.trySaid !== awaits) awaits = '';
      else if (awaits !== '' && awaited() !== awaits) this.tellPublished();
      this.cannotCut = String(state !== 'connected' || frozenUntil > 0);
      if (state === 'connected' && !test) this.cutHere = false;
      if (frozenUntil && !test) this.hear('Another tab of this browser froze the line that you share: nothing is read until it thaws.');
      else if (!frozenUntil && this.heard) this.hear('');
      this.freezeLabel = frozenUntil ? `Frozen, ${secondsUntil(frozenUntil)} s` : 'Freeze me 10 s';
      this.settle();
    },
  };

  // awaited is what is told of an event that was published, as long as it cannot come; else ''.
  function awaited() {
    const { state, wanted, frozenUntil } = page().stream;
    if (frozenUntil) return 'Published. It comes once the page reads again.';
    if (state === 'connected') return '';
    if (isReaderAsked()) return 'Published. To see it come, the page needs a token that reads.';
    return wanted ? 'Published. It comes once the stream is open.' : 'Published. Press Connect to see it come.';
  }

  // isOver says whether the line is back, or is read again.
  function isOver() {
    return Boolean(test.kind === 'cut' ? test.cameBack : test.over);
  }
}

const dataset = () => document.body?.dataset ?? {};

// needsToken says whether publishing needs one here.
const needsToken = () => dataset().publishToken !== undefined;

// lacksToken says whether the page is to ask for the one by which it publishes.
const lacksToken = () => asksPublisher() && dataset().publishes === undefined;

// whyNot says why this page cannot publish to a topic, or ''.
function whyNot(topic) {
  if (dataset().publishOff) return dataset().publishOff;
  if (needsToken() && isAsking() && !dataset().publishes) return 'Publishing needs a token here: give the page one.';
  if (!topic && isReaderAsked()) return 'Which topics there are is told to who may read: give the page a token.';
  if (!topic) return 'There is no topic yet to publish to.';
  if (endOf(topic)) return `“${topic}” ${sayEnd(endOf(topic))}. It takes no more events.`;
  const { publishes } = dataset();
  if (publishes === undefined || publishes.split(' ').some((grant) => covers(grant.split('/')[0], topic))) return '';
  return publishes ? `Your token does not publish to “${topic}”.` : 'Your token publishes nothing. The line with curl takes another one.';
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
