package e2e_test

import (
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Where topics are made on demand, any of them can be opened from the page.
func TestAnyTopicCanBeOpened(t *testing.T) {
	t.Parallel()
	s := startServer(t, "-source", "t=http", "-topics", "run.*")
	p := openPage(t, s.url())
	p.connect()
	open := func(name string) {
		t.Helper()
		p.run(`document.activeElement.blur()`)
		p.do(chromedp.KeyEvent("o"))
		p.wait(`document.activeElement.id === 'topic-name'`)
		// What was said of the name before is no answer to this one.
		p.run(`document.getElementById('topic-name').value = ''; document.getElementById('topic-name').setCustomValidity('')`)
		p.do(chromedp.KeyEvent(name), chromedp.KeyEvent(kb.Enter))
	}
	name := "A topic has 1 to 128 letters, digits and -._~!$&'()+;:@, does not begin with $, and is neither . nor .."
	made := "Topics are made here for these names alone: run.*"
	for wrong, why := range map[string]string{"a/b": name, "$x": name, ".": name, "..": name, "other": made, "run.": made} {
		open(wrong)
		p.wait(`document.getElementById('topic-name').validationMessage === %q && document.querySelector('#topics input:checked').value === 't'`, why)
	}
	// A name is never cut to one that fits.
	p.run(`document.getElementById('topic-name').value = 'run.' + 'x'.repeat(300); document.getElementById('topic-name').dispatchEvent(new Event('input')); document.getElementById('topic-form').requestSubmit()`)
	p.wait(`document.getElementById('topic-name').validationMessage.includes('at most 128') && document.querySelector('#topics input:checked').value === 't'`)
	open("run.42")
	p.wait(`location.search === '?topic=run.42' && document.querySelector('#topics input:checked').value === 'run.42'`)
	p.state("connected")
	s.publish("run.42", seq(0, 2)...)
	p.latest(1)
	p.click(`#views [data-view=streams]`)
	p.wait(`document.querySelector('.band')?.dataset.band === 'run.42' && document.querySelector('#streams-rows tr[data-own]').cells[3].textContent === 'run.42'`)
	p.click(`#views [data-view=feed]`)
	p.reload()
	p.state("connected")
	p.wait(`document.querySelector('#topics input:checked').value === 'run.42'`)
	contiguous(t, p.seqs(), 0, 2)
	// Its address is good before anybody has read it.
	other := openPage(t, s.url()+"/?topic=run.43")
	other.connect()
	if eval[bool](other, `document.getElementById('notice-banner').checkVisibility()`) {
		t.Error("the page does not know a topic that is made when it is read")
	}
	none := openPage(t, startServer(t, "-source", "t=http").url())
	if eval[bool](none, `Boolean(document.getElementById('topic-form'))`) {
		t.Error("a field for other topics, and there are none")
	}
}

// The topic that is marked is the one that is read, published to and in the title,
// whatever the page remembers and however the reader came to it.
func TestMarkedTopicIsTheOneInUse(t *testing.T) {
	t.Parallel()
	s := newServer(t, "-play", "-source", "t=http", "-source", "u=http")
	s.env = []string{"WEIR_PUBLISH_TOKEN="}
	s.start()
	p := openPage(t, s.url()+"/t/run.1")
	isAll := func(topic string) {
		t.Helper()
		p.wait(`document.querySelector('#topics input:checked')?.value === %q && document.title === %q + ' · Weir' && document.getElementById('try-curl').textContent.endsWith('/t/' + %[1]q)`, topic, topic)
		p.connect()
		p.run(`document.getElementById('try-text').value = 'to ' + %q; document.getElementById('publish').click()`, topic)
		p.wait(`document.querySelector('#sse-feed .data-item:last-child .item-text')?.textContent === 'to ' + %q`, topic)
		p.run(`document.getElementById('disconnect').click()`)
		p.state("disconnected")
	}
	isAll("run.1")
	for _, address := range []string{"/", "/?view=feed"} { // which name none: the tab goes on where it was
		p.do(chromedp.Navigate(s.url() + address))
		isAll("run.1")
	}
	p.do(chromedp.Navigate(s.url() + "/?topic=t")) // an address wins over what is remembered
	isAll("t")
	// Back leads to an address, and to its topic.
	p.click(`#views [data-view=streams]`)
	p.click(`#topics input[value=u] + span`)
	p.wait(`location.search.includes('topic=u')`)
	p.run(`history.back()`)
	p.wait(`document.title === 't · streams · Weir' && document.querySelector('#topics input:checked').value === 't'`)
	p.run(`history.back()`)
	isAll("t")
	// A topic that is not to be had is not gone on with.
	p.run(`addEventListener('pagehide', () => sessionStorage.setItem('weir-tab', JSON.stringify({ ...JSON.parse(sessionStorage.getItem('weir-tab')), topic: '$gone' })))`)
	p.do(chromedp.Navigate(s.url() + "/"))
	isAll("t")
}

// A name that no topic can have is told as that: where any topic can be opened, none is
// missing.
func TestAddressWithABadNameOfATopic(t *testing.T) {
	t.Parallel()
	s := newServer(t, "-play")
	s.env = []string{"WEIR_PUBLISH_TOKEN="}
	s.start()
	for query, want := range map[string]string{
		"?topic=bad%20name":                  "“bad name” cannot be the name of a topic. A topic has 1 to 128 letters",
		"?topic=$x":                          "“$x” cannot be the name of a topic. A topic has 1 to 128 letters",
		"?topic=" + strings.Repeat("a", 200): "“" + strings.Repeat("a", 64) + "…” cannot be the name of a topic. The name of a topic has at most 128 characters: this one has 200.",
	} {
		p := openPage(t, s.url()+"/"+query)
		p.wait(`document.getElementById('notice-banner').dataset.notice === 'unknown-topic' && document.getElementById('notice-message').textContent.startsWith(%q)`, want)
		p.wait(`document.documentElement.scrollWidth <= innerWidth`)
	}
}
