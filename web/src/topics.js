// The choice of the topic, and a field for the name of any other where the server
// makes topics on demand.

const byID = (id) => document.getElementById(id);
const MOST = 100; // that are offered
const LONGEST = 128; // characters of a name
const NAME = /^(?!\$|\.{1,2}$)[\w.~!$&'()+;:@-]{1,128}$/;

export class Topics {
  #list = byID('topics');
  #form = byID('topic-form');
  #field = byID('topic-name');

  // chosen(topic) is called when the reader has chosen.
  constructor(chosen) {
    this.#list.addEventListener('change', (event) => chosen(event.target.value));
    this.#form?.addEventListener('submit', (event) => {
      event.preventDefault();
      const name = this.#field.value.trim();
      this.#field.setCustomValidity(name.length > LONGEST ? `The name of a topic has at most ${LONGEST} characters: this one has ${name.length}.` : NAME.test(name) ? this.#outside(name) : 'A topic has 1 to 128 letters, digits and -._~!$&\'()+;:@, and does not begin with $.');
      if (!this.#form.reportValidity()) return;
      this.#field.value = '';
      this.add(name);
      chosen(name);
    });
    this.#field?.addEventListener('input', () => this.#field.setCustomValidity(''));
  }

  // first is the topic that is chosen in the list. The choice may be older than this
  // script: a quick reader's, or one that the browser restored.
  get first() {
    return this.#list.querySelector('input:checked')?.value ?? '';
  }

  // show marks the topic, and brings it into sight among many.
  show(topic) {
    const input = this.#find(topic);
    if (!input) return;
    input.checked = true;
    const [box, list] = [input.parentElement.getBoundingClientRect(), this.#list.getBoundingClientRect()];
    this.#list.scrollLeft += box.left - list.left - (list.width - box.width) / 2;
  }

  // add offers one more topic, behind the others: nothing moves.
  add(topic) {
    if (this.#find(topic) || this.#list.childElementCount >= MOST) return;
    const label = Object.assign(document.createElement('label'), { className: 'topic', title: topic });
    const input = Object.assign(document.createElement('input'), { type: 'radio', name: 'topic', value: topic });
    const text = Object.assign(document.createElement('span'), { textContent: topic });
    text.dataset.text = topic;
    label.append(input, text);
    this.#list.append(label);
  }

  focus() {
    this.#field?.focus();
  }

  #find(topic) {
    return this.#list.querySelector(`input[value="${CSS.escape(topic)}"]`);
  }

  // #outside says why the server will not make a topic of that name, or ''.
  #outside(name) {
    const patterns = this.#form.dataset.patterns.split(' ');
    const covers = (pattern) => pattern === '*' || pattern === name || (pattern.endsWith('.*') && name.length >= pattern.length && name.startsWith(pattern.slice(0, -1)));
    return this.#find(name) || patterns.some(covers) ? '' : `Topics are made here for these names alone: ${patterns.join(', ')}`;
  }
}
