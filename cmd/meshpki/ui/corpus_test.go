package ui_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/inspect"
)

// TestCorpus shows thousands of strange certificates, CRLs and OCSP responses that
// others collected: nothing crashes, nothing is silent, no control byte gets out, and of
// the certificates nearly all are shown.
func TestCorpus(t *testing.T) {
	dir := os.Getenv("MESHPKI_SUITES")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "..", "shared", "suites")
	}
	f, err := os.Open(filepath.Join(dir, "inspect-corpus-open.tar.gz"))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("the corpus is not there; MESHPKI_SUITES names its directory")
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	packed, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	certificates, shown := 0, 0
	for files := tar.NewReader(packed); ; {
		h, err := files.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(h.Name, ".der") {
			continue
		}
		data, err := io.ReadAll(files)
		if err != nil {
			t.Fatal(err)
		}
		good := corpusObject(t, h.Name, data)
		if strings.Contains(h.Name, "/cert/") {
			if certificates++; good {
				shown++
			}
		}
	}
	t.Logf("%d of %d certificates are shown", shown, certificates)
	if certificates == 0 || shown*100 < certificates*97 {
		t.Errorf("only %d of %d certificates are shown", shown, certificates)
	}
}

// corpusObject says one object, and tells whether all of it could be read.
func corpusObject(t *testing.T, name string, data []byte) bool {
	t.Helper()
	objects, err := inspect.Parse(data)
	if err != nil {
		return false
	}
	good := true
	for _, o := range objects {
		good = good && (o.Err == nil || o.Damaged != nil)
	}
	doc := ui.Inspection{Reports: inspect.DescribeAll(name, objects, now), Now: now}
	for _, write := range []func(io.Writer) error{
		func(w io.Writer) error { return ui.Text(w, doc, ui.Options{UTF8: true}) },
		func(w io.Writer) error { return ui.JSON(w, doc) },
	} {
		var b bytes.Buffer
		if err := write(&b); err != nil || b.Len() == 0 {
			t.Errorf("%s: %d bytes, %v", name, b.Len(), err)
		}
		if bytes.ContainsFunc(b.Bytes(), func(r rune) bool { return r < ' ' && r != '\n' || r == 0x7f }) {
			t.Errorf("%s: a control byte gets out", name)
		}
	}
	return good
}
