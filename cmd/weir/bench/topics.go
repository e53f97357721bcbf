package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// maxFirst is how many new topics' first events are timed at most.
const maxFirst = 1000

// A topicRun measures topics that are made on demand: it makes many, which stay
// empty, and then looks at what one costs in memory, at what a request to publish
// costs while they are there, and at how long the first event of one more takes to
// its reader.
type topicRun struct {
	opts   *Options
	r      *Report
	client *http.Client
	run    string // part of the names of the topics
}

// Topics is what a run of topics found.
type Topics struct {
	Made int `json:"made"`
	// Bytes is what one of them takes in the server's memory.
	Bytes float64 `json:"bytes_each"`
	// Making is how long all of them took.
	Making float64 `json:"making_seconds"`
	// Requests is how many events were published one by one while they were there,
	// each to another topic; CPU is what one took of the server's.
	Requests int64 `json:"requests"`
	CPU      CPU   `json:"request_cpu"`
	// First is how many topics more were made, each by a reader, and had an event.
	First int `json:"first"`
}

// measureTopics is Measure for Options.Topics.
func measureTopics(ctx context.Context, o Options) (*Report, error) {
	t := &topicRun{opts: &o, r: newReport(&o), run: strconv.FormatInt(rand.Int64N(1e9), 36)}
	transport := &http.Transport{MaxIdleConnsPerHost: topicWorkers}
	defer transport.CloseIdleConnections()
	t.client = &http.Client{Transport: transport}
	t.r.Topics, t.r.Server = &Topics{Made: o.Topics}, &Server{PID: o.PID}
	before, err := t.memory()
	if err != nil {
		return nil, err
	}
	t.r.Server.RSSBefore = before
	began := time.Now()
	if err := t.make(ctx); err != nil {
		return nil, err
	}
	t.r.Topics.Making = math.Round(time.Since(began).Seconds()*1e3) / 1e3
	if err := pause(ctx, o.Settle); err != nil {
		return nil, err
	}
	after, err := t.memory()
	if err != nil {
		return nil, err
	}
	t.r.Server.RSSConnected, t.r.Server.RSSPeak = after, after
	t.r.Topics.Bytes = math.Round(float64(after-before) / float64(o.Topics))
	if err := t.requests(ctx); err != nil {
		return nil, err
	}
	return t.r, t.firsts(ctx)
}

// memory is what the server has in use: its live heap where it tells that, else
// what is resident.
func (t *topicRun) memory() (int64, error) {
	if t.opts.Heap != nil {
		return t.opts.Heap()
	}
	if t.opts.PID == 0 {
		return 0, nil
	}
	return procRSS(t.opts.PID)
}

func (t *topicRun) address(path, topic string) string {
	u := *t.opts.url
	if path != "" {
		u.Path = path
	}
	q := u.Query()
	q.Set("topic", strings.Replace(q.Get("topic"), "*", t.run+"."+topic, 1))
	u.RawQuery = q.Encode()
	return u.String()
}

// topicWorkers is how many requests are under way at once.
const topicWorkers = 4

// make has the topics made, by asking for each without reading it.
func (t *topicRun) make(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var workers sync.WaitGroup
	for w := range topicWorkers {
		workers.Go(func() {
			for i := w; i < t.opts.Topics && ctx.Err() == nil; i += topicWorkers {
				if err := t.ask(ctx, "HEAD", t.address("", strconv.Itoa(i)), ""); err != nil {
					cancel(err)
				}
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}

func (t *topicRun) request(ctx context.Context, method, url, body string) (*http.Response, error) {
	r, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	for name, values := range t.opts.Header {
		r.Header[name] = values
	}
	if method == "POST" {
		r.Header.Set("Content-Type", "application/json")
		r.Header.Set("Authorization", "Bearer "+t.opts.Token)
	}
	resp, err := t.client.Do(r)
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 512))
		_ = resp.Body.Close()
		return nil, fmt.Errorf("%s %s: %s", method, url, refusal(resp.StatusCode, text))
	}
	return resp, nil
}

func (t *topicRun) ask(ctx context.Context, method, url, body string) error {
	resp, err := t.request(ctx, method, url, body)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return errors.Join(err, resp.Body.Close())
}

// requests publishes one event after another, each to one of the topics, for as long
// as the run is to last, and at most one to each.
func (t *topicRun) requests(ctx context.Context) error {
	body := `{"pad":"` + strings.Repeat("x", t.opts.Size) + `"}`
	cpu := func() time.Duration {
		used, _ := procCPU(t.opts.PID) // without a process: 0
		return used
	}
	began, before, own := time.Now(), cpu(), ownCPU()
	n := int64(0)
	for ; time.Since(began) < t.opts.Duration; n++ {
		if err := t.ask(ctx, "POST", t.address("/publish", strconv.Itoa(int(n)%t.opts.Topics)), body); err != nil {
			return err
		}
	}
	seconds := time.Since(began).Seconds()
	each := func(d time.Duration) CPU {
		return CPU{Seconds: d.Seconds(), Cores: math.Round(d.Seconds()/seconds*1e3) / 1e3, PerDelivery: math.Round(float64(d)/float64(n)) / 1e3}
	}
	t.r.Seconds, t.r.Topics.Requests = seconds, n
	t.r.Topics.CPU, t.r.Own = each(cpu()-before), each(ownCPU()-own)
	return nil
}

// firsts times the first event of new topics, each of which a reader has just opened.
func (t *topicRun) firsts(ctx context.Context) error {
	times := newHistogram()
	for end, n := time.Now().Add(t.opts.Duration), 0; n < maxFirst && (n == 0 || time.Now().Before(end)); n++ {
		if err := t.first(ctx, n, times); err != nil {
			return fmt.Errorf("the first event of a new topic: %w", err)
		}
		t.r.Topics.First++
	}
	t.r.Latency = quantiles(times)
	t.r.Events.Expected, t.r.Events.Delivered = int64(t.r.Topics.First), int64(t.r.Topics.First)
	return nil
}

func (t *topicRun) first(ctx context.Context, n int, times *hdrhistogram.Histogram) error {
	ctx, cancel := context.WithTimeout(ctx, t.opts.Drain)
	defer cancel()
	topic := "first." + strconv.Itoa(n)
	resp, err := t.request(ctx, "GET", t.address("", topic), "")
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	published := time.Now()
	sent := make(chan error, 1)
	go func() { sent <- t.ask(ctx, "POST", t.address("/publish", topic), `{"first":`+strconv.Itoa(n)+`}`) }()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() {
		if line := lines.Text(); strings.HasPrefix(line, "data:") && strings.Contains(line, `"first":`+strconv.Itoa(n)+`}`) {
			record(times, int64(time.Since(published)))
			return <-sent
		}
	}
	return errors.Join(errors.New("the stream ended without it"), lines.Err(), <-sent)
}

// line tells of the topics, for people.
func (t *Topics) line() string {
	return fmt.Sprintf("%s made in %s s · %s each · %s requests to publish, %s µs of the server's CPU each · first event of %d more",
		group(int64(t.Made)), figure(t.Making), sizef(t.Bytes), group(t.Requests), figure(t.CPU.PerDelivery), t.First)
}
