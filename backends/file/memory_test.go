package file

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/meshpki/meshpki/internal/durable"
)

// What is remembered is the same for one and among many: whole, for its owner alone, and
// gone once it is forgotten.
func TestMemory(t *testing.T) {
	for _, many := range []bool{false, true} {
		d := &Directory{path: t.TempDir()}
		ctx, end := t.Context(), func() {}
		if many {
			ctx, end = durable.Together(ctx)
		}
		m := d.Memory()
		if err := m.Remove(ctx, "prod.payment"); err != nil {
			t.Errorf("many %t: what was never there cannot be forgotten: %v", many, err)
		}
		for _, text := range []string{"one", "another", strings.Repeat("long ", 2000)} {
			if err := m.Write(ctx, "prod.payment", []byte(text)); err != nil {
				t.Fatal(err)
			}
			if data, err := m.Read(ctx, "prod.payment"); err != nil || string(data) != text {
				t.Errorf("many %t: it remembers %q, %v", many, data, err)
			}
		}
		if info, err := os.Stat(m.Place("prod.payment")); err != nil || info.Mode().Perm() != secretMode {
			t.Errorf("many %t: %v, %v", many, info, err)
		}
		if names, err := m.Names(ctx); err != nil || len(names) != 1 || names[0] != "prod.payment" {
			t.Errorf("many %t: %q, %v", many, names, err)
		}
		for range 2 {
			if err := m.Remove(ctx, "prod.payment"); err != nil {
				t.Error(err)
			}
		}
		if _, err := m.Read(ctx, "prod.payment"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("many %t: it was not forgotten: %v", many, err)
		}
		end()
		if files, err := os.ReadDir(m.dir); err != nil || len(files) > 0 {
			t.Errorf("many %t: left behind: %v, %v", many, files, err)
		}
		stopped, stop := context.WithCancel(ctx)
		stop()
		if err := m.Write(stopped, "prod.payment", nil); err == nil {
			t.Error("it writes for who has given up")
		}
	}
}

// What is held for a moment is remembered, by another process too once its holder is dead,
// and does not outlast what is done with it.
func TestMemoryHolds(t *testing.T) {
	d := &Directory{path: t.TempDir()}
	m := d.Memory()
	ctx, end := durable.Together(t.Context())
	for _, name := range []string{"removed", "written", "kept", "left"} {
		if err := m.Hold(ctx, name, []byte("held "+name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(m.Remove(ctx, "removed"), m.Write(ctx, "written", []byte("anew")), m.Keep(ctx, "kept"), m.Keep(ctx, "removed")); err != nil {
		t.Fatal(err)
	}
	end()
	names, err := m.Names(t.Context())
	if err != nil || strings.Join(names, " ") != "kept left written" {
		t.Errorf("%q, %v", names, err)
	}
	for name, want := range map[string]string{"written": "anew", "kept": "held kept", "left": "held left"} {
		if data, err := m.Read(t.Context(), name); err != nil || string(data) != want {
			t.Errorf("%s: %q, %v", name, data, err)
		}
		if info, err := os.Stat(m.Place(name)); err != nil || info.Mode().Perm() != secretMode {
			t.Errorf("%s: %v, %v", name, info, err)
		}
	}
	if files, err := os.ReadDir(m.dir); err != nil || len(files) != 3 {
		t.Errorf("there are %v, %v", files, err)
	}
	// Alone it is as it was written.
	if err := m.Hold(t.Context(), "alone", []byte("x")); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(m.Place("alone")); err != nil {
		t.Error(err)
	}
}
