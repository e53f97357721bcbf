// The lines for a shell that the page shows.

const BEARER = '-H "Authorization: Bearer $TOKEN"';

// curl is a line that asks for a path of this page's server, with a token where one is needed.
export function curl(options, needsToken, path) {
  return ['curl', ...options.map(quoted), ...(needsToken ? [BEARER] : []), quoted(server() + path)].join(' ');
}

// server is this page's server, as curl takes it: without a scheme it speaks HTTP.
const server = () => (location.protocol === 'https:' ? location.origin : location.host);

// quoted is a word as a shell takes it.
const quoted = (text) => (/^[\w.,:/%-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);
