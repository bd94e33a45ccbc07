package durable

import (
	"context"
	"os"
	"sync"
)

// Convoy lets many writers on one file system wait for the disk together: one sync
// of the file system is for all that have come to wait until it begins. Each writes
// as it would alone, and waits at the same places; only what is waited for is
// shared. Safe for concurrent use.
type Convoy struct {
	mu      sync.Mutex
	shared  map[uint64]*Shared // by device; nil where a file system cannot be shared
	parents map[string]*Dir    // with many in them, opened one after the other; nil where each is judged for itself
	tried   map[uint64]int     // by device, for how many more directories a trial counts
	held    map[string]*trays  // by directory
	crowd   crowd
}

type convoyKey struct{}

// Together gives a context in which those who write many things at once wait for the
// disk together, and judge once what is above directories beside each other: see
// ConvoyOf. End lets go of what it holds; nobody writes in it then.
func Together(ctx context.Context) (together context.Context, end func()) {
	c := &Convoy{shared: map[uint64]*Shared{}, parents: map[string]*Dir{}, held: map[string]*trays{}, crowd: crowd{still: make(chan struct{})}}
	return context.WithValue(ctx, convoyKey{}, c), c.end
}

// ConvoyOf gives the convoy of a context; nil, which is fit for use, where there is none.
func ConvoyOf(ctx context.Context) *Convoy {
	c, _ := ctx.Value(convoyKey{}).(*Convoy)
	return c
}

// Join is called before anything is written below a directory. It gives what to wait
// for, or nil where each file has to be synced for itself: there is no convoy, or the
// system cannot sync a whole file system and tell what went wrong.
func (c *Convoy) Join(in *Dir) *Shared {
	if c == nil {
		return nil
	}
	device, ok := in.device()
	if !ok {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	s, known := c.shared[device]
	if !known && c.shared != nil {
		if s = newShared(in, device); s != nil {
			s.of = c
		}
		c.shared[device] = s
	}
	if s == nil || s.broken() {
		return nil
	}
	return s
}

func (c *Convoy) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, t := range c.held {
		t.end()
	}
	for _, s := range c.shared {
		if s == nil {
			continue
		}
		if s.later {
			_ = s.Sync() // who had to know has waited
		}
		_ = s.dir.Close() // nothing was written through it
	}
	for _, p := range c.parents {
		if p != nil {
			_ = p.Close()
		}
	}
	c.shared, c.parents = nil, nil
}

// Shared is a file system whose writers wait together.
type Shared struct {
	// dir was open before anything was written: what goes wrong from then on, a sync
	// through it tells.
	dir   *os.File
	sync  func(*os.File) error
	queue *Queue[struct{}]
	of    *Convoy

	mu     sync.Mutex
	failed error
	later  bool // there is something that nobody has waited for
}

// newShared opens what the syncs go through; nil where that cannot be had.
func newShared(in *Dir, device uint64) *Shared {
	dir, err := in.file()
	if err != nil {
		return nil
	}
	if !syncsWhole(dir, device) {
		_ = dir.Close() // nothing was written through it
		return nil
	}
	return &Shared{dir: dir, sync: syncWhole, queue: NewQueue[struct{}]()}
}

func (s *Shared) broken() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.failed != nil
}

// SyncDir makes the names in a directory durable: with what others have written, or
// alone where s is nil.
func (s *Shared) SyncDir(dir *Dir) error {
	if s == nil {
		return dir.Sync()
	}
	return s.Sync()
}

// SyncDirLater is SyncDir for what nobody has to wait for: at its end the convoy does.
func (s *Shared) SyncDirLater(dir *Dir) error {
	if s == nil {
		return dir.Sync()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.later = true
	return s.failed
}

// Sync returns once all that was written on the file system before is on the disk.
// An error says that something of it is not, whoever wrote that. It is told once by
// the system, and so to everybody who waits here from then on.
func (s *Shared) Sync() error {
	return s.queue.Wait(context.Background(), s.of, struct{}{}, s.serve)
}

// serve syncs for all who wait.
func (s *Shared) serve() error {
	s.of.Gather(s.queue.Len, 0, 256)
	_, answer := s.queue.Take(nil)
	s.mu.Lock()
	err := s.failed
	s.mu.Unlock()
	if err == nil {
		err = s.sync(s.dir)
	}
	s.mu.Lock()
	if s.failed == nil {
		s.failed = err
	}
	s.mu.Unlock()
	answer(err)
	return nil
}
