// Reads a stream with one of the clients for browsers, within a page. The runner
// puts the libraries before this text, and calls read(CLIENT, URL).
(() => {
  const say = (what) => console.debug('sight', JSON.stringify(what))
  const names = ['message', 'connected', 'gap', 'ping', 'close', 'stream-error', 'order']

  function listen(source, only = names) {
    for (const name of only) {
      source.addEventListener(name, (e) => say({ kind: 'event', event: e.type, id: e.lastEventId, data: e.data }))
    }
  }

  function classic(EventSource, endsBy204 = true) {
    const source = new EventSource(url)
    source.onopen = () => say({ kind: 'open' })
    source.onerror = () => say({ kind: source.readyState === 2 ? 'closed' : 'error' })
    listen(source)
    if (!endsBy204) source.addEventListener('close', () => source.close())
  }

  // watch tells what is on the screen: each item that is put into the feed.
  function watch(feed) {
    new MutationObserver((changes) => {
      for (const change of changes) {
        for (const node of change.addedNodes) {
          if (node.nodeType === 1 && node.dataset.id) say({ kind: 'event', event: 'message', id: node.dataset.id, data: node.textContent })
          else if (node.textContent.trim() !== '') say({ kind: 'event', event: 'message', id: '', data: node.textContent })
        }
      }
    }).observe(feed, { childList: true })
  }

  let url
  window.read = (client, address) => {
    url = address
    switch (client) {
      case 'EventSource':
        return classic(EventSource)
      case 'event-source-polyfill':
        return classic(EventSourcePolyfill)
      case 'reconnecting-eventsource':
        return classic(ReconnectingEventSource, false)
      case 'fetch-event-source': {
        const leave = new AbortController()
        // As its documentation has it: a stream that ends is an error to come back from.
        fetchEventSource(url, {
          signal: leave.signal,
          openWhenHidden: true,
          onmessage: ({ event, id, data }) => {
            say({ kind: 'event', event: event || 'message', id, data })
            if (event === 'close') leave.abort()
          },
          onclose: () => { throw new Error('come back') },
          onerror: (e) => say({ kind: 'error', text: String(e) }),
        }).catch((e) => say({ kind: 'closed', text: String(e) }))
        return
      }
      case 'htmx-2': {
        document.body.innerHTML = '<div hx-ext="sse"><div id="feed" sse-swap="message,order" hx-swap="beforeend"></div></div>'
        const outer = document.body.firstChild
        outer.setAttribute('sse-connect', url)
        outer.setAttribute('sse-close', 'close') // 204 does not end it
        watch(document.getElementById('feed'))
        document.body.addEventListener('htmx:sseOpen', (e) => {
          say({ kind: 'open' })
        })
        const make = htmx.createEventSource
        htmx.createEventSource = (address) => {
          const source = make(address)
          listen(source, names.filter((name) => name !== 'message' && name !== 'order'))
          return source
        }
        document.body.addEventListener('htmx:sseError', (e) => say({ kind: e.detail.source?.readyState === 2 ? 'closed' : 'error' }))
        htmx.process(document.body)
        return
      }
      case 'htmx-4': {
        document.body.innerHTML = '<div id="feed" hx-swap="beforeend" hx-sse:close="close"></div>'
        const feed = document.getElementById('feed')
        feed.setAttribute('hx-sse:connect', url)
        watch(feed)
        for (const name of names.slice(1)) {
          feed.addEventListener(name, (e) => say({ kind: 'event', event: e.type, id: e.detail.id, data: e.detail.data }))
        }
        feed.addEventListener('htmx:sse:after:connection', () => say({ kind: 'open' }))
        feed.addEventListener('htmx:sse:error', (e) => say({ kind: 'error', text: String(e.detail.error) }))
        feed.addEventListener('htmx:error', (e) => say({ kind: 'closed', text: String(e.detail.error) }))
        // By default it asks nobody but the page's own server.
        if (!url.startsWith(location.origin + '/')) htmx.config.mode = 'cors'
        return // it looks at the page by itself, once it has been loaded
      }
    }
    throw new Error(`no client ${client}`)
  }
})()
