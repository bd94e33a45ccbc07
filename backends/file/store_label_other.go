//go:build !linux

package file

import (
	"os"

	"github.com/meshpki/meshpki/internal/durable"
)

// labels are Linux's alone.
type labels struct{}

func readLabels(*durable.Dir, string, string, map[string]standing) (labels, error) {
	return labels{}, nil
}

func (labels) has(string) bool { return false }

func (labels) apply(*os.File, string) error { return nil }

func (labels) applyDir(*durable.Dir) error { return nil }
