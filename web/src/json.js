// JSON as text: indented without changing a digit, and its numbers by path.

// indent lays JSON out for reading. Numbers and strings stay as they were
// written: JSON.parse would round one and drop the second of two equal names.
export function indent(text) {
  let out = '';
  let depth = 0;
  const newline = () => `\n${'  '.repeat(depth)}`;
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s"{}[\],:]+/g)) {
    switch (token) {
      case '{':
      case '[':
        depth++;
        out += token + newline();
        break;
      case '}':
      case ']':
        depth--;
        out = /[{[]\s*$/.test(out) ? out.trimEnd() + token : out + newline() + token;
        break;
      case ',': out += token + newline(); break;
      case ':': out += ': '; break;
      default: out += token;
    }
  }
  return out;
}

// isNumber says whether a text is a number as JSON has them, and nothing else.
export const isNumber = (text) => /^-?\d{1,30}(\.\d{1,30})?([eE][+-]?\d{1,3})?$/.test(text);

const MAX_PATHS = 32;
const DEEPEST = 6;

// numbersIn returns the numbers of a JSON object, by path: "level", "load.cpu",
// "disks.0.used".
export function numbersIn(text) {
  const found = [];
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    return found;
  }
  const walk = (at, path) => {
    if (found.length >= MAX_PATHS || path.length > DEEPEST) return;
    if (typeof at === 'number') {
      found.push({ path: path.join('.'), depth: path.length, value: at });
    } else if (at !== null && typeof at === 'object') {
      for (const [name, inner] of Object.entries(at)) walk(inner, [...path, name.slice(0, 40)]);
    }
  };
  if (value !== null && typeof value === 'object' && !Array.isArray(value)) walk(value, []);
  return found;
}
