package backendtest_test

import (
	"context"
	"strings"
	"testing"

	"github.com/meshpki/meshpki/backends/backendtest"
	"github.com/meshpki/meshpki/backends/memory"
	"github.com/meshpki/meshpki/issue"
)

// mindful is a store that remembers what it should not, or believes what it is told.
type mindful struct {
	*memory.Store
	blind, anyVersion, anyText, tells bool

	recalled issue.Version
}

func (m *mindful) Remember(at issue.Version) string {
	set, now, _ := m.Load(context.Background())
	if at != now && !m.anyVersion {
		return ""
	}
	text := "at " + string(at)
	if m.tells {
		text += " " + string(set.Files["tls.key"].Data)
	}
	return text
}

func (m *mindful) Recall(text string) (issue.Version, bool) {
	text, _, _ = strings.Cut(text, " 0")
	at, ok := strings.CutPrefix(text, "at ")
	m.recalled = issue.Version(at)
	return m.recalled, ok || m.anyText
}

func (m *mindful) Save(ctx context.Context, s issue.Set, was issue.Version) (issue.Version, error) {
	if m.blind && was != "" && was == m.recalled {
		_, was, _ = m.Load(ctx)
	}
	m.recalled = ""
	return m.Store.Save(ctx, s, was)
}

func mindfulWith(m mindful) func(*testing.T) {
	return func(t *testing.T) {
		backendtest.TestStore(t, func(*testing.T) issue.Store {
			one := m
			one.Store = memory.NewStore("mindful")
			return &one
		}, backendtest.StoreOptions{})
	}
}
