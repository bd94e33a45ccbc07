package renew

import (
	"sync"

	"github.com/meshpki/meshpki/issue"
)

// tried remembers in what new places could be made a moment ago: of many that are made
// in one directory, not each has to try it for itself. Safe for concurrent use.
type tried struct {
	mu   sync.Mutex
	left map[string]int
}

// mostTried is for how many places one trial counts.
const mostTried = 500

// key is what a place has in common with those that are made as it would be; "" where
// it cannot tell, or is there already.
func (p Place) key() string {
	n, ok := p.Store.(issue.Newcomer)
	if !ok {
		return ""
	}
	beside := n.Beside()
	if beside == "" {
		return ""
	}
	return beside + "\n" + p.Owner + "\n" + p.Group
}

// take tells whether a trial still counts.
func (t *tried) take(key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if key == "" || t.left[key] == 0 {
		return false
	}
	t.left[key]--
	return true
}

// good notes a trial that went well.
func (t *tried) good(key string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.left == nil {
		t.left = map[string]int{}
	}
	t.left[key] = mostTried
}

// bad has everything tried again: something could not be written after all.
func (t *tried) bad() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.left = nil
}
