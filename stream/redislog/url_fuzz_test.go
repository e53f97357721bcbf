package redislog_test

import (
	"net/url"
	"strings"
	"testing"

	"weir/stream/redislog"
)

// An address of Redis is accepted or refused, and neither an error nor the name
// of what was accepted shows the password.
func FuzzURL(f *testing.F) {
	for _, form := range []string{
		"redis://u:PASS@h:1/2", "rediss://:PASS@h", "unix://:PASS@/path?db=1", "redis+sentinel://u:PASS@a:1,b:2/m?db=1&sentinel_password=PASS",
		"unix:/PASS@h", "redis+cluster://:PASS@a:1,[::1]:2", "redis://PASS@h", "redis://:PASS@h:99999", "redis://:PASS@h/x?y=PASS", "://:PASS@", "redis+x://:PASS@h",
	} {
		f.Add(form, "s3cret")
	}
	f.Fuzz(func(t *testing.T, form, secret string) {
		if len(secret) < 6 || strings.Contains(form, secret) || strings.Trim(secret, "abcdefghijklmnopqrstuvwxyz0123456789") != "" {
			return
		}
		name, err := redislog.ParseURL(strings.ReplaceAll(form, "PASS", secret))
		if err != nil {
			name = err.Error()
		}
		// A host, a path and a master's name are no secrets.
		if u, err := url.Parse(form); err == nil && !strings.Contains(u.User.String()+u.RawQuery, "PASS") {
			return
		}
		if begin := strings.LastIndex(form, "@"); strings.Contains(name, secret) && !strings.Contains(form[begin+1:], "PASS") {
			t.Errorf("%q: %q shows the password", form, name)
		}
	})
}
