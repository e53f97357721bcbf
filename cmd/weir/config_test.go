package main

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"weir/stream"
	"weir/stream/source"
)

var testKinds = new(process).kinds()

// parse reads flags and an environment, which are separated by "--".
func parse(t *testing.T, words ...string) (*config, error) {
	t.Helper()
	args, environ := words, []string(nil)
	if i := slices.Index(words, "--"); i >= 0 {
		args, environ = words[:i], words[i+1:]
	}
	return parseConfig(args, environ, io.Discard, new(process).kinds())
}

// refused checks that a mistake is one, and what is said of it.
func refused(t *testing.T, err error, says ...string) {
	t.Helper()
	if !errors.As(err, new(usageError)) {
		t.Errorf("error %v is none of usage", err)
		return
	}
	for _, s := range says {
		if !strings.Contains(err.Error(), s) {
			t.Errorf("%q does not say %q", err, s)
		}
	}
	if strings.ContainsAny(err.Error(), "\n") {
		t.Errorf("%q is more than one line", err)
	}
}

func TestDefaults(t *testing.T) {
	c, err := parse(t)
	if err != nil {
		t.Fatal(err)
	}
	if c.addr != "127.0.0.1:8080" || c.history != 1000 && c.history < 1 || !slices.Equal(c.sources, []string{"sensor", "host"}) || c.limits.Conns != 10_000 ||
		c.limits.ConnsPerClient != 100 || c.limits.ConnectRate != 20 || c.limits.PublishRate != 100 || c.limits.MaxBody != 1<<20 || c.node == "" ||
		c.rights.PublishToken != "" || c.corsOrigins != nil || c.limits.Proxies != nil || c.drain != 5*time.Second || c.eventTraces != 50 {
		t.Errorf("%+v", c)
	}
}

// values has for every flag what is refused, what the message says is
// accepted, and what is good.
var values = map[string]struct {
	bad      []string
	accepted string
	good     []string
}{
	"addr":                    {[]string{"", "8080", "localhost", "127.0.0.1", "127.0.0.1:http", ":65536", ":-1", "::1:80", "a:1:2"}, "want HOST:PORT", []string{":0", "127.0.0.1:8080", "[::1]:80", "localhost:1"}},
	"source":                  {[]string{"", "nothing", "a b=sensor", "=sensor", "sensor:x", "host:x", "file:", "exec:", "x/y=http", strings.Repeat("x", 129) + "=http"}, "", []string{"http", "orders=http", "a=exec:sleep 1"}},
	"history":                 {[]string{"", "0", "-1", "1.5", "ten", "10000001", "99999999999999999999"}, "want a whole number from 1 to 10000000", []string{"1", "10000000"}},
	"history-bytes":           {[]string{"1023", "1MB"}, "want a whole number from 1024", []string{"1024"}},
	"node":                    {[]string{""}, "want a value", []string{"n1"}},
	"tls-cert":                {[]string{""}, "want a value", nil},
	"tls-key":                 {[]string{""}, "want a value", nil},
	"admin-addr":              {[]string{"9090"}, "want HOST:PORT", []string{"127.0.0.1:0"}},
	"heartbeat":               {[]string{"", "15", "99ms", "2h", "-1s", "soon"}, "want a duration from 100ms to 1h0m0s, such as", []string{"100ms", "1h"}},
	"write-timeout":           {[]string{"0", "0s"}, "want a duration", []string{"10s"}},
	"retry":                   {[]string{"0", "1us"}, "want a duration", []string{"1ms"}},
	"pace":                    {[]string{"-1ms", "2s"}, "want a duration from 0s to 1s", []string{"0", "5ms"}},
	"transport":               {[]string{"", "AUTO", "http"}, "want one of auto, net/http", []string{"auto", "net/http"}},
	"compress":                {[]string{"maybe", "yes"}, "want true or false", []string{"true", "false", "1", "0"}},
	"lifetime":                {[]string{"-1s", "1y"}, "want a duration", []string{"0", "1h"}},
	"drain":                   {[]string{"-1s", "2h"}, "want a duration", []string{"0", "0s", "30s"}},
	"publish-token":           {[]string{""}, "want a value", []string{"x"}},
	"subscribe-token":         {[]string{""}, "want a value", []string{"x"}},
	"token-file":              {[]string{""}, "want a value", []string{"x"}},
	"cors-origin":             {[]string{"", "null", "example.org", "https://example.org/", "https://*.example.org", "https://a.test,null"}, "want an origin such as https://example.org", []string{"*", "https://example.org", "http://a.test:1,http://b.test"}},
	"trusted-proxy":           {[]string{"", ",", "proxy", "10.0.0.0/33", "10.0.0.1,x"}, "10.0.0.0/8", []string{"10.0.0.0/8", "::1", "10.0.0.1,10.0.0.2"}},
	"jwt-keys":                {[]string{""}, "want a value", []string{"keys.json"}},
	"jwt-audience":            {[]string{""}, "want a value", nil},
	"topics":                  {[]string{"", "a b", "r*n", "run.*,", "run.*,ttl", "run.*,ttl=1ms", "run.*,max=0", "run.*,history=x", "run.*,ttl=1h,ttl=2h", "run.*,size=1", ",ttl=1h", "a/b"}, "", []string{"*", "demo", "run.*", "run.*,ttl=1h,max=100000,history=10,bytes=1024"}},
	"play":                    {[]string{"x"}, "want true or false", []string{"true"}},
	"ticket-life":             {[]string{"", "0", "999ms", "1y"}, "want a duration from 1s", []string{"1s", "24h"}},
	"host":                    {[]string{"", "https://a.test", "a.test:80", "*.a.test", "a/b"}, "want a name such as weir.example.org", []string{"a.test", "A.Test.", "192.0.2.1", "[2001:db8::1]"}},
	"max-sockets":             {[]string{"-1", "many"}, "want a whole number from 0", []string{"0", "1"}},
	"max-sockets-per-client":  {[]string{"-1", ""}, "want a whole number from 0", []string{"0", "1"}},
	"max-requests":            {[]string{"-1"}, "want a whole number from 0", []string{"0", "1"}},
	"max-requests-per-client": {[]string{"-1"}, "want a whole number from 0", []string{"0", "1"}},
	"max-conns":               {[]string{"-1", "many"}, "want a whole number from 0", []string{"0", "1"}},
	"max-conns-per-client":    {[]string{"-1", "1e3"}, "want a whole number from 0", []string{"0", "1"}},
	"connect-rate":            {[]string{"-1", "NaN", "Inf", "-Inf", "1e10", "2/s", ""}, "want a number from 0", []string{"0", "0.5"}},
	"publish-rate":            {[]string{"-0.1", "nan"}, "want a number from 0", []string{"0", "1e9"}},
	"max-body":                {[]string{"0", "1023", "1073741825"}, "want a whole number from 1024 to 1073741824", []string{"1024"}},
	"redis":                   {[]string{""}, "want a value", nil},
	"redis-wait":              {[]string{"x"}, "want true or false", nil},
	"data":                    {[]string{""}, "want a value", []string{"x"}},
	"sync":                    {[]string{"x"}, "want true or false", nil},
	"event-traces":            {[]string{"-1", "1.5"}, "want a whole number from 0", []string{"0", "1000000"}},
	"log-level":               {[]string{"", "INFO", "5", "info+1"}, "want debug, info, warn or error", []string{"debug", "info", "warn", "error"}},
	"jaeger-ui":               {[]string{"", "localhost:16686", "ftp://x", "//x", "http://"}, "want a URL such as", []string{"https://jaeger.example/ui"}},
}

func TestEachFlag(t *testing.T) {
	settings := (&config{kinds: testKinds}).settings()
	for _, s := range settings {
		cases, listed := values[s.name]
		if !listed {
			t.Errorf("flag -%s has no test", s.name)
			continue
		}
		for _, bad := range cases.bad {
			_, err := parse(t, "-"+s.name+"="+bad)
			refused(t, err, "-"+s.name, `"`+bad+`"`, cases.accepted)
			if bad == "" {
				continue // as if it were not set
			}
			_, err = parse(t, "--", s.env()+"="+bad)
			refused(t, err, s.env(), `"`+bad+`"`, cases.accepted)
		}
		for _, good := range cases.good {
			byFlag, err := parse(t, "-"+s.name+"="+good)
			if err != nil {
				t.Errorf("-%s=%s: %v", s.name, good, err)
				continue
			}
			byVariable, err := parse(t, "--", s.env()+"="+good)
			if err != nil {
				t.Errorf("%s=%s: %v", s.env(), good, err)
				continue
			}
			for _, c := range []*config{byFlag, byVariable} { // which have functions in them
				c.kinds, c.feeds, c.sourcesFrom = nil, nil, ""
			}
			byFlag.exposed = nil // a flag is read by others, a variable is not
			if !reflect.DeepEqual(byFlag, byVariable) {
				t.Errorf("-%s=%s gives %+v, and by %s %+v", s.name, good, byFlag, s.env(), byVariable)
			}
		}
		if s.value == "" && len(cases.good) > 0 { // a switch needs no value
			if _, err := parse(t, "-"+s.name); err != nil {
				t.Error(err)
			}
		}
	}
	if len(values) != len(settings) {
		t.Errorf("%d flags are tested, there are %d", len(values), len(settings))
	}
	if _, err := parse(t, "-source", "nothing"); err == nil || !strings.Contains(err.Error(), strings.Join(testKinds.Names(), ", ")) {
		t.Errorf("the kinds of sources are not told: %v", err)
	}
}

func TestEnvironmentNames(t *testing.T) {
	for name, want := range map[string]string{"addr": "WEIR_ADDR", "max-conns-per-client": "WEIR_MAX_CONNS_PER_CLIENT", "tls-cert": "WEIR_TLS_CERT"} {
		if got := (setting{name: name}).env(); got != want {
			t.Errorf("%s is %s", name, got)
		}
	}
	_, err := parse(t, "--", "WEIR_ZZZ=1", "WEIR_HISTROY=5", "PATH=/bin", "WEIR_=x")
	refused(t, err, "WEIR_", "weir --help", "WEIR_ADDR for -addr")
	_, err = parse(t, "--", "WEIR_ZZZ=1", "WEIR_HISTROY=5")
	refused(t, err, "WEIR_HISTROY") // the first by name, each time
	// What Kubernetes sets for services called weir and weir-admin.
	_, err = parse(t, "--", "WEIR_SERVICE_HOST=10.0.0.1", "WEIR_SERVICE_PORT=80", "WEIR_SERVICE_PORT_HTTP=80", "WEIR_PORT=tcp://10.0.0.1:80",
		"WEIR_PORT_80_TCP=tcp://10.0.0.1:80", "WEIR_PORT_80_TCP_PROTO=tcp", "WEIR_PORT_80_TCP_PORT=80", "WEIR_PORT_80_TCP_ADDR=10.0.0.1",
		"WEIR_ADMIN_SERVICE_HOST=10.0.0.2", "WEIR_ADMIN_PORT_9090_TCP_ADDR=10.0.0.2")
	if err != nil {
		t.Error(err)
	}
	for _, s := range (&config{kinds: testKinds}).settings() {
		if serviceLink.MatchString(s.env()) {
			t.Errorf("%s would be passed over", s.env())
		}
	}
}

func TestPrecedence(t *testing.T) {
	c, err := parse(t, "-history", "5", "-compress=false", "--", "WEIR_HISTORY=7", "WEIR_COMPRESS=true", "WEIR_HEARTBEAT=3s", "WEIR_NODE=")
	if err != nil {
		t.Fatal(err)
	}
	if c.history != 5 || c.compress || c.heartbeat != 3*time.Second || c.node != defaultNode() {
		t.Errorf("%+v", c)
	}
	// What may be given more than once adds up, and replaces the environment's.
	environ := []string{"--", "WEIR_SOURCE=a=http\nb=http\n", "WEIR_CORS_ORIGIN=https://a.test\nhttps://b.test,https://c.test", "WEIR_TRUSTED_PROXY=10.0.0.0/8\n::1"}
	c, err = parse(t, environ...)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.sources, []string{"a=http", "b=http"}) || !slices.Equal(c.corsOrigins, []string{"https://a.test", "https://b.test", "https://c.test"}) || len(c.limits.Proxies) != 2 {
		t.Errorf("%+v", c)
	}
	c, err = parse(t, append([]string{"-source", "c=http", "-source=d=http", "-cors-origin", "https://d.test", "-trusted-proxy", "10.1.1.1", "-trusted-proxy", "10.1.1.2"}, environ...)...)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(c.sources, []string{"c=http", "d=http"}) || !slices.Equal(c.corsOrigins, []string{"https://d.test"}) || len(c.limits.Proxies) != 2 {
		t.Errorf("%+v", c)
	}
	// A mistake in the environment is one also where a flag wins.
	_, err = parse(t, "-history", "5", "--", "WEIR_HISTORY=x")
	refused(t, err, "WEIR_HISTORY")
}

func TestIncompatible(t *testing.T) {
	for _, tc := range []struct {
		args, says []string
	}{
		{[]string{"-tls-cert", "x"}, []string{"-tls-cert", "-tls-key"}},
		{[]string{"-tls-key", "x"}, []string{"-tls-cert", "-tls-key"}},
		{[]string{"-redis", "redis://x", "-data", "x"}, []string{"-redis", "-data"}},
		{[]string{"-redis-wait"}, []string{"-redis-wait needs -redis"}},
		{[]string{"-sync"}, []string{"-sync needs -data"}},
		{[]string{"-source", "sensor", "-source", "sensor"}, []string{"-source", "one topic, sensor"}},
		{[]string{"-source", "a=http", "-source", "a=sensor"}, []string{`"a=http" and "a=sensor"`}},
		{[]string{"--", "WEIR_SYNC=true"}, []string{"-sync needs -data"}},
		{[]string{"serve"}, []string{`unknown command "serve"`, "bench, version, help"}},
		{[]string{"-compress", "yes"}, []string{`unknown command "yes"`}},
		{[]string{"-nothing"}, []string{"-nothing"}},
		{[]string{"-addr"}, []string{"needs an argument", "-addr"}},
	} {
		_, err := parse(t, tc.args...)
		refused(t, err, tc.says...)
	}
	for _, good := range [][]string{{"-tls-cert", "x", "-tls-key", "y"}, {"-redis", "redis://x", "-redis-wait"}, {"-data", "x", "-sync"}} {
		if _, err := parse(t, good...); err != nil {
			t.Errorf("%v: %v", good, err)
		}
	}
}

func TestHelp(t *testing.T) {
	var flagHelp, command bytes.Buffer
	for _, arg := range []string{"-h", "-help", "--help"} {
		flagHelp.Reset()
		if _, err := parseConfig([]string{arg}, nil, &flagHelp, testKinds); !errors.Is(err, flag.ErrHelp) {
			t.Errorf("%s: %v", arg, err)
		}
	}
	printHelp(&command, (&config{kinds: testKinds}).settings())
	if command.String() != flagHelp.String() {
		t.Error("weir help and weir --help differ")
	}
	var table bytes.Buffer
	printMarkdown(&table, (&config{kinds: testKinds}).settings())
	rows := strings.Split(strings.TrimSpace(table.String()), "\n")
	for i, s := range (&config{kinds: testKinds}).settings() {
		head := strings.TrimSpace("-" + s.name + " " + s.value)
		if !strings.Contains(command.String(), "\n  "+head+"\n") {
			t.Errorf("help does not list %s", head)
		}
		if s.def != "" && !strings.Contains(strings.Join(strings.Fields(command.String()), " "), "(default "+s.def+")") {
			t.Errorf("help does not tell the default of -%s", s.name)
		}
		if s.usage == "" || s.group == "" {
			t.Errorf("-%s is not explained", s.name)
		}
		row := rows[i+2]
		if !strings.HasPrefix(row, "| `"+head+"` | ") || strings.Count(strings.ReplaceAll(row, `\|`, ""), "|") != 4 {
			t.Errorf("row %q is not of %s", row, head)
		}
	}
	headings := map[string]bool{}
	for line := range strings.Lines(command.String()) {
		if strings.HasSuffix(line, ":\n") && !strings.HasPrefix(line, " ") {
			if headings[line] {
				t.Errorf("the heading %q stands twice", line)
			}
			headings[line] = true
		}
		if len([]rune(line)) > 100 {
			t.Errorf("%q is too long for a terminal", line)
		}
	}
	for _, word := range []string{"WEIR_WRITE_TIMEOUT", "Exit status", "OTEL_", "weir bench"} {
		if !strings.Contains(command.String(), word) {
			t.Errorf("help does not mention %s", word)
		}
	}
}

func TestTokenFileFlagIsNotRead(t *testing.T) {
	// It is read when the server starts, so that one mistake is told one way.
	if _, err := parse(t, "-token-file", filepath.Join(os.TempDir(), "no such file")); err != nil {
		t.Error(err)
	}
}

// Each source is opened once: those of the environment not at all where flags
// replace them.
func TestSourcesAreOpenedOnce(t *testing.T) {
	opened := map[string]int{}
	kinds := source.Kinds{{Name: "probe", Open: func(argument string) (stream.Source, error) {
		opened[argument]++
		return source.HTTP{}, nil
	}}}
	environ := []string{"WEIR_SOURCE=a=probe:1\nb=probe:2"}
	c, err := parseConfig(nil, environ, io.Discard, kinds)
	if err != nil || len(c.feeds) != 2 || opened["1"] != 1 || opened["2"] != 1 {
		t.Errorf("%v: opened %v, %d feeds", err, opened, len(c.feeds))
	}
	clear(opened)
	c, err = parseConfig([]string{"-source", "c=probe:3"}, environ, io.Discard, kinds)
	if err != nil || len(c.feeds) != 1 || c.feeds[0].topic != "c" || len(opened) != 1 || opened["3"] != 1 {
		t.Errorf("%v: opened %v, feeds %v", err, opened, c.feeds)
	}
	if _, err := parse(t, "-source", "stdin", "--", "WEIR_SOURCE=stdin"); err != nil {
		t.Error(err)
	}
	_, err = parse(t, "-source", "a=stdin", "-source", "b=stdin")
	refused(t, err, "b=stdin", "one topic only")
}

// What is secret, and can be read on the command line, is known.
func TestExposed(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want []string
	}{
		{[]string{"-publish-token", "x", "-subscribe-token", "y"}, []string{"-publish-token", "-subscribe-token"}},
		{[]string{"-redis", "redis://:x@127.0.0.1:1"}, []string{"-redis"}},
		{[]string{"-redis", "redis://127.0.0.1:1"}, nil},
		{[]string{"--", "WEIR_PUBLISH_TOKEN=x", "WEIR_REDIS=redis://:x@127.0.0.1:1"}, nil},
	} {
		c, err := parse(t, tc.args...)
		if err != nil || !slices.Equal(c.exposed, tc.want) {
			t.Errorf("%v: %v are exposed, want %v: %v", tc.args, c.exposed, tc.want, err)
		}
	}
}
