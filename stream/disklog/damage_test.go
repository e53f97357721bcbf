package disklog_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"weir/stream"
	"weir/stream/disklog"
)

// damagedHistory is how many events the topics of these tests keep.
const damagedHistory = 200

// filled returns a closed file that has been used for a while, and what is in
// it: topics of many events and of one, events that need pages of their own, and
// pages that are free.
func filled(t testing.TB) (content []byte, want map[string][]*stream.Event) {
	t.Helper()
	dir := t.TempDir()
	b := open(t, dir, disklog.Options{History: damagedHistory})
	want = make(map[string][]*stream.Event)
	for topic, n := range map[string]int{"one": 300, "two": 300, "few": 1} {
		for i := 0; i < n; i += 10 {
			var batch []*stream.Event
			for j := range min(10, n) {
				size := 50
				if i+j == 290 {
					size = 20_000
				}
				e := event(fmt.Sprintf("%s %d %s", topic, i+j, strings.Repeat("x", size)))
				if j%2 == 0 {
					e.Source, e.ForeignID = "/sensor", fmt.Sprint(i+j)
				}
				batch = append(batch, e)
			}
			if err := b.Publish(t.Context(), topic, &stream.Publication{Events: batch, Checkpoint: []byte("here")}); err != nil {
				t.Fatal(err)
			}
		}
		log, _ := follow(t, b, topic)
		want[topic], _ = held(t, log.All().From(stream.ID{}))
		if len(want[topic]) != min(n, damagedHistory) {
			t.Fatalf("%d events are held", len(want[topic]))
		}
	}
	shut(t, b)
	content, err := os.ReadFile(filepath.Join(dir, disklog.File))
	if err != nil {
		t.Fatal(err)
	}
	return content, want
}

// A damaged file is found out at Open, is not changed, and the error says what
// to do; or the damage is where nothing is stored: then all that was
// acknowledged is there, and what is published from then on is there after the
// next start.
func TestDamaged(t *testing.T) {
	content, want := filled(t)
	seed := rand.Uint64()
	pages := len(content) / 4096
	damages := map[string]func(b []byte, random *rand.Rand){
		"zeros":      func(b []byte, _ *rand.Rand) { clear(b[4*4096:]) },
		"both roots": func(b []byte, _ *rand.Rand) { clear(b[:8192]) },
		"no topics":  func(b []byte, _ *rand.Rand) { b[bytes.Index(b, []byte("topics"))] ^= 1 },
	}
	for i := range 150 {
		damages[fmt.Sprintf("bit %d", i)] = func(b []byte, random *rand.Rand) { b[random.IntN(len(b))] ^= 1 << random.IntN(8) }
		// What a page says of itself, and its first elements.
		damages[fmt.Sprintf("bit %d at the head of a page", i)] = func(b []byte, random *rand.Rand) {
			b[random.IntN(pages)*4096+random.IntN(80)] ^= 1 << random.IntN(8)
		}
	}
	for i := range 30 {
		damages[fmt.Sprintf("page %d", i)] = func(b []byte, random *rand.Rand) {
			page := random.IntN(pages) * 4096
			for i := range 4096 {
				b[page+i] = byte(random.Uint32())
			}
		}
		damages[fmt.Sprintf("old page %d", i)] = func(b []byte, random *rand.Rand) {
			copy(b[random.IntN(pages)*4096:][:4096], b[random.IntN(pages)*4096:])
		}
	}
	found, unharmed, n := 0, 0, uint64(0)
	for name, damage := range damages {
		n++
		broken := bytes.Clone(content)
		damage(broken, rand.New(rand.NewPCG(seed, n)))
		if bytes.Equal(broken, content) {
			continue
		}
		if refused(t, name, broken, want) {
			found++
		} else {
			unharmed++
		}
		if t.Failed() {
			t.Fatalf("with seed %d", seed)
		}
	}
	if found < 75 || unharmed < 50 {
		t.Errorf("%d damages were found, %d did no harm: the test has not tried both", found, unharmed)
	}
	t.Logf("%d damages were found, %d did no harm", found, unharmed)
}

// A file that is not as long as it was is refused, and so is any other file.
func TestOtherFiles(t *testing.T) {
	content, want := filled(t)
	for name, content := range map[string][]byte{
		"garbage":     bytes.Repeat([]byte("garbage "), 8192),
		"short":       []byte("short"),
		"cut to half": content[:len(content)/2],
		"cut a byte":  content[:len(content)-1],
		"two pages":   content[:8192],
		// The older of the two leads to what was there one commit before.
		"first root":  flipped(content, 16+48),
		"second root": flipped(content, 4096+16+48),
	} {
		if !refused(t, name, content, want) {
			t.Errorf("%s is accepted", name)
		}
	}
}

// A page that is neither in use nor free would be lost for good.
func TestLostPage(t *testing.T) {
	content, want := filled(t)
	lists, found := 0, 0
	for at := 2 * 4096; at < len(content); at += 4096 {
		if content[at+8] != 0x10 || content[at+10] == 0 { // no list of free pages
			continue
		}
		lists++
		broken := bytes.Clone(content)
		broken[at+10]-- // the last one is left out
		if refused(t, "a shorter list", broken, want) {
			found++
		}
	}
	if found != 1 {
		t.Errorf("of %d lists of free pages, of which one is in use, %d were found to be too short", lists, found)
	}
}

// flipped returns a file with one bit changed.
func flipped(content []byte, at int) []byte {
	content = bytes.Clone(content)
	content[at] ^= 1
	return content
}

// refused reports whether a file is refused, and checks what is said of it; one
// that is accepted must work.
func refused(t *testing.T, name string, content []byte, want map[string][]*stream.Event) bool {
	t.Helper()
	dir := t.TempDir()
	path := filepath.Join(dir, disklog.File)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	opts := disklog.Options{History: damagedHistory, Logger: slog.New(slog.DiscardHandler)}
	b, err := disklog.Open(dir, opts)
	if err != nil {
		if !errors.Is(err, disklog.ErrDamaged) || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "move it away") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v: want ErrDamaged, what is damaged and what to do", name, err)
		}
		after, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if sha256.Sum256(after) != sha256.Sum256(content) {
			t.Errorf("%s: the file was changed", name)
		}
		return true
	}
	acked := make(map[string][]*stream.Event)
	for topic, events := range want {
		acked[topic] = append([]*stream.Event{}, events...)
	}
	wantAll(t, name, b, acked)
	for i := range 30 {
		for topic := range want {
			e := event(fmt.Sprintf("%s again %d", topic, i))
			if err := b.Publish(t.Context(), topic, &stream.Publication{Events: []*stream.Event{e}}); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			acked[topic] = append(acked[topic], e)
		}
	}
	shut(t, b)
	if info, err := os.Stat(path); err != nil || info.Size() > int64(len(content))+1<<20 {
		t.Errorf("%s: the file has %d bytes and had %d: %v", name, info.Size(), len(content), err)
	}
	if b, err = disklog.Open(dir, opts); err != nil {
		t.Errorf("%s: after a restart: %v", name, err)
		return false
	}
	wantAll(t, name, b, acked)
	shut(t, b)
	return false
}

// wantAll checks that the newest of the events are held.
func wantAll(t *testing.T, name string, b *disklog.Broker, want map[string][]*stream.Event) {
	t.Helper()
	for topic, want := range want {
		want = want[max(0, len(want)-damagedHistory):]
		log, stop := follow(t, b, topic)
		got, _ := held(t, log.All().From(stream.ID{}))
		stop()
		if len(got) != len(want) {
			t.Errorf("%s: topic %s has %d events, want %d", name, topic, len(got), len(want))
			return
		}
		for i, e := range got {
			if e.ID != want[i].ID || string(e.Data) != string(want[i].Data) {
				t.Errorf("%s: event %d of topic %s is %s: %.80q, want %s: %.80q", name, i, topic, e.ID, e.Data, want[i].ID, want[i].Data)
				return
			}
		}
	}
}

// An index that does not lead to the events, and to nothing else, is refused: by
// it events would be taken for others.
func TestIndexIsChecked(t *testing.T) {
	content, want := filled(t)
	for name, change := range map[string]func(index *bbolt.Bucket, first []byte) error{
		"one more":   func(index *bbolt.Bucket, _ []byte) error { return index.Put(make([]byte, 16), make([]byte, 20)) },
		"one less":   func(index *bbolt.Bucket, first []byte) error { return index.Delete(first) },
		"a wrong ID": func(index *bbolt.Bucket, first []byte) error { return index.Put(first, make([]byte, 20)) },
	} {
		path := filepath.Join(t.TempDir(), disklog.File)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := bbolt.Open(path, 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		err = db.Update(func(tx *bbolt.Tx) error {
			index := tx.Bucket([]byte("topics")).Bucket([]byte("one")).Bucket([]byte("index"))
			first, _ := index.Cursor().First()
			return change(index, bytes.Clone(first))
		})
		if err := errors.Join(err, db.Close()); err != nil {
			t.Fatal(err)
		}
		changed, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !refused(t, name, changed, want) {
			t.Errorf("an index with %s is accepted", name)
		}
	}
}
