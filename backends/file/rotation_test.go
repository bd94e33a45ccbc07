package file

import (
	"errors"
	"os"
	"testing"

	"github.com/meshpki/meshpki/ca"
)

// rotated is a directory whose root is being rotated.
func rotated(t testing.TB) *Directory {
	t.Helper()
	o := initOptions()
	o.Root.MaxPathLen = -1
	d, err := Init(t.Context(), t.TempDir(), o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.RotateRoot(t.Context(), RotateRootOptions{KeyType: ca.ECP256, NotAfter: start.AddDate(10, 0, 0)}); err != nil {
		t.Fatal(err)
	}
	return d
}

// TestRotationWithoutRoom: where the old root's path length leaves no room for the
// new one, the chain in the second phase leads to the new root alone.
func TestRotationWithoutRoom(t *testing.T) {
	for pathLen, want := range map[int]int{-1: 3, 2: 3, 1: 2} {
		o := initOptions()
		o.Root.MaxPathLen = pathLen
		d, err := Init(t.Context(), t.TempDir(), o)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := d.RotateRoot(t.Context(), RotateRootOptions{KeyType: ca.ECP256, NotAfter: start.AddDate(10, 0, 0)}); err != nil {
			t.Fatal(err)
		}
		if err := d.Advance(t.Context(), PhaseOverlap); err != nil {
			t.Fatal(err)
		}
		c, err := d.census()
		if err != nil {
			t.Fatal(err)
		}
		a, err := c.pick("")
		if err != nil {
			t.Fatal(err)
		}
		if chain := 2 + len(c.behind(a)); chain != want || len(a.Above) != 1 || a.Certificate.Issuer.CommonName != "Mesh Root CA 2" {
			t.Errorf("path length %d: %d certificates with the leaf, want %d", pathLen, chain, want)
		}
	}
}

// TestAdvanceOnce: a phase that was looked at and is over is not advanced from.
func TestAdvanceOnce(t *testing.T) {
	d := rotated(t)
	if err := d.Advance(t.Context(), PhaseOverlap); err != nil {
		t.Fatal(err)
	}
	if err := d.Advance(t.Context(), PhaseOverlap); !errors.Is(err, ErrOtherPhase) {
		t.Errorf("a second time: %v", err)
	}
}

// FuzzRotation: whatever the files of a rotation hold, they are read as they were
// meant, or named.
func FuzzRotation(f *testing.F) {
	d := rotated(f)
	good, err := os.ReadFile(d.rotationPath())
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add([]byte(`{"schema":"meshpki/rotation/v1","old":"root","new":"root-2","phase":"drop","since":"2026-11-21T12:00:00Z","began":null}`))
	f.Add([]byte(`{"schema":"meshpki/rotation/v1","old":"../x","new":"root-2","phase":"preparing","since":"2026-11-21T12:00:00Z"}`))
	f.Add([]byte("null"))
	f.Fuzz(func(t *testing.T, data []byte) {
		write(t, d.rotationPath(), data)
		r, err := d.readRotation()
		if err == nil && (!IsRootName(r.New) || !ValidName(r.Old) || r.Old == r.New) {
			t.Fatalf("from %q to %q", r.Old, r.New)
		}
		if roots, err := d.Bundle(); err == nil && (len(roots) == 0 || len(roots) > 2) {
			t.Fatalf("%d roots", len(roots))
		}
		write(t, d.path+"/"+exportsName, data)
		if _, err := d.readExports(); err == nil {
			t.Fatal("a rotation is read as exports")
		}
	})
}
