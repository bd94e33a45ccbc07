package file

import (
	"testing"

	"github.com/meshpki/meshpki/backends/backendtest"
	"github.com/meshpki/meshpki/issue"
)

func storeOptions() backendtest.StoreOptions {
	return backendtest.StoreOptions{
		Reopen: func(_ *testing.T, s issue.Store) issue.Store { return NewStore(s.(*Store).path) },
	}
}

var platformTasks map[string]func(path string) error
