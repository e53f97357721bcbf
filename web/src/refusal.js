// Why an attempt to open the stream failed, in words.

// describe says it to a reader; final: to try again is of no use; away: nobody is heard.
export function describe({ failure, status, detail }, { silence, timeout }) {
  switch (failure) {
    case 'cut':
      return { message: 'You cut the line, in another tab.', detail: 'The next try goes on where it was.', own: true };
    case 'unreachable':
      return { message: 'The server cannot be reached.', detail: 'It may be down, or this device is off the network.', away: true };
    case 'timeout':
      return { message: `The server did not answer within ${timeout / 1000} seconds.`, away: true };
    case 'silent':
      return { message: `Nothing was heard from the server for ${Math.round(silence / 100) / 10} seconds.`, detail: 'The connection is dead, or the server hangs.', away: true };
    case 'refused':
      return { ...refused(status), ...(detail && { detail }) };
    case 'lost':
      return { message: 'The connection was lost.', detail: 'A try that succeeds goes on behind the last event.', away: true };
    default:
      return { message: 'The server ended the stream.', detail: 'It may be restarting. A try that succeeds goes on behind the last event.' };
  }
}

function refused(status) {
  const final = status >= 400 && status < 500 && status !== 408 && status !== 429;
  const known = {
    401: 'The server asks for credentials (401).',
    403: 'The server refuses this page (403).',
    404: 'The server has no such topic (404).',
    429: 'The server takes no more right now (429).',
    503: 'The server takes no connection right now (503).',
  };
  if (known[status]) return { message: known[status], final };
  if (status < 400) return { message: `The answer is not an event stream (${status}).`, detail: 'Something between this page and the server may be answering in its place.' };
  return { message: status < 500 ? `The server refused the stream (${status}).` : `The server failed (${status}).`, final };
}

// told is what the server says about it: the detail of a problem, or plain text.
export async function told(response) {
  const type = response.headers.get('Content-Type') ?? '';
  try {
    const text = (await response.text()).slice(0, 4096);
    if (type.includes('json')) {
      const problem = JSON.parse(text);
      return String(problem.detail || problem.title || '').slice(0, 500);
    }
    return type.startsWith('text/plain') ? text.trim().slice(0, 500) : '';
  } catch {
    return '';
  }
}

// retryAfter is in milliseconds; the header has seconds or a date.
export function retryAfter(value) {
  if (!value) return 0;
  const ms = /^\s*\d+\s*$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Math.min(3_600_000, Math.max(0, ms || 0));
}
