package file

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/meshpki/meshpki/issue"
)

// TestLabels: an attribute that every user may set stands in for SELinux's.
func TestLabels(t *testing.T) {
	const attribute = "user.meshpki.test"
	label := func(path, value string) {
		t.Helper()
		err := unix.Setxattr(path, attribute, []byte(value), 0)
		if errors.Is(err, unix.ENOTSUP) {
			t.Skip("this file system has no such attributes")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	want := func(path, value string) {
		t.Helper()
		data := make([]byte, 100)
		n, err := unix.Getxattr(path, attribute, data)
		if value == "" && errors.Is(err, unix.ENODATA) {
			return
		}
		if err != nil || string(data[:n]) != value {
			t.Errorf("%s has label %q, %v; want %q", path, data[:max(n, 0)], err, value)
		}
	}
	s := newPlace(t)
	s.label = attribute
	if err := os.Mkdir(s.path, dirMode); err != nil {
		t.Fatal(err)
	}
	label(s.path, "the place's")
	write(t, filepath.Join(s.path, "tls.key"), []byte("theirs"))
	label(filepath.Join(s.path, "tls.key"), "the key's")
	set := small("1")
	set.Replace = true
	v := mustSave(t, s, set, "")
	want(filepath.Join(s.path, "tls.key"), "the key's")
	want(filepath.Join(s.path, "tls.crt"), "")

	label(filepath.Join(s.path, string(v), "tls.crt"), "relabelled")
	label(filepath.Join(s.path, string(v)), "the directory's")
	for _, swap := range []string{issue.SwapDirectory, issue.SwapFiles, issue.SwapFiles, issue.SwapDirectory} {
		set := small(swap)
		set.Swap = swap
		v = mustSave(t, s, set, v)
		for _, dir := range []string{s.path, filepath.Join(s.path, string(v))} {
			want(filepath.Join(dir, "tls.key"), "the key's")
			want(filepath.Join(dir, "tls.crt"), "relabelled")
		}
		want(filepath.Join(s.path, string(v)), "the directory's")
		want(filepath.Join(s.path, string(v), factsName), "")
	}
	// A place without a label is on a system without them.
	if err := unix.Removexattr(s.path, attribute); err != nil {
		t.Fatal(err)
	}
	mustSave(t, s, small("last"), v)
	want(filepath.Join(s.path, "tls.key"), "")
}
