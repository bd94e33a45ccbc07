package file

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io/fs"
	"maps"
	"math/big"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/meshpki/meshpki/issue"
)

// tree is everything under a directory, by path: what it is, and what is in it.
type tree map[string]string

func readTree(t *testing.T, dir string) tree {
	t.Helper()
	all := tree{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return err
		}
		said := info.Mode().String()
		switch {
		case info.Mode()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			if err != nil {
				return err
			}
			said = "link to " + target
		case info.Mode().IsRegular():
			data, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			said += fmt.Sprintf(" %d bytes, %x, %.60q", len(data), sha256.Sum256(data), data)
		}
		rel, err := filepath.Rel(dir, path)
		all[rel] = said
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// wantUnchanged compares a directory with what it was.
func wantUnchanged(t *testing.T, dir string, was tree) {
	t.Helper()
	is := readTree(t, dir)
	for _, path := range slices.Sorted(maps.Keys(is)) {
		if before, known := was[path]; !known {
			t.Errorf("%s was left in %s: %.200s", path, dir, is[path])
		} else if before != is[path] {
			t.Errorf("%s was %.200s, is %.200s", path, before, is[path])
		}
	}
	for path := range was {
		if _, there := is[path]; !there {
			t.Errorf("%s is gone", path)
		}
	}
}

// pairs makes sets of a certificate, its key and a copy of the certificate as the
// roots: a reader can tell whether all three are of one set.
func pairs(t *testing.T, n int) []issue.Set {
	t.Helper()
	sets := make([]issue.Set, n)
	for i := range sets {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 1)), NotBefore: start, NotAfter: start.Add(time.Hour)}
		cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
		if err != nil {
			t.Fatal(err)
		}
		der, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		chain := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})
		sets[i] = issue.Set{Files: issue.Files{
			"tls.crt": {Data: chain},
			"tls.key": {Data: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), Secret: true},
			"ca.crt":  {Data: chain},
		}}
	}
	return sets
}

// small is a set of one public and one secret file.
func small(text string) issue.Set {
	return issue.Set{
		Files: issue.Files{"tls.crt": {Data: []byte("chain " + text)}, "tls.key": {Data: []byte("key " + text), Secret: true}},
		Facts: map[string]string{"text": text},
	}
}

// plain is a small set that asks for plain files.
func plain(text string) issue.Set {
	set := small(text)
	set.Swap = issue.SwapFiles
	return set
}

func mustSave(t testing.TB, s *Store, set issue.Set, was issue.Version) issue.Version {
	t.Helper()
	v, err := s.Save(t.Context(), set, was)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// wantText is for a place that holds the small set of that text.
func wantText(t *testing.T, s *Store, text string) {
	t.Helper()
	set, _, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := string(set.Files["tls.key"].Data); got != "key "+text || set.Facts["text"] != text {
		t.Errorf("the place holds %q and facts %q, want the set %q", got, set.Facts, text)
	}
}
