package file

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meshpki/meshpki/internal/durable"
)

// Services lists the services' own places that keep anything, by namespace and name.
func (d *Directory) Services() ([]*Store, error) { return d.places(true) }

// Remnants lists what is left of services' own places that were removed: what is
// empty, or has no more than certificates and others' files. Removing them at the
// zero version takes away what is ours.
func (d *Directory) Remnants() ([]*Store, error) { return d.places(false) }

func (d *Directory) places(kept bool) ([]*Store, error) {
	var out []*Store
	namespaces, err := readDir(filepath.Join(d.path, servicesDir))
	if err != nil {
		return nil, err
	}
	for _, ns := range namespaces {
		services, err := readDir(filepath.Join(d.path, servicesDir, ns))
		if err != nil {
			return nil, err
		}
		for _, s := range services {
			if path := d.ServicePath(ns, s); keepsAny(path) == kept {
				out = append(out, NewStore(path))
			}
		}
	}
	return out, nil
}

// keepsAny tells whether a directory keeps a set, or the keys of one.
func keepsAny(path string) bool {
	if _, err := os.Lstat(filepath.Join(path, dataLink)); !errors.Is(err, fs.ErrNotExist) {
		return true
	}
	root, err := durable.OpenDir(path)
	if err != nil {
		return true
	}
	defer root.Close()
	names, err := root.Names()
	return err != nil || slices.ContainsFunc(names, func(name string) bool {
		return strings.HasPrefix(name, genPrefix) && mayHaveKeys(root, name)
	})
}

// mayHaveKeys tells whether a generation has any of its keys, or does not say what
// those are.
func mayHaveKeys(root *durable.Dir, gen string) bool {
	dir, m, err := openGeneration(root, gen)
	if err != nil {
		return true
	}
	defer dir.Close()
	return slices.ContainsFunc(m.Secret, func(name string) bool {
		_, err := dir.Lstat(name)
		return !errors.Is(err, fs.ErrNotExist)
	})
}
