package file

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// What is kept is what was kept last, whatever its length; what cannot be kept is not
// there, and nothing is kept outside.
func TestWritten(t *testing.T) {
	d := &Directory{path: t.TempDir()}
	w := d.Written()
	if got := w.Recall("prod.payment"); got != nil {
		t.Errorf("%q was never kept", got)
	}
	for _, data := range [][]byte{[]byte("some"), bytes.Repeat([]byte("long"), 5000), []byte("short"), nil, []byte("again"), bytes.Repeat([]byte("x"), mostWritten)} {
		w.Keep("prod.payment", data)
		want := data
		if len(data) >= mostWritten {
			want = nil
		}
		if got := d.Written().Recall("prod.payment"); !bytes.Equal(got, want) {
			t.Errorf("kept %d bytes, and %d are there", len(data), len(got))
		}
	}
	for _, name := range []string{"", ".", "..", "../settings", "a/b"} {
		w.Keep(name, []byte("some"))
		if got := w.Recall(name); got != nil {
			t.Errorf("%q is kept: %q", name, got)
		}
	}
	w.Keep("prod.payment", []byte("some"))
	info, err := os.Stat(filepath.Join(d.path, cacheDir, writtenDir, "prod.payment"))
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("%v, %v", info, err)
	}
	if err := os.WriteFile(filepath.Join(d.path, cacheDir, writtenDir, "prod.vast"), make([]byte, 2*mostWritten), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := w.Recall("prod.vast"); got != nil {
		t.Errorf("%d bytes are read", len(got))
	}
}
