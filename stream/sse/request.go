package sse

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// A StatusError is an answer that is no stream.
type StatusError struct {
	StatusCode  int
	ContentType string
	// Body is the beginning of what the answer says, at most 4 KiB.
	Body string
	// RetryAfter is how long the server asks to stay away; 0 if it does not say.
	RetryAfter time.Duration
}

func (e *StatusError) Error() string {
	text := fmt.Sprintf("sse: the server answers %d %s", e.StatusCode, http.StatusText(e.StatusCode))
	if e.StatusCode == http.StatusOK {
		return text + fmt.Sprintf(", but with %q in place of text/event-stream", e.ContentType)
	}
	if line, _, _ := strings.Cut(strings.TrimSpace(e.Body), "\n"); line != "" {
		text += ": " + line
	}
	return text
}

// request asks for the stream, and returns whatever the answer is.
func (c *Client) request(ctx context.Context) (*http.Response, error) {
	u, err := url.Parse(c.url)
	if err == nil && (u.Host == "" || u.Scheme == "") {
		err = fmt.Errorf("sse: %q is no absolute URL", c.url)
	}
	if err != nil {
		return nil, &finalError{err}
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url, nil)
	if err != nil {
		return nil, &finalError{err}
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Cache-Control", "no-cache")
	for name, values := range c.options.Header {
		req.Header[http.CanonicalHeaderKey(name)] = values
	}
	if id := c.LastEventID(); id != "" {
		if strings.ContainsFunc(id, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }) {
			return nil, &finalError{fmt.Errorf("sse: no request can carry the last event ID %q", id)}
		}
		req.Header.Set("Last-Event-ID", id)
	}
	if c.options.Prepare != nil {
		if err := c.options.Prepare(req); err != nil {
			return nil, &finalError{err}
		}
	}
	return c.options.HTTPClient.Do(req)
}

// judge returns the body of an answer that is a stream, decompressed. Otherwise
// it returns the reason, which is nil if the stream has ended for good.
func judge(resp *http.Response) (io.Reader, error) {
	kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")) // what cannot be read is no stream
	switch {
	case resp.StatusCode == http.StatusNoContent:
		return nil, nil
	case resp.StatusCode == http.StatusOK && kind == "text/event-stream":
		// What the transport has decompressed by itself has no such header.
		switch encoding := strings.ToLower(resp.Header.Get("Content-Encoding")); encoding {
		case "", "identity":
			return resp.Body, nil
		case "gzip", "x-gzip":
			return &gzipReader{from: resp.Body}, nil
		default:
			return nil, &finalError{fmt.Errorf("sse: the stream comes in the encoding %q, which was not asked for", encoding)}
		}
	}
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 4<<10)) // as much of it as there is
	err := &StatusError{
		StatusCode: resp.StatusCode, ContentType: resp.Header.Get("Content-Type"), Body: string(text),
		RetryAfter: retryAfter(resp.Header),
	}
	switch code := resp.StatusCode; {
	case code >= 500, code == http.StatusRequestTimeout, code == http.StatusTooManyRequests:
		return nil, err
	default:
		return nil, &finalError{err}
	}
}

// retryAfter reads Retry-After, seconds or a date (RFC 9110, section 10.2.3).
// A date is compared with the server's own clock, if it tells the time. What
// cannot be read is 0, and nothing is more than a day.
func retryAfter(header http.Header) time.Duration {
	const longest = 24 * time.Hour
	value := header.Get("Retry-After")
	seconds, err := strconv.ParseUint(value, 10, 64)
	if err == nil || errors.Is(err, strconv.ErrRange) {
		return time.Duration(min(seconds, uint64(longest/time.Second))) * time.Second
	}
	date, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(header.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return min(max(date.Sub(now), 0), longest)
}

// A gzipReader decompresses a stream. Unlike gzip.NewReader it does not wait for
// the first bytes before somebody reads.
type gzipReader struct {
	from io.Reader
	zip  *gzip.Reader
	err  error
}

func (g *gzipReader) Read(p []byte) (int, error) {
	if g.zip == nil && g.err == nil {
		g.zip, g.err = gzip.NewReader(g.from)
	}
	if g.err != nil {
		return 0, g.err
	}
	return g.zip.Read(p)
}

// gapOf returns what a gap event tells, or nil if data is something else: events
// of that name may exist elsewhere, too.
func gapOf(data []byte) error {
	var gap struct{ From, To, Reason *string }
	if err := json.Unmarshal(data, &gap); err != nil || gap.From == nil || gap.To == nil || gap.Reason == nil {
		return nil
	}
	return &GapError{From: *gap.From, To: *gap.To, Reason: *gap.Reason}
}
