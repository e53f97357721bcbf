package web_test

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream"
	"weir/stream/streamtest"
	"weir/web"
)

// A slowBroker takes its time to store.
type slowBroker struct {
	streamtest.MemoryBroker
	takes time.Duration
}

func (b *slowBroker) Publish(ctx context.Context, topic string, p *stream.Publication) error {
	select {
	case <-time.After(b.takes):
	case <-ctx.Done():
	}
	return b.MemoryBroker.Publish(ctx, topic, p)
}

// The time for a body is for the body alone: an event whose body came late, and
// in time, is stored for as long as that may take.
func TestBodyComesLateAndIsStoredSlowly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSiteOn(t, stream.HubOptions{Broker: &slowBroker{takes: 10 * time.Second}}, func(o *web.Options) {
			o.Access.Rights = mustRights(t, secret, "", "")
		})
		pipes := streamtest.NewListener()
		server := &http.Server{Handler: s.public}
		go server.Serve(pipes)
		defer server.Close()
		conn := dial(t, pipes)
		defer conn.Close()
		if _, err := io.WriteString(conn, "POST /publish?topic=one HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+secret+"\r\nContent-Length: 1\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(25 * time.Second)
		if _, err := io.WriteString(conn, "1"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if body, _ := io.ReadAll(resp.Body); resp.StatusCode != http.StatusOK {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
	})
}
