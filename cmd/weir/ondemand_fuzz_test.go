package main

import (
	"testing"
	"time"
)

// What -topics accepts is within its bounds.
func FuzzTopics(f *testing.F) {
	for _, text := range []string{"run.*", "*,ttl=1h,max=3", "a,history=1,bytes=1024", "a,ttl=-1s", "a,max=", "a,a=b", "a,ttl=1h,ttl=1h", ",", "$x,max=1"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		d, err := parseDemand(text)
		if err != nil {
			return
		}
		o := d.opts
		if d.pattern == "" || o.Label == "" || o.IdleTTL < time.Second || o.Max < 1 || o.History < 0 || o.Bytes < 0 {
			t.Errorf("%q is %+v", text, d)
		}
	})
}
