package file

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/durable"
)

// entry is one that can be told from others. Every fifth is a revocation.
func entry(n int) ca.Entry {
	e := ca.Entry{Kind: ca.KindLeaf, At: start.Add(time.Duration(n) * time.Second), Serial: fmt.Sprintf("5a%06x", n),
		Issuer: "CN=Mesh issuing CA", IssuerKey: "ab12", Key: fmt.Sprintf("%064x", n), Service: "payment", Namespace: "prod",
		Certificate: fmt.Appendf(nil, "certificate %d", n)}
	if n%5 == 4 {
		e = ca.Entry{Kind: ca.KindRevocation, At: e.At, Serial: fmt.Sprintf("5a%06x", n-1), IssuerKey: e.IssuerKey,
			Key: fmt.Sprintf("%064x", n-1), Reason: ca.KeyCompromise.String()}
	}
	return e
}

func entries(n int) []ca.Entry {
	var all []ca.Entry
	for i := range n {
		all = append(all, entry(i))
	}
	return all
}

// record appends the first n entries.
func record(t testing.TB, l *Ledger, n int) {
	t.Helper()
	for _, e := range entries(n) {
		if err := l.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
}

// readLedger gives the entries up to the first error, and that.
func readLedger(t *testing.T, l *Ledger) (all []ca.Entry, failed error) {
	t.Helper()
	for e, err := range l.Entries(t.Context()) {
		if err != nil {
			return all, err
		}
		all = append(all, e)
	}
	return all, nil
}

func wantLedger(t *testing.T, l *Ledger, want []ca.Entry) {
	t.Helper()
	got, err := readLedger(t, l)
	if err != nil {
		t.Fatal(err)
	}
	g, err1 := json.Marshal(got)
	w, err2 := json.Marshal(want)
	if err1 != nil || err2 != nil || !bytes.Equal(g, w) {
		t.Fatalf("the ledger holds %d entries, want %d:\n%.2000s\n%.2000s", len(got), len(want), g, w)
	}
}

func write(t testing.TB, path string, data []byte) {
	t.Helper()
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) []byte {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// wantRefused is for a ledger that is not what was written: nothing is read past
// it, and nothing is put behind it.
func wantRefused(t *testing.T, l *Ledger, what, name string) {
	t.Helper()
	_, err := readLedger(t, l)
	if d, ok := errors.AsType[*LedgerError](err); !ok || d.Path != name {
		t.Errorf("%s: read: error %v, want one about %s", what, err, name)
	}
	if _, err := NewLedger(l.dir).Revoked(t.Context()); err == nil {
		t.Errorf("%s: revocations were read", what)
	}
	before := readTree(t, l.dir)
	if err := NewLedger(l.dir).Record(t.Context(), entry(9)); err == nil {
		t.Errorf("%s: an entry was put behind it", what)
	}
	wantUnchanged(t, l.dir, before)
}

// A flipped bit in the checkpoint, in the log's public key or in a tile is found.
// That each place in a log is, the tests of tilelog show.
func TestDamagedLedger(t *testing.T) {
	l := newLedger(t)
	record(t, l, 7)
	for _, name := range []string{l.path(logDir, "checkpoint"), l.path(caDir, logPubName), l.path(logDir, "tile", "0", "000.p", "7"), l.path(logDir, "tile", "entries", "000.p", "7")} {
		good := read(t, name)
		for at := 0; at < len(good)-1; at += 1 + len(good)/50 {
			bad := bytes.Clone(good)
			bad[at] ^= 1 << (at % 7)
			write(t, name, bad)
			blamed := name
			if name == l.path(caDir, logPubName) {
				// The key has another name then, or the checkpoint another key.
				if _, err := readLedger(t, l); err == nil {
					t.Errorf("byte %d of %s: it was read", at, name)
				}
				continue
			}
			wantRefused(t, l, fmt.Sprintf("byte %d of %s", at, name), blamed)
		}
		if err := os.Remove(name); err != nil {
			t.Fatal(err)
		}
		wantRefused(t, l, name+" taken away", name)
		write(t, name, good)
	}
	wantLedger(t, l, entries(7))
}

// Without its key a log that has entries is read, and not written; none is made anew.
func TestLogKeyGone(t *testing.T) {
	l := newLedger(t)
	record(t, l, 3)
	name := l.path(keysDir, logKeyName)
	good := read(t, name)
	if err := os.Remove(name); err != nil {
		t.Fatal(err)
	}
	if err := NewLedger(l.dir).Record(t.Context(), entry(3)); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("error %v", err)
	}
	wantLedger(t, NewLedger(l.dir), entries(3))
	other := newLedger(t)
	record(t, other, 1)
	write(t, name, read(t, other.path(keysDir, logKeyName)))
	if err := NewLedger(l.dir).Record(t.Context(), entry(3)); err == nil {
		t.Error("another log's key was taken")
	}
	write(t, name, []byte("PRIVATE+KEY+secret"))
	if err := NewLedger(l.dir).Record(t.Context(), entry(3)); err == nil || strings.Contains(err.Error(), "secret") {
		t.Errorf("error %v", err)
	}
	write(t, name, good)
	if err := NewLedger(l.dir).Record(t.Context(), entry(3)); err != nil {
		t.Error(err)
	}
	wantLedger(t, l, entries(4))
}

// A making of the log that was killed anywhere is done again.
func TestLogHalfMade(t *testing.T) {
	l := newLedger(t)
	if err := l.Record(t.Context(), entry(0)); err != nil {
		t.Fatal(err)
	}
	made := newLedger(t)
	made.origin = "made.example/mesh"
	if _, err := made.make(); err != nil {
		t.Fatal(err)
	}
	begun := read(t, made.path(logDir, "checkpoint"))
	for what, files := range map[string]map[string][]byte{
		"the public key":            {made.path(caDir, logPubName): read(t, made.path(caDir, logPubName))},
		"it and the checkpoint":     {made.path(caDir, logPubName): read(t, made.path(caDir, logPubName)), made.path(logDir, "checkpoint"): begun},
		"another's, and checkpoint": {made.path(caDir, logPubName): read(t, l.path(caDir, logPubName)), made.path(logDir, "checkpoint"): begun},
	} {
		for _, name := range []string{made.path(keysDir, logKeyName), made.path(caDir, logPubName), made.path(logDir, "checkpoint")} {
			if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
		}
		if err := os.RemoveAll(made.path(logDir, "tile")); err != nil {
			t.Fatal(err)
		}
		for name, data := range files {
			write(t, name, data)
		}
		h := NewLedger(made.dir)
		if err := h.Record(t.Context(), entry(0)); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		wantLedger(t, NewLedger(made.dir), entries(1))
	}
}

// A ledger of the form before the first release is named, and left alone.
func TestFirstForm(t *testing.T) {
	l := newLedger(t)
	name := l.path(logDir, firstLedger)
	write(t, name, []byte("{}\n"))
	before := readTree(t, l.dir)
	_, readErr := readLedger(t, l)
	_, revokedErr := l.Revoked(t.Context())
	for _, err := range []error{readErr, revokedErr, l.Record(t.Context(), entry(0))} {
		if !errors.Is(err, errFirstLedger) || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v", err)
		}
	}
	wantUnchanged(t, l.dir, before)
}

func TestEntryTooLong(t *testing.T) {
	l := newLedger(t)
	record(t, l, 2)
	before := readTree(t, l.dir)
	long := entry(2)
	long.Certificate = make([]byte, 1<<16)
	if err := l.Record(t.Context(), long); !errors.Is(err, errEntryLong) {
		t.Errorf("error %v", err)
	}
	wantUnchanged(t, l.dir, before)
}

// Many at once share appends, and each is told of its own entry.
func TestGroupedAppends(t *testing.T) {
	const crowd = 64
	l := newLedger(t)
	record(t, l, 1)
	lock, err := durable.AcquireDir(t.Context(), l.path(logDir))
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	gone, stop := context.WithCancel(t.Context())
	for n := range crowd {
		all.Go(func() {
			ctx, e := t.Context(), entry(2) // entries of no kind that would revoke
			if e.Note = fmt.Sprint(n); n%8 == 7 {
				ctx = gone
			}
			if err := l.Record(ctx, e); (err != nil) != (n%8 == 7) {
				t.Errorf("entry %d: %v", n, err)
			}
		})
	}
	for queued := 0; queued < crowd; {
		queued = l.queue.Len()
	}
	stop()
	for queued := crowd; queued > crowd-crowd/8; {
		queued = l.queue.Len()
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	all.Wait()
	noted := map[string]int{}
	got, err := readLedger(t, l)
	for _, e := range got {
		noted[e.Note]++
	}
	if err != nil || len(got) != 1+crowd-crowd/8 || len(noted) != len(got) {
		t.Errorf("%d entries, %d different, %v", len(got), len(noted), err)
	}
}
