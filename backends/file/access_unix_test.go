//go:build unix

package file

import (
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/meshpki/meshpki/backends/backendtest"
	"github.com/meshpki/meshpki/issue"
)

func storeOptions() backendtest.StoreOptions {
	o := backendtest.StoreOptions{
		Reopen: func(_ *testing.T, s issue.Store) issue.Store { return NewStore(s.(*Store).path) },
		Plant:  plant,
		Access: access,
	}
	if os.Getuid() == 0 {
		o.Owner, o.Group = "65534", "65533"
	}
	return o
}

// plant puts a file that is not ours where a set's file would go.
func plant(t *testing.T, s issue.Store, name string) {
	t.Helper()
	dir := s.(*Store).path
	if err := os.MkdirAll(dir, dirMode); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte("theirs"), 0o640); err != nil {
		t.Fatal(err)
	}
}

// access says how the file that a name leads to is kept.
func access(t *testing.T, s issue.Store, name string) backendtest.Access {
	t.Helper()
	info, err := os.Stat(filepath.Join(s.(*Store).path, name))
	if err != nil {
		t.Fatal(err)
	}
	st := info.Sys().(*syscall.Stat_t)
	return backendtest.Access{Owner: strconv.Itoa(int(st.Uid)), Group: strconv.Itoa(int(st.Gid)), Mode: info.Mode().Perm()}
}
