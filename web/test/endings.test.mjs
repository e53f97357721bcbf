// What the page knows of topics that have ended, in node.
import assert from 'node:assert/strict';
import { test } from 'node:test';

import './browser.mjs';

const { endOf, noteEnd, sayEnd } = await import('../src/endings.js');
const { tryIt } = await import('../src/tryit.js');

test('a topic that has ended takes no events, and the page says so where it could publish', () => {
  const page = { topic: 'run.1', stream: { state: 'disconnected', frozenUntil: 0 } };
  document.elements = { 'try-text': { value: 'hello' }, 'show-try': { addEventListener() {} } };
  const shown = tryIt(() => page);
  shown.initTry();
  const hint = shown.trySaid;
  assert.equal(shown.cannotPublish, 'false');
  noteEnd('run.1', 'done');
  shown.refreshTry();
  assert.deepEqual([shown.cannotPublish, shown.trySaid], ['true', '“run.1” has ended: done. It takes no more events.']);
  page.topic = 'run.2';
  shown.refreshTry();
  assert.deepEqual([shown.cannotPublish, shown.trySaid], ['false', hint], 'another topic is not concerned');
  page.topic = 'run.1';
  noteEnd('run.1', ''); // the name is free again
  shown.refreshTry();
  assert.deepEqual([shown.cannotPublish, shown.trySaid], ['false', hint]);
  // What is told otherwise stays.
  shown.tell('Published.');
  noteEnd('run.1', 'ended');
  shown.refreshTry();
  assert.deepEqual([shown.cannotPublish, shown.trySaid, sayEnd(endOf('run.1'))], ['true', 'Published.', 'has ended']);
});
