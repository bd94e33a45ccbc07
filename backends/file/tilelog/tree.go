package tilelog

import (
	"context"
	"fmt"
	"iter"
	"math/bits"
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// Tree is a log as a checkpoint describes it. Every hash and every entry that it
// gives was held against the checkpoint's root. Not safe for concurrent use.
type Tree struct {
	Checkpoint
	log    Log
	edge   [][]tlog.Hash // of each level the tile that is not full yet, which may be empty
	recent [maxLevel + 1]struct {
		n      int64
		hashes []tlog.Hash // nil where nothing was read yet
	}
	bundled int64    // the bundle that was read last
	entries [][]byte // its entries; nil where none was read yet
	reads   int      // how many files were read
}

// Open reads what is needed to trust the rest: the tiles that are not full.
func (l Log) Open(c Checkpoint) (*Tree, error) {
	t := &Tree{Checkpoint: c, log: l}
	for level := 0; c.Size>>(height*level) > 0; level++ {
		n, w := c.Size>>(height*level)/width, int(c.Size>>(height*level)%width)
		var hashes []tlog.Hash
		if w > 0 {
			var err error
			if hashes, err = l.hashes(level, n, w); err != nil {
				return nil, err
			}
			t.reads++
		}
		t.edge = append(t.edge, hashes)
	}
	if edgeRoot(t.edge) != c.Root {
		return nil, l.diagnose(c)
	}
	return t, nil
}

// diagnose names what is wrong with a log whose tiles do not lead to its root.
func (l Log) diagnose(c Checkpoint) error {
	report, err := l.Verify(context.Background(), c, nil)
	if err != nil {
		return err
	}
	if len(report) > 0 {
		return report[0]
	}
	return l.damage(checkpointName, -1, "the tiles do not lead to its root")
}

// edgeRoot is the root of a tree, from the tiles of each level that are not full.
func edgeRoot(edge [][]tlog.Hash) tlog.Hash { return peaksRoot(peaksOf(edge)) }

// peaksOf gives, for each level's tile, the roots of its largest perfect subtrees, from
// the left: all that the tree's root needs to know of it.
func peaksOf(edge [][]tlog.Hash) [][]tlog.Hash {
	peaks := make([][]tlog.Hash, len(edge))
	for level, tile := range edge {
		for len(tile) > 0 {
			size := 1 << (bits.Len(uint(len(tile))) - 1)
			peaks[level] = append(peaks[level], perfect(tile[:size]))
			tile = tile[size:]
		}
	}
	return peaks
}

// peaksRoot is the root of a tree, from what peaksOf gives.
func peaksRoot(peaks [][]tlog.Hash) tlog.Hash {
	var acc tlog.Hash
	empty := true
	for _, level := range peaks {
		for _, peak := range slices.Backward(level) {
			if empty {
				acc, empty = peak, false
			} else {
				acc = tlog.NodeHash(peak, acc)
			}
		}
	}
	if empty {
		root, _ := tlog.TreeHash(0, nil) // of no entries: it reads nothing
		return root
	}
	return acc
}

// perfect is the root over hashes whose number is a power of two.
func perfect(hashes []tlog.Hash) tlog.Hash {
	var space [width / 2]tlog.Hash
	row := hashes
	for len(row) > 1 {
		half := space[:len(row)/2]
		for i := range half {
			half[i] = tlog.NodeHash(row[2*i], row[2*i+1])
		}
		row = half
	}
	return row[0]
}

// tile gives the hashes of a tile, full or at the edge.
func (t *Tree) tile(level int, n int64) ([]tlog.Hash, error) {
	if level >= len(t.edge) {
		return nil, fmt.Errorf("a tree of %d entries has no tile %s", t.Size, fullPath(level, n))
	}
	switch last := t.Size >> (height * level) / width; {
	case n > last:
		return nil, fmt.Errorf("a tree of %d entries has no tile %s", t.Size, fullPath(level, n))
	case n == last:
		return t.edge[level], nil
	}
	if r := t.recent[level]; r.hashes != nil && r.n == n {
		return r.hashes, nil
	}
	parent, err := t.tile(level+1, n/width)
	if err != nil {
		return nil, err
	}
	hashes, err := t.log.hashes(level, n, width)
	if err != nil {
		return nil, err
	}
	t.reads++
	if perfect(hashes) != parent[n%width] {
		return nil, t.log.damage(fullPath(level, n), -1, "this tile is not what was written")
	}
	t.recent[level].n, t.recent[level].hashes = n, hashes
	return hashes, nil
}

// ReadHashes makes it a tlog.HashReader, so that proofs can be made from it.
func (t *Tree) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, index := range indexes {
		level, n := tlog.SplitStoredHashIndex(index)
		within := level % height // how high in its tile
		first := n << within
		tile, err := t.tile(level/height, first/width)
		if err != nil {
			return nil, err
		}
		at, size := int(first%width), 1<<within
		if at+size > len(tile) {
			return nil, fmt.Errorf("a tree of %d entries has no hash %d", t.Size, index)
		}
		out[i] = perfect(tile[at : at+size])
	}
	return out, nil
}

// bundle gives the entries of a bundle, each held against its hash.
func (t *Tree) bundle(n int64) ([][]byte, error) {
	if t.entries != nil && t.bundled == n {
		return t.entries, nil
	}
	hashes, err := t.tile(0, n)
	if err != nil {
		return nil, err
	}
	data, name, err := t.log.read(entriesLevel, n, len(hashes))
	if err != nil {
		return nil, err
	}
	t.reads++
	entries, _, err := parseBundle(data, len(hashes))
	if err != nil {
		return nil, t.log.damage(name, -1, "it %v", err)
	}
	for i, e := range entries {
		if tlog.RecordHash(e) != hashes[i] {
			return nil, t.log.damage(name, n*width+int64(i), "is not what was written")
		}
	}
	t.bundled, t.entries = n, entries
	return entries, nil
}

// Entries gives the entries from that number on, in order. An error ends it.
func (t *Tree) Entries(ctx context.Context, from int64) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for at := from; at < t.Size; {
			if err := ctx.Err(); err != nil {
				yield(nil, err)
				return
			}
			entries, err := t.bundle(at / width)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, e := range entries[at%width:] {
				if err := ctx.Err(); err != nil {
					yield(nil, err)
					return
				}
				if !yield(e, nil) {
					return
				}
				at++
			}
		}
	}
}

// Entry gives one entry.
func (t *Tree) Entry(number int64) ([]byte, error) {
	if number < 0 || number >= t.Size {
		return nil, fmt.Errorf("the log has %d entries, and no number %d", t.Size, number)
	}
	entries, err := t.bundle(number / width)
	if err != nil {
		return nil, err
	}
	return entries[number%width], nil
}

// RootAt is the root that the tree had at a smaller size.
func (t *Tree) RootAt(size int64) (tlog.Hash, error) {
	if size < 0 || size > t.Size {
		return tlog.Hash{}, fmt.Errorf("the log has %d entries, not %d", t.Size, size)
	}
	return tlog.TreeHash(size, t)
}

// Extends tells whether the tree begins with all that an earlier checkpoint
// covers, by a proof of consistency (RFC 6962, Section 2.1.2).
func (t *Tree) Extends(old Checkpoint) (bool, error) {
	switch {
	case old.Size > t.Size:
		return false, nil
	case old.Size == 0:
		return old.Root == edgeRoot(nil), nil
	}
	proof, err := tlog.ProveTree(t.Size, old.Size, t)
	if err != nil {
		return false, err
	}
	return tlog.CheckTree(proof, t.Size, t.Checkpoint.Root, old.Size, old.Root) == nil, nil
}
