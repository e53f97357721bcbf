package main

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/stream/streamtest"
)

// What net/http has to say is shown, each kind once a second at most, and what
// was left out is counted: nothing is lost of a storm, and nothing grows by it.
func TestFaultLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out streamtest.Buffer
		read := 0
		faults := newFaultLog(slog.New(slog.NewJSONHandler(&out, &slog.HandlerOptions{Level: slog.LevelWarn})))
		log := faults.logger()
		type record struct {
			Level, Msg, Error, Stack string
			Times                    int
		}
		logged := func() (records []record) {
			synctest.Wait()
			text := out.String()
			for line := range strings.Lines(text[read:]) {
				var r record
				if err := json.Unmarshal([]byte(line), &r); err != nil {
					t.Fatal(err)
				}
				records = append(records, r)
			}
			read = len(text)
			return records
		}
		storm := func(n int) {
			for i := range n {
				log.Printf("http: TLS handshake error from 192.0.2.1:%d: EOF", i)
			}
		}
		storm(1000)
		if got := logged(); len(got) != 1 || got[0].Level != "WARN" || got[0].Error != "http: TLS handshake error from 192.0.2.1:0: EOF" || got[0].Times != 0 {
			t.Errorf("at first: %+v", got)
		}
		log.Print("http: panic serving 192.0.2.1:1: oh\ngoroutine 7 [running]:\nmain.main()")
		if got := logged(); len(got) != 1 || got[0].Level != "ERROR" || got[0].Error != "http: panic serving 192.0.2.1:1: oh" || got[0].Stack == "" {
			t.Errorf("a panic beside it: %+v", got)
		}
		time.Sleep(time.Second + time.Millisecond)
		if got := logged(); len(got) != 1 || got[0].Times != 999 || got[0].Error != "http: TLS handshake error from 192.0.2.1:999: EOF" {
			t.Errorf("a second later: %+v", got)
		}
		storm(5)
		if got := logged(); len(got) != 0 {
			t.Errorf("too soon: %+v", got)
		}
		total := 0
		for range 100 {
			storm(10)
			time.Sleep(100 * time.Millisecond)
			got := logged()
			if len(got) > 1 {
				t.Errorf("%d records at once", len(got))
			}
			for _, r := range got {
				total += max(r.Times, 1)
			}
		}
		time.Sleep(time.Minute)
		for _, r := range logged() {
			total += max(r.Times, 1)
		}
		if total != 1005 {
			t.Errorf("%d faults are accounted for, there were 1005", total)
		}
		storm(1) // after a quiet time it is told at once
		if got := logged(); len(got) != 1 {
			t.Errorf("after a minute: %+v", got)
		}
		storm(3)
		faults.close()
		storm(3)
		if got := logged(); len(got) != 1 || got[0].Times != 3 {
			t.Errorf("at the end: %+v", got)
		}
		for line, message := range map[string]string{
			"http: Accept error: accept tcp 127.0.0.1:1: too many open files; retrying in 5ms": "a connection cannot be accepted",
			"http2: panic serving 192.0.2.1:1: oh":                                             "a handler has panicked",
			"anything":                                                                         "a fault in serving HTTP",
		} {
			faults := newFaultLog(slog.New(slog.NewJSONHandler(&out, nil)))
			fmt.Fprintln(faults, line)
			if got := logged(); len(got) != 1 || got[0].Msg != message || got[0].Error != line {
				t.Errorf("%s: %+v", line, got)
			}
			faults.close()
		}
	})
}
