package main

import (
	"bytes"
	"compress/gzip"
	"io"
	"maps"
	"net/http"
	"strings"
	"sync"

	collecttrace "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

// A collector takes everything by OTLP, and counts it.
type collector struct {
	mu sync.Mutex
	counts
}

type counts struct {
	spans          map[string]int // by name
	bytes, gzipped map[string]int // by path
}

func (c *collector) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	var traces collecttrace.ExportTraceServiceRequest
	if strings.HasSuffix(r.URL.Path, "/traces") {
		if err := proto.Unmarshal(body, &traces); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
	}
	var small bytes.Buffer
	z := gzip.NewWriter(&small)
	_, _ = z.Write(body) // into memory
	_ = z.Close()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.spans == nil {
		c.spans, c.bytes, c.gzipped = map[string]int{}, map[string]int{}, map[string]int{}
	}
	c.bytes[r.URL.Path] += len(body)
	c.gzipped[r.URL.Path] += small.Len()
	for _, rs := range traces.ResourceSpans {
		for _, ss := range rs.ScopeSpans {
			for _, s := range ss.Spans {
				c.spans[s.Name]++
			}
		}
	}
}

// snapshot returns what has come so far.
func (c *collector) snapshot() counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return counts{maps.Clone(c.spans), maps.Clone(c.bytes), maps.Clone(c.gzipped)}
}

func (n counts) since(before counts) counts {
	less := func(a, b map[string]int) map[string]int {
		d := map[string]int{}
		for k, v := range a {
			d[k] = v - b[k]
		}
		return d
	}
	return counts{less(n.spans, before.spans), less(n.bytes, before.bytes), less(n.gzipped, before.gzipped)}
}
