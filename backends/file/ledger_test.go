package file

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/ca"
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
func record(t *testing.T, l *Ledger, n int) {
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

// wantProblem is for a ledger with damage at a line.
func wantProblem(t *testing.T, l *Ledger, what string, line int) {
	t.Helper()
	got, err := readLedger(t, l)
	le, ok := errors.AsType[*LedgerError](err)
	if !ok || le.Line != line || le.Path != l.path {
		t.Fatalf("%s: error %v, want one at line %d", what, err, line)
	}
	if len(got) > line-1 {
		t.Fatalf("%s: %d entries came before line %d", what, len(got), line)
	}
	if !strings.Contains(le.Error(), fmt.Sprintf("%s:%d: ", l.path, line)) {
		t.Errorf("%s: error %q does not name the place", what, le)
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

// lines are the lines of a ledger of n entries, each with its line feed.
func lines(t *testing.T, n int) [][]byte {
	t.Helper()
	l := newLedger(t)
	record(t, l, n)
	all := bytes.SplitAfter(read(t, l.path), []byte{'\n'})
	return all[:len(all)-1]
}

// A writer may die, or the machine, at every byte of an entry. Then nothing was
// released for it; what was recorded before stays, and the next entry goes behind it.
func TestTornEntry(t *testing.T) {
	l := newLedger(t)
	record(t, l, 4)
	whole := read(t, l.path)
	// Longer than what will be recorded over it.
	long := entry(4)
	long.Note = strings.Repeat("long ", 100)
	if err := l.Record(t.Context(), long); err != nil {
		t.Fatal(err)
	}
	last := read(t, l.path)[len(whole):]
	for cut := range last {
		write(t, l.path, append(bytes.Clone(whole), last[:cut]...))
		if cut > 0 {
			wantProblem(t, l, fmt.Sprintf("cut at %d of %d", cut, len(last)), 5)
		}
		if r, err := l.Revoked(t.Context()); err != nil || r.Len() != 0 {
			t.Fatalf("cut at %d: %d are revoked, %v", cut, r.Len(), err)
		}
		if err := l.Record(t.Context(), entry(9)); err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		want := append(entries(4), entry(9))
		if cut == len(last)-1 { // it lacked its line feed and nothing else
			want = append(entries(4), long, entry(9))
		}
		wantLedger(t, l, want)
	}
}

// The first entry of all may be torn too.
func TestTornFirstEntry(t *testing.T) {
	first := lines(t, 1)[0]
	l := newLedger(t)
	for _, cut := range []int{0, 1, 20, len(first) - 2, len(first) - 1} {
		write(t, l.path, first[:cut])
		if err := l.Record(t.Context(), entry(1)); err != nil {
			t.Fatalf("cut at %d: %v", cut, err)
		}
		want := []ca.Entry{entry(1)}
		if cut == len(first)-1 {
			want = entries(2)
		}
		wantLedger(t, l, want)
	}
}

// A flipped bit anywhere is found, at its line; in the last entry it also keeps
// the next one from being tied to it.
func TestFlippedByte(t *testing.T) {
	all := lines(t, 5)
	good := bytes.Join(all, nil)
	l := newLedger(t)
	line, end := 1, len(all[0])
	for at := range good {
		if at == end {
			end += len(all[line])
			line++
		}
		bad := bytes.Clone(good)
		bad[at] ^= 1 << (at % 8)
		write(t, l.path, bad)
		what := fmt.Sprintf("byte %d of %d", at, len(good))
		wantProblem(t, l, what, line)
		if _, err := l.Revoked(t.Context()); err == nil {
			t.Fatalf("%s: revocations were read over the damage", what)
		}
		if line < 5 {
			continue
		}
		if err := l.Record(t.Context(), entry(9)); err == nil {
			t.Fatalf("%s: an entry was tied to a damaged one", what)
		}
		if !bytes.Equal(read(t, l.path), bad) {
			t.Fatalf("%s: the ledger was changed", what)
		}
	}
}

func TestLinesTakenOutOrMoved(t *testing.T) {
	all := lines(t, 6)
	// The same entries in another ledger with another beginning.
	strange := newLedger(t)
	for n := range 6 {
		if err := strange.Record(t.Context(), entry(n+20)); err != nil {
			t.Fatal(err)
		}
	}
	foreign := bytes.SplitAfter(read(t, strange.path), []byte{'\n'})
	l := newLedger(t)
	pick := func(from [][]byte, which ...int) (out [][]byte) {
		for _, i := range which {
			out = append(out, from[i])
		}
		return out
	}
	for _, test := range []struct {
		name string
		text [][]byte
		line int
	}{
		{"the first taken out", pick(all, 1, 2, 3, 4, 5), 1},
		{"the second taken out", pick(all, 0, 2, 3, 4, 5), 2},
		{"the last but one taken out", pick(all, 0, 1, 2, 3, 5), 5},
		{"two exchanged", pick(all, 0, 2, 1, 3, 4, 5), 2},
		{"the last two exchanged", pick(all, 0, 1, 2, 3, 5, 4), 5},
		{"one twice", pick(all, 0, 1, 2, 2, 3, 4, 5), 4},
		{"the last twice", pick(all, 0, 1, 2, 3, 4, 5, 5), 7},
		{"all turned round", pick(all, 5, 4, 3, 2, 1, 0), 1},
		{"an empty line", append(pick(all, 0, 1), []byte("\n"), all[2]), 3},
		{"another's line", append(pick(all, 0, 1), foreign[2], all[3]), 3},
		{"two ledgers one behind the other", append(pick(all, 0, 1, 2, 3, 4, 5), foreign...), 7},
		{"the end of another's", append(pick(all, 0, 1, 2), foreign[3:]...), 4},
		{"text behind it", append(pick(all, 0, 1), []byte("and so on\n")), 3},
		{"a line too long", append(pick(all, 0), bytes.Repeat([]byte{'x'}, maxLine+1)), 2},
		{"nothing but noughts", [][]byte{make([]byte, 5000)}, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			write(t, l.path, bytes.Join(test.text, nil))
			wantProblem(t, l, test.name, test.line)
		})
	}
	write(t, l.path, bytes.Join(all, nil))
	wantLedger(t, l, entries(6))
}

func TestEntryTooLong(t *testing.T) {
	l := newLedger(t)
	record(t, l, 2)
	before := read(t, l.path)
	long := entry(2)
	long.Certificate = make([]byte, maxLine)
	if err := l.Record(t.Context(), long); err == nil {
		t.Error("an entry was recorded that could not be read back")
	}
	if !bytes.Equal(read(t, l.path), before) {
		t.Error("the ledger was changed")
	}
	long.Certificate = make([]byte, maxLine*3/4-1000)
	for range 2 { // the second finds its predecessor's beginning far from the end
		if err := l.Record(t.Context(), long); err != nil {
			t.Fatal(err)
		}
	}
	wantLedger(t, l, append(entries(2), long, long))
}

// Something that is no ledger is not written behind.
func TestRecordBehindSomethingElse(t *testing.T) {
	for name, text := range map[string]string{
		"text with lines":  "one\ntwo\n",
		"one line":         strings.Repeat("x", 3*maxLine) + "\n",
		"text of no lines": "x\n" + strings.Repeat("y", 3*maxLine),
	} {
		l := newLedger(t)
		write(t, l.path, []byte(text))
		if err := l.Record(t.Context(), entry(0)); err == nil {
			t.Errorf("%s: an entry was written behind it", name)
		}
		if got := read(t, l.path); string(got) != text {
			t.Errorf("%s: it was changed", name)
		}
	}
}
