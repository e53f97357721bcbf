// The choice of the topic, and a field for the name of any other where the server
// makes topics on demand.

import { isReaderAsked } from './access.js';
import { mark, noteEnd } from './endings.js';

const byID = (id) => document.getElementById(id);
const MOST = 100; // that are offered
const LONGEST = 128; // characters of a name
const NAME = /^(?!\$|\.{1,2}$)[\w.~!$&'()+;:@-]{1,128}$/;

// covers says whether a pattern of topics is good for a name.
export const covers = (pattern, name) => pattern === '*' || pattern === name || (pattern.endsWith('.*') && name.length >= pattern.length && name.startsWith(pattern.slice(0, -1)));

// notName says why a text cannot be the name of a topic, or ''.
export const notName = (text) => (text.length > LONGEST ? `The name of a topic has at most ${LONGEST} characters: this one has ${text.length}.` : NAME.test(text) ? '' : 'A topic has 1 to 128 letters, digits and -._~!$&\'()+;:@, does not begin with $, and is neither . nor ..');

export class Topics {
  #list = byID('topics');
  #form = byID('topic-form');
  #field = byID('topic-name');

  // chosen(topic) is called when the reader has chosen.
  constructor(chosen) {
    this.#list.addEventListener('change', (event) => chosen(event.target.value));
    for (const label of this.#list.querySelectorAll('[data-ended]')) noteEnd(label.querySelector('input').value, label.dataset.ended);
    this.#form?.addEventListener('submit', (event) => {
      event.preventDefault();
      const name = this.#field.value.trim();
      this.#field.setCustomValidity(notName(name) || this.#outside(name));
      if (!this.#form.reportValidity()) return;
      this.#field.value = '';
      this.add(name);
      chosen(name);
    });
    this.#field?.addEventListener('input', () => this.#field.setCustomValidity(''));
  }

  // first is the topic to begin with: a quick reader's choice, which is older than
  // this script, then the one that the address asks for, then the one that this tab
  // remembers, if it is still to be had, then the server's.
  first({ asked, remembered, server }) {
    const marked = this.#list.querySelector('input:checked')?.value ?? '';
    if (marked && marked !== server) return marked;
    if (asked || !remembered) return server;
    return this.#find(remembered) || this.#made(remembered) ? remembered : server;
  }

  // show marks the topic, and brings it into sight among many. One that is not in the
  // list yet comes to be: what is read is always marked.
  show(topic) {
    this.add(topic, Infinity);
    const input = this.#find(topic);
    if (!input) return;
    input.checked = true;
    const [box, list] = [input.parentElement.getBoundingClientRect(), this.#list.getBoundingClientRect()];
    this.#list.scrollLeft += box.left - list.left - (list.width - box.width) / 2;
  }

  // add offers one more topic, behind the others: nothing moves.
  add(topic, most = MOST) {
    if (!topic || this.#find(topic) || this.#list.childElementCount >= most) return;
    const label = Object.assign(document.createElement('label'), { className: 'topic', title: topic });
    const input = Object.assign(document.createElement('input'), { type: 'radio', name: 'topic', value: topic });
    const text = Object.assign(document.createElement('span'), { textContent: topic });
    text.dataset.text = topic;
    label.append(input, text);
    this.#list.append(label);
    mark(topic);
  }

  focus() {
    this.#field?.focus();
  }

  #find(topic) {
    return this.#list.querySelector(`input[value="${CSS.escape(topic)}"]`);
  }

  // #outside says why the server will not make a topic of that name, or ''. It may be one
  // that is there, where not all of those are known here.
  #outside(name) {
    const known = !isReaderAsked() && this.#list.childElementCount < MOST;
    return !known || this.#find(name) || this.#made(name) ? '' : `Topics are made here for these names alone: ${this.#patterns.join(', ')}`;
  }

  get #patterns() {
    return this.#form?.dataset.patterns.split(' ') ?? [];
  }

  // #made says whether the server makes a topic of that name on demand.
  #made(name) {
    return NAME.test(name) && this.#patterns.some((pattern) => covers(pattern, name));
  }
}
