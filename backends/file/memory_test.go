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
