package file

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/issue"
)

const (
	processes = 16
	perChild  = 5
)

// tasks are what a process of its own can be told to do, in a directory.
var tasks = map[string]func(path string) error{
	"init":   initTask,
	"record": recordTask,
	"issue":  issueTask,
	"save":   saveTask,

	"replace": replaceTask,

	"save links": saveOnce(small("new")),
	"save files": saveOnce(plain("new")),
}

// recordTask records entries of its own, and says which.
func recordTask(path string) error {
	l := NewLedger(path)
	for n := range perChild {
		e := entry(n)
		e.Note = fmt.Sprintf("%d/%d", os.Getpid(), n)
		if err := l.Record(context.Background(), e); err != nil {
			return err
		}
		fmt.Println(e.Note)
	}
	return nil
}

func TestManyProcessesRecord(t *testing.T) {
	l := newLedger(t)
	said := strings.Fields(strings.Join(runChildren(t, processes, "record", l.dir), ""))
	all, err := readLedger(t, l)
	if err != nil {
		t.Fatal(err)
	}
	if len(said) != processes*perChild || len(all) != len(said) {
		t.Errorf("%d entries are in the ledger, %d were recorded", len(all), len(said))
	}
	at := map[string]int{}
	for i, e := range all {
		at[e.Note] = i
	}
	last := -1
	for i, note := range said {
		place, there := at[note]
		if !there {
			t.Fatalf("entry %s was recorded and is lost", note)
		}
		if i%perChild > 0 && place < last {
			t.Errorf("entry %s stands before the one that its process recorded first", note)
		}
		last = place
	}
}

// issueTask issues certificates, revokes the first of them, and says the serial
// numbers of all.
func issueTask(path string) error {
	ctx := context.Background()
	d, err := Open(path, clock)
	if err != nil {
		return err
	}
	issuer, err := d.Issuer("", KeySource{})
	if err != nil {
		return err
	}
	profile, err := ca.ProfileByName("")
	if err != nil {
		return err
	}
	id, err := ca.NewIdentity(ca.Names{DNS: []string{"payment.prod"}})
	if err != nil {
		return err
	}
	for n := range perChild {
		c, err := issue.Obtain(ctx, issuer, issue.Order{Service: "payment", Namespace: "prod", Identity: id, Profile: profile,
			KeyType: ca.ECP256, Validity: ca.Validity{NotAfter: start.Add(time.Hour)}}, start)
		if err != nil {
			return err
		}
		serial := c.Leaf().SerialNumber
		fmt.Println(ca.FormatSerial(serial))
		if n > 0 {
			continue
		}
		if _, err := d.Revoke(ctx, serial, ca.Superseded); err != nil {
			return err
		}
	}
	return nil
}

func TestManyProcessesIssue(t *testing.T) {
	d := newDirectory(t)
	issued := map[string]int{}
	for serial := range strings.FieldsSeq(strings.Join(runChildren(t, processes, "issue", d.Path()), "")) {
		issued[serial]++
	}
	if len(issued) != processes*perChild {
		t.Errorf("%d serial numbers were given, want %d", len(issued), processes*perChild)
	}
	all, err := readLedger(t, d.Ledger())
	if err != nil {
		t.Fatal(err)
	}
	recorded, revoked := map[string]int{}, map[string]int{}
	for _, e := range all {
		switch e.Kind {
		case ca.KindLeaf:
			recorded[e.Serial]++
		case ca.KindRevocation:
			revoked[e.Serial]++
		}
	}
	for serial, times := range issued {
		if times != 1 || recorded[serial] != 1 {
			t.Errorf("serial number %s was given %d times and recorded %d times", serial, times, recorded[serial])
		}
	}
	if len(recorded) != len(issued) || len(revoked) != processes {
		t.Errorf("%d leaves and %d revocations are recorded, want %d and %d", len(recorded), len(revoked), len(issued), processes)
	}
	if r, err := d.Ledger().Revoked(t.Context()); err != nil || r.Len() != processes {
		t.Errorf("%d are revoked, %v", r.Len(), err)
	}
}

// saveTask replaces the set in a place, each time what it loaded just before, and
// says how often another was faster.
func saveTask(path string) error {
	ctx := context.Background()
	s := NewStore(path)
	for n := 0; n < perChild; {
		_, v, err := s.Load(ctx)
		if err != nil && v != "" {
			return err
		}
		text := fmt.Sprintf("%d/%d", os.Getpid(), n)
		v, err = s.Save(ctx, small(text), v)
		switch {
		case err == nil:
			n++
			fmt.Println(v)
		case !errors.Is(err, issue.ErrChanged):
			return err
		}
	}
	return nil
}

// replaceTask saves over what is not ours, and says what is wrong.
func replaceTask(path string) error {
	set := small("new")
	set.Replace = true
	if _, err := NewStore(path).Save(context.Background(), set, ""); err != nil {
		fmt.Println(err)
	}
	return nil
}

// saveOnce replaces the set of a place on one thread, for strace counts by thread.
func saveOnce(set issue.Set) func(path string) error {
	return func(path string) error {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		s := NewStore(path)
		_, v, err := s.Load(context.Background())
		if err != nil {
			return err
		}
		if _, err := s.Save(context.Background(), set, v); err != nil {
			return err
		}
		fmt.Println("saved")
		return nil
	}
}

// Of saves from many processes each is on top of the one before: no number of a
// generation comes twice.
func TestManyProcessesSave(t *testing.T) {
	s := newPlace(t)
	seen := map[string]bool{}
	for v := range strings.FieldsSeq(strings.Join(runChildren(t, processes, "save", s.path), "")) {
		number, _, _ := strings.Cut(strings.TrimPrefix(v, genPrefix), "-")
		if seen[number] {
			t.Errorf("two saves made generation %s", number)
		}
		seen[number] = true
	}
	if len(seen) != processes*perChild {
		t.Errorf("%d generations were made, want %d", len(seen), processes*perChild)
	}
	if _, v, err := s.Load(t.Context()); err != nil || !strings.HasPrefix(string(v), fmt.Sprintf("%s%d-", genPrefix, processes*perChild)) {
		t.Errorf("the last generation is %s, %v", v, err)
	}
}

// A service is one process's at a time, and two services do not wait for each other.
func TestLockService(t *testing.T) {
	d := newDirectory(t)
	lock, err := d.LockService(t.Context(), "prod", "payment")
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := d.LockService(short, "prod", "payment"); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("error %v, want durable.ErrLocked", err)
	}
	for _, other := range [][2]string{{"prod", "account"}, {"dev", "payment"}, {"pay", "ment"}, {"payment", "prod"}} {
		free, err := d.LockService(t.Context(), other[0], other[1])
		if err != nil {
			t.Fatal(err)
		}
		defer free.Release()
	}
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	again, err := d.LockService(t.Context(), "prod", "payment")
	if err != nil {
		t.Fatal(err)
	}
	again.Release()
}

// A store whose place is locked waits for it as long as its context lasts, and
// then has changed nothing.
func TestSaveWaitsForTheLock(t *testing.T) {
	s := newPlace(t)
	v := mustSave(t, s, small("old"), "")
	before := readTree(t, s.path)
	lock, err := durable.AcquireDir(t.Context(), s.path)
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := s.Save(short, small("new"), v); !errors.Is(err, durable.ErrLocked) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want durable.ErrLocked and context.DeadlineExceeded", err)
	}
	wantUnchanged(t, s.path, before)
	hurried := NewStore(s.path)
	hurried.patience = 50 * time.Millisecond
	if _, err := hurried.Save(t.Context(), small("new"), v); !errors.Is(err, durable.ErrLocked) || !strings.HasSuffix(err.Error(), "for more than 50ms)") {
		t.Errorf("without an end of its own: error %v, want durable.ErrLocked", err)
	}
	wantUnchanged(t, s.path, before)
	if err := lock.Release(); err != nil {
		t.Fatal(err)
	}
	mustSave(t, s, small("new"), v)
	wantText(t, s, "new")
}

func TestLedgerWaitsForTheLock(t *testing.T) {
	l := newLedger(t)
	record(t, l, 1)
	lock, err := durable.AcquireDir(t.Context(), l.path(logDir))
	if err != nil {
		t.Fatal(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := l.Record(short, entry(1)); !errors.Is(err, durable.ErrLocked) {
		t.Errorf("error %v, want durable.ErrLocked", err)
	}
	lock.Release()
	wantLedger(t, l, entries(1))
}
