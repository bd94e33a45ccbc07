package file

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/issue"
)

const nobody = 65534

// attack goes on until its process is killed: whoever owns the files swaps
// directories, links, pipes and second names in what is theirs, to lead a save
// that runs beside it out of there. base has home, which is theirs, and outside.
func attack(base string) error {
	a := &attacker{home: filepath.Join(base, "home")}
	a.place = filepath.Join(a.home, "tls")
	outside := filepath.Join(base, "outside")
	a.victims = []string{outside, filepath.Join(outside, "sub"), filepath.Join(outside, "victim"), "../outside", "../outside/sub", ".", ".."}
	// Second names of files of theirs, and of others' where the system lets them.
	_ = os.Link(filepath.Join(outside, "lent"), filepath.Join(a.home, "second"))
	_ = syscall.Mkfifo(filepath.Join(a.home, "pipe"), 0o666)
	fmt.Println("at it")
	for n := 0; ; n++ {
		if n%64 == 0 { // so that saves also get somewhere
			a.away(a.place)
			_ = os.Mkdir(a.place, 0o755)
			time.Sleep(2 * time.Millisecond)
		}
		if n%16 == 0 {
			a.swap(a.place)
			continue
		}
		path := filepath.Join(a.place, []string{dataLink, "tls.key", "tls.crt", keptName}[rand.IntN(4)])
		if names, err := os.ReadDir(a.place); err == nil && len(names) > 0 && n%4 != 0 {
			path = filepath.Join(a.place, names[rand.IntN(len(names))].Name())
		}
		a.swap(path)
	}
}

type attacker struct {
	home, place string
	victims     []string
	count       int
}

// away moves something out of the way, to be put back somewhere else.
func (a *attacker) away(path string) string {
	a.count++
	to := filepath.Join(a.home, fmt.Sprintf("away-%d", a.count%50))
	_ = os.RemoveAll(to)
	if err := os.Rename(path, to); err != nil {
		_ = os.Remove(path)
	}
	return to
}

// swap puts something else under a name, at once where that goes.
func (a *attacker) swap(path string) {
	evil := filepath.Join(a.home, "evil")
	_ = os.RemoveAll(evil)
	switch rand.IntN(8) {
	case 0:
		_ = os.Mkdir(evil, 0o777)
	case 1:
		_ = os.Link(filepath.Join(a.home, "second"), evil)
	case 2:
		_ = os.Link(filepath.Join(a.home, "pipe"), evil)
	case 3:
		_ = os.Rename(filepath.Join(a.home, fmt.Sprintf("away-%d", rand.IntN(50))), evil)
	default:
		_ = os.Symlink(a.victims[rand.IntN(len(a.victims))], evil)
	}
	if unix.Renameat2(unix.AT_FDCWD, evil, unix.AT_FDCWD, path, unix.RENAME_EXCHANGE) == nil {
		if rand.IntN(2) == 0 { // and back, as if nothing had been
			_ = unix.Renameat2(unix.AT_FDCWD, evil, unix.AT_FDCWD, path, unix.RENAME_EXCHANGE)
		}
		return
	}
	a.away(path)
	_ = os.Rename(evil, path)
}

// TestSaveBesideAnAttacker: while a process with the rights of the files' owner
// does all it can, saves by root fail or go well, and nothing outside of what is
// that user's is made, changed, or given away. It needs root: make test has it
// where it runs as root, make integration always.
func TestSaveBesideAnAttacker(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("only root can be led astray by another's directories")
	}
	besideAnAttacker(t, 2*time.Second)
}

func besideAnAttacker(t *testing.T, most time.Duration) {
	base := openTo(t)
	home, outside := filepath.Join(base, "home"), filepath.Join(base, "outside")
	for _, dir := range []string{home, outside, filepath.Join(outside, "sub")} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(outside, "victim"), []byte("root's"))
	write(t, filepath.Join(outside, "sub", "tls.key"), []byte("root's key"))
	// This one is theirs, but not in their directory: it may not be given away either.
	write(t, filepath.Join(outside, "lent"), []byte("lent"))
	for path, uid := range map[string]int{home: nobody, filepath.Join(outside, "lent"): nobody} {
		if err := os.Chown(path, uid, uid); err != nil {
			t.Fatal(err)
		}
	}
	// And a second name of root's, where the system would let them have one.
	if err := os.Link(filepath.Join(outside, "victim"), filepath.Join(home, "hard")); err != nil {
		t.Fatal(err)
	}
	before := owners(t, outside)

	c := commandAsNobody(t, "attack", base)
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = c.Process.Kill()
		_ = c.Wait()
	}()
	if _, err := out.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	saved, failed := saveBeside(t, filepath.Join(home, "tls"), most)
	t.Logf("%d saves went well, %d failed", saved, failed)
	if saved == 0 || failed == 0 {
		t.Error("the test proves nothing: it needs both")
	}
	after := owners(t, outside)
	for path, was := range before {
		if is := after[path]; is != was {
			t.Errorf("outside, %s was %q and is %q", path, was, is)
		}
	}
	for path, is := range after {
		if _, known := before[path]; !known {
			t.Errorf("outside, %s was made: %s", path, is)
		}
	}
}

// saveBeside does as root all that is done with a place, for so long.
func saveBeside(t *testing.T, path string, most time.Duration) (saved, failed int) {
	t.Helper()
	ctx, stop := context.WithTimeout(t.Context(), most)
	defer stop()
	s := NewStore(path)
	for n := 0; ctx.Err() == nil; n++ {
		set := small(fmt.Sprint(n))
		set.Owner, set.Group, set.Mode, set.Replace = fmt.Sprint(nobody), fmt.Sprint(nobody), 0o640, true
		set.Whole = n % 3
		if n%2 == 0 {
			set.Swap = issue.SwapFiles
		}
		_ = s.Prepare(ctx, set)
		loaded, v, _ := s.Load(ctx)
		for name, f := range loaded.Files {
			if strings.HasPrefix(string(f.Data), "root's") || string(f.Data) == "lent" {
				t.Errorf("%s was read as %q", name, f.Data)
			}
		}
		if _, err := s.Save(ctx, set, v); err != nil {
			failed++
		} else {
			saved++
		}
		_, _ = s.Audit(ctx, set)
		_, _, _ = s.Previous(ctx)
		_, _ = s.Purge(ctx, func(issue.Files) bool { return n%3 == 0 })
	}
	return saved, failed
}

// owners is a tree with whose each file is.
func owners(t *testing.T, dir string) tree {
	t.Helper()
	all := readTree(t, dir)
	top, err := durable.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer top.Close()
	for path := range all {
		info, err := top.Stat()
		if path != "." {
			info, err = top.Lstat(path)
		}
		if err != nil {
			t.Fatal(err)
		}
		all[path] += fmt.Sprintf(" of %v", ownerOf(info))
	}
	return all
}
