// Reads a stream with one of the npm clients, in Node: node read.mjs CLIENT URL.
// Each thing that the client sees is one line of JSON.
import EventSource2 from 'eventsource-2'
import { EventSource as EventSource3 } from 'eventsource-3'
import { EventSource as EventSource4 } from 'eventsource-4'
import { createEventSource } from 'eventsource-client'

const [client, url] = process.argv.slice(2)
const say = (what) => process.stdout.write(JSON.stringify(what) + '\n')
const names = ['message', 'connected', 'gap', 'ping', 'close', 'stream-error', 'order']

function classic(EventSource) {
  const source = new EventSource(url)
  source.onopen = () => say({ kind: 'open' })
  source.onerror = (e) => {
    say({ kind: source.readyState === 2 ? 'closed' : 'error', text: String(e.message ?? e.code ?? '') })
  }
  for (const name of names) {
    source.addEventListener(name, (e) => say({ kind: 'event', event: e.type, id: e.lastEventId, data: e.data }))
  }
}

switch (client) {
  case 'eventsource-2':
    classic(EventSource2)
    break
  case 'eventsource-3':
    classic(EventSource3)
    break
  case 'eventsource-4':
    classic(EventSource4)
    break
  case 'eventsource-client':
    createEventSource({
      url,
      onConnect: () => say({ kind: 'open' }),
      onDisconnect: () => say({ kind: 'error' }),
      onMessage: ({ event, id, data }) => say({ kind: 'event', event: event ?? 'message', id: id ?? '', data }),
    })
    break
  default:
    throw new Error(`no client ${client}`)
}
// Node ends when nothing is left to do: so it does when a client has given up.
process.on('beforeExit', () => say({ kind: 'closed' }))
