package file

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/meshpki/meshpki/internal/durable"
)

// renewDir holds what renewal remembers between its runs.
const (
	renewDir   = "renew"
	memoSuffix = ".json"
)

// Memory keeps what renewal remembers: named bytes, one file each, readable by the
// owner alone, for keys that are on their way may be among them. Safe for concurrent
// use; who writes one name is for the caller to settle.
type Memory struct{ dir string }

// Memory is where renewal remembers what it has begun. Nothing is opened yet.
func (d *Directory) Memory() *Memory { return &Memory{filepath.Join(d.path, renewDir)} }

func (m *Memory) path(name string) (string, error) {
	if name == "" || strings.HasPrefix(name, ".") || filepath.Base(name) != name || strings.ContainsAny(name, `/\`) {
		return "", fmt.Errorf("%q cannot be remembered: it is no name", name)
	}
	return filepath.Join(m.dir, name+memoSuffix), nil
}

// Place says where something is remembered: its file.
func (m *Memory) Place(name string) string { return filepath.Join(m.dir, name+memoSuffix) }

// Read gives what was remembered under a name; fs.ErrNotExist where nothing was.
func (m *Memory) Read(ctx context.Context, name string) ([]byte, error) {
	path, err := m.path(name)
	if err != nil {
		return nil, errors.Join(err, ctx.Err())
	}
	if err := m.settle(ctx); err != nil {
		return nil, err
	}
	return os.ReadFile(path)
}

// settle lays out what a process that died in the middle of a large pass had in hand. Who
// may only look sees what is laid out.
func (m *Memory) settle(ctx context.Context) error {
	err := durable.ConvoyOf(ctx).Recover(ctx, m.dir)
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		return nil
	}
	return err
}

// Write remembers bytes under a name, durably, in place of what was there.
func (m *Memory) Write(ctx context.Context, name string, data []byte) error {
	path, err := m.path(name)
	if err := errors.Join(err, ctx.Err()); err != nil {
		return err
	}
	if err := durable.MkdirAll(m.dir, 0o700); err != nil {
		return err
	}
	convoy := durable.ConvoyOf(ctx)
	if err := convoy.WriteFile(path, data, secretMode); err != nil {
		return err
	}
	_, err = convoy.Drop(m.dir, filepath.Base(path))
	return err
}

// Hold remembers bytes under a name that has none, durably, for as long as whoever has
// the name to himself does: before he lets go of it he writes it anew, removes it, or
// calls Keep. Among many, all that is held so stands in one file.
func (m *Memory) Hold(ctx context.Context, name string, data []byte) error {
	path, err := m.path(name)
	if err := errors.Join(err, ctx.Err()); err != nil {
		return err
	}
	held, err := durable.ConvoyOf(ctx).Hold(m.dir, filepath.Base(path), data)
	if held || err != nil {
		return err
	}
	return m.Write(ctx, name, data)
}

// Keep gives what is still held a file of its own.
func (m *Memory) Keep(ctx context.Context, name string) error {
	path, err := m.path(name)
	if err != nil {
		return err
	}
	return durable.ConvoyOf(ctx).Keep(m.dir, filepath.Base(path), secretMode)
}

// Remove forgets a name; one that is not there is forgotten already. Among many that
// wait for the disk together it does not: what a crash brings back was done, and is
// found to be.
func (m *Memory) Remove(ctx context.Context, name string) error {
	path, err := m.path(name)
	if err := errors.Join(err, ctx.Err()); err != nil {
		return err
	}
	if dropped, err := durable.ConvoyOf(ctx).Drop(m.dir, filepath.Base(path)); dropped || err != nil {
		return err
	}
	root, err := durable.OpenDir(m.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer root.Close()
	shared := durable.ConvoyOf(ctx).Join(root)
	if err := root.Remove(filepath.Base(path)); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	return shared.SyncDirLater(root)
}

// Names lists what is remembered, in order. Remains of a writer that died are none.
func (m *Memory) Names(ctx context.Context) ([]string, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	if err := m.settle(ctx); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(m.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), memoSuffix); ok && !strings.HasPrefix(name, ".") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}
