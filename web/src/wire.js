// The wire: turns the bytes of a text/event-stream into messages, as the HTML
// standard says. It knows nothing of connections.

export class Decoder {
  #text = new TextDecoder();
  #rest = ''; // the line that is not complete yet
  #afterCR = false; // a LF that comes next belongs to the CR before it
  #data = [];
  #event = '';
  #id = '';
  #touched = false;

  retry = 0; // ms, the last that was told

  // push takes the next bytes, and returns the messages that they complete:
  // {event, id, data}. A message without data or event only carries a position.
  push(bytes) {
    let text = this.#text.decode(bytes, { stream: true });
    if (this.#afterCR && text.startsWith('\n')) text = text.slice(1);
    if (text) this.#afterCR = text.endsWith('\r');
    const lines = text.split(/\r\n|\n|\r/);
    lines[0] = this.#rest + lines[0];
    this.#rest = lines.pop();
    const messages = [];
    for (const line of lines) {
      if (line) this.#field(line);
      else if (this.#touched) messages.push(this.#message());
    }
    return messages;
  }

  #field(line) {
    const colon = line.indexOf(':');
    if (colon === 0) return; // a comment
    const name = colon < 0 ? line : line.slice(0, colon);
    const value = colon < 0 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1);
    switch (name) {
      case 'data': this.#data.push(value); break;
      case 'event': this.#event = value; break;
      case 'id': if (!value.includes('\0')) this.#id = value; break;
      case 'retry': if (/^\d+$/.test(value)) this.retry = Number(value); return;
      default: return;
    }
    this.#touched = true;
  }

  #message() {
    const message = { event: this.#event, id: this.#id, data: this.#data.join('\n'), hasData: this.#data.length > 0 };
    this.#data = [];
    this.#event = '';
    this.#id = '';
    this.#touched = false;
    return message;
  }
}

// IDs have the form milliseconds-sequence.
export const isID = (text) => /^\d+-\d+$/.test(text ?? '');

export function compareIDs(a, b) {
  const [am, as = 0] = a.split('-').map(Number);
  const [bm, bs = 0] = b.split('-').map(Number);
  return am - bm || as - bs;
}

// before is an ID behind which the given one comes next.
export function before(id) {
  const [ms, seq] = id.split('-').map(Number);
  return seq > 0 ? `${ms}-${seq - 1}` : `${ms - 1}-9007199254740991`;
}
