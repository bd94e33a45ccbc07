package file

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"

	"github.com/meshpki/meshpki/backends/file/tilelog"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/durable"
)

// seen is what a ledger has read of the revocations, up to some entry.
type seen struct {
	mu      sync.Mutex
	raw     []byte // the checkpoint that it was read at
	size    int64
	indexed int64 // how far the index on the disk goes
	root    tlog.Hash
	found   []ca.Entry // the revocations, in order
	revoked ca.Revoked // made of them; what was given away is not changed any more
}

// The index of revocations in cache/ saves reading everything ever signed. It is
// a note that the log's key has signed, so that nobody else can hide a revocation
// in it, and it names the tree that it belongs to. It can be made anew from the log.
const (
	indexName   = "revoked"
	indexHeader = "meshpki revocations v1"
	// indexAfter is how many entries may be unread by the index before it is written anew.
	indexAfter = 256
)

// Revoked gives what has been revoked: from what was read before, or the index,
// and from the entries that are younger than it.
func (l *Ledger) Revoked(ctx context.Context) (ca.Revoked, error) {
	if err := ctx.Err(); err != nil {
		return ca.Revoked{}, err
	}
	l.seen.mu.Lock()
	defer l.seen.mu.Unlock()
	s := &l.seen
	if s.raw != nil {
		if raw, err := (tilelog.Log{Dir: l.path(logDir)}).Raw(); err == nil && bytes.Equal(raw, s.raw) {
			return s.revoked, nil
		}
	}
	tree, err := l.tree()
	if err != nil || tree == nil {
		return ca.Revoked{}, err
	}
	from := l.start(tree)
	found, err := l.revocations(ctx, tree, from.size)
	if err != nil {
		return ca.Revoked{}, err
	}
	if !from.known || len(found) > 0 {
		s.found = slices.Concat(from.found, found)
		s.revoked = ca.Revoked{}
		for _, e := range s.found {
			s.revoked.Add(e)
		}
	}
	s.raw, s.size, s.root = tree.Raw, tree.Size, tree.Checkpoint.Root
	l.opened.Store(tree) // for a writer: nobody else uses it now
	if s.size-from.indexed >= indexAfter {
		l.writeIndex(s)
	}
	return s.revoked, nil
}

// take lets what this process has recorded be known without reading it again: from
// the checkpoint that it was put behind on.
func (l *Ledger) take(before []byte, c tilelog.Checkpoint, entries [][]byte) {
	s := &l.seen
	// Who reads the revocations at this moment may wait for the lock that is held here.
	if !s.mu.TryLock() {
		return
	}
	defer s.mu.Unlock()
	if s.raw == nil || !bytes.Equal(s.raw, before) || c.Size-s.indexed > indexAfter {
		return
	}
	for _, data := range entries {
		if kind, ok := kindOf(data); ok && kind != ca.KindRevocation {
			continue
		}
		return // the revocations that were given away are not changed
	}
	s.raw, s.size, s.root = c.Raw, c.Size, c.Root
}

// beginning is where the reading of revocations begins.
type beginning struct {
	size    int64
	found   []ca.Entry
	known   bool  // it is what this process knows
	indexed int64 // how far the index on the disk is known to go
}

// start gives what is known of a tree: by this process, or by the index.
func (l *Ledger) start(tree *tilelog.Tree) beginning {
	if s := &l.seen; s.raw != nil && s.size <= tree.Size {
		if root, err := tree.RootAt(s.size); err == nil && root == s.root {
			return beginning{s.size, s.found, true, s.indexed}
		}
	}
	b, err := l.readIndex(tree)
	if err != nil {
		b = beginning{}
	}
	l.seen.indexed = b.size
	return b
}

// revocations reads those of a tree from an entry on.
func (l *Ledger) revocations(ctx context.Context, tree *tilelog.Tree, from int64) ([]ca.Entry, error) {
	var found []ca.Entry
	for e, err := range l.read(ctx, tree, from, func(k ca.Kind) bool { return k == ca.KindRevocation }) {
		if err != nil {
			return nil, err
		}
		found = append(found, e)
	}
	return found, nil
}

var errIndex = errors.New("the index does not belong to the ledger")

// readIndex reads the index, if it is one of this tree's earlier states.
func (l *Ledger) readIndex(tree *tilelog.Tree) (beginning, error) {
	var b beginning
	data, err := os.ReadFile(l.path(cacheDir, indexName))
	if err != nil {
		return b, err
	}
	log, err := l.log()
	if err != nil {
		return b, err
	}
	signed, err := note.Open(data, note.VerifierList(log.Key))
	if err != nil {
		return b, err
	}
	lines := strings.Split(strings.TrimSuffix(signed.Text, "\n"), "\n")
	var root string
	if len(lines) < 2 || lines[0] != indexHeader {
		return b, errIndex
	}
	if _, err := fmt.Sscanf(lines[1], "%d %s", &b.size, &root); err != nil || b.size > tree.Size {
		return b, errIndex
	}
	if is, err := tree.RootAt(b.size); err != nil || is.String() != root {
		return b, errIndex
	}
	b.found, b.indexed = make([]ca.Entry, len(lines)-2), b.size
	for i, line := range lines[2:] {
		if err := json.Unmarshal([]byte(line), &b.found[i]); err != nil {
			return b, errIndex
		}
	}
	return b, nil
}

// writeIndex writes the index anew, where the log's key may be read. A cache that
// cannot be written costs time, not truth.
func (l *Ledger) writeIndex(s *seen) {
	signer, err := l.signer()
	if err != nil {
		return
	}
	var text bytes.Buffer
	fmt.Fprintf(&text, "%s\n%d %s\n", indexHeader, s.size, s.root)
	out := json.NewEncoder(&text)
	for _, e := range s.found {
		if out.Encode(e) != nil {
			return
		}
	}
	data, err := note.Sign(&note.Note{Text: text.String()}, signer)
	if err == nil {
		_ = durable.WriteFile(l.path(cacheDir, indexName), data, publicMode)
		s.indexed = s.size
	}
}
