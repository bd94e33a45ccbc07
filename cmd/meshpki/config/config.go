// Package config reads meshpki.yaml, the manifest: strictly, with the place of
// everything that is wrong, and into structs that are the manifest as it was
// written. What its names and references stand for is for others to say.
package config

import (
	"errors"
	"io/fs"
	"strings"

	"github.com/meshpki/meshpki/internal/pemfile"
)

// Load reads a manifest from a file of at most 16 MiB. Every error is an *Error;
// its Err is set where the file could not be read at all (fs.ErrNotExist,
// pemfile.ErrTooLarge).
func Load(path string) (*Manifest, error) { return load(path, false) }

// LoadOrders is Load, and takes cert-manager's Certificates as well: YAML of whatever
// a cluster has, in which each Certificate becomes a service.
func LoadOrders(path string) (*Manifest, error) { return load(path, true) }

func load(path string, objects bool) (*Manifest, error) {
	data, err := pemfile.ReadFile(path)
	if err == nil || errors.Is(err, pemfile.ErrEmpty) {
		m, err := parse(path, data, objects)
		if err != nil {
			err.File = path
			return nil, err
		}
		return m, nil
	}
	reason := err
	for errors.Unwrap(reason) != nil {
		reason = errors.Unwrap(reason)
	}
	e := &Error{File: path, Problem: "cannot be read: " + reason.Error(), Err: err}
	switch {
	case errors.Is(err, pemfile.ErrTooLarge):
		e.Problem = "larger than 16 MiB: a manifest is at most that"
		e.Hint = "split the services over several manifests"
	case errors.Is(err, fs.ErrNotExist):
		e.Problem = "there is no such file"
	}
	return nil, e
}

// Parse reads a manifest from YAML in UTF-8; name stands for the file in errors.
// Every error is an *Error, the first that was found. It is safe for concurrent use.
func Parse(name string, data []byte) (*Manifest, error) {
	m, err := parse(name, data, false)
	if err != nil {
		err.File = name
		return nil, err
	}
	return m, nil
}

func parse(name string, data []byte, objects bool) (*Manifest, *Error) {
	if len(data) > pemfile.MaxSize {
		return nil, &Error{Problem: "larger than 16 MiB: a manifest is at most that", Err: pemfile.ErrTooLarge}
	}
	src, err := clean(data)
	if err != nil {
		return nil, err
	}
	r := newReader()
	r.m.File = name
	if objects && rootKind().MatchString(src) {
		return r.m, r.objects(src)
	}
	// Many services are kept where they are read, in one piece of memory.
	r.m.Services = make([]Service, 0, strings.Count(src, "\n- name:")+strings.Count(src, "\n  - name:")+strings.Count(src, "\n  - {name:"))
	if err := split(src, r.take); err != nil {
		return nil, err
	}
	if len(r.lines) == 0 {
		return nil, &Error{Problem: "empty: a manifest has at least the line apiVersion: " + Version}
	}
	return r.m, r.finish()
}
