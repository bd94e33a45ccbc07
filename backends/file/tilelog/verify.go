package tilelog

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/meshpki/meshpki/internal/guard"
)

// maxSize bounds what is made room for: no disk holds more entries.
const maxSize = 1 << 36

// Verify reads the whole log: every entry, every tile, and whether they lead to
// the checkpoint's root. It gives all that is not what was written; the error is
// for what could not be read. visit, unless nil, is given each entry and its number,
// in no order and from several goroutines at once; it must not keep the bytes.
func (l Log) Verify(ctx context.Context, c Checkpoint, visit func(number int64, entry []byte)) ([]*Damage, error) {
	if c.Size > maxSize {
		return []*Damage{l.damage(checkpointName, -1, "%d entries are more than there can be", c.Size)}, nil
	}
	v := verification{Log: l, size: c.Size, visit: visit, bad: map[place]*doubt{}}
	if err := v.bundles(ctx); err != nil {
		return nil, err
	}
	if err := v.tiles(); err != nil {
		return nil, err
	}
	v.judge(c.Root)
	slices.SortStableFunc(v.found, func(a, b *Damage) int {
		return cmp.Or(cmp.Compare(a.Path, b.Path), cmp.Compare(a.Entry, b.Entry))
	})
	return v.found, nil
}

// place is a tile's, by level and number.
type place struct {
	level int
	n     int64
}

// doubt is a tile that is not there, or that says other than what is below it.
type doubt struct {
	name     string      // of the bundle below it, where there is one
	stored   []tlog.Hash // what the tile says; nil where it cannot be read
	computed []tlog.Hash // what is below it says; nil where that cannot be read
}

// verification is the state of one Verify.
type verification struct {
	Log
	size   int64
	visit  func(int64, []byte)
	levels [][]tlog.Hash // of each level above 0 all hashes, as computed from those below

	mu     sync.Mutex
	bad    map[place]*doubt
	found  []*Damage
	failed error
}

// wide is how many hashes a tile has.
func (v *verification) wide(p place) int {
	return int(min(width, v.size>>(height*p.level)-p.n*width))
}

// bundles computes the hashes of all entries, over all processors, and compares
// them with the tiles.
func (v *verification) bundles(ctx context.Context) error {
	roots := make([]tlog.Hash, v.size>>height)
	var next atomic.Int64
	var all sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		all.Add(1)
		guard.Go(func(fault any) {
			v.fail(fmt.Errorf("%v", fault))
			all.Done()
		}, func() {
			scratch := make([]byte, 0, 1+MaxEntry)
			for ctx.Err() == nil {
				n := next.Add(1) - 1
				if n*width >= v.size {
					break
				}
				root, err := v.bundle(n, scratch)
				if err != nil {
					v.fail(err)
					break
				}
				if n < int64(len(roots)) {
					roots[n] = root
				}
			}
			all.Done()
		})
	}
	all.Wait()
	v.levels = [][]tlog.Hash{nil, roots}
	return errors.Join(ctx.Err(), v.failed)
}

func (v *verification) fail(err error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.failed = errors.Join(v.failed, err)
}

// report keeps what is damage, and gives what is another error.
func (v *verification) report(err error) error {
	d, ok := errors.AsType[*Damage](err)
	if !ok {
		return err
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.found = append(v.found, d)
	return nil
}

func (v *verification) doubt(p place, d *doubt) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.bad[p] = d
}

// bundle computes the hashes of one bundle and compares them with its tile. It
// gives the root over them, if there are 256.
func (v *verification) bundle(n int64, scratch []byte) (tlog.Hash, error) {
	p := place{0, n}
	w := v.wide(p)
	d := &doubt{}
	data, name, err := v.read(entriesLevel, n, w)
	if d.name = name; err != nil {
		if err := v.report(err); err != nil {
			return tlog.Hash{}, err
		}
	} else {
		entries, _, _ := parseBundle(data, w) // read has seen to it that they are there
		d.computed = make([]tlog.Hash, 0, w)
		for i, e := range entries {
			d.computed = append(d.computed, leafHash(scratch, e))
			if v.visit != nil {
				v.visit(n*width+int64(i), e)
			}
		}
	}
	return v.compare(p, d)
}

// compare reads a tile and compares it with what was computed. It gives the root
// over what there is, if it is a full one's.
func (v *verification) compare(p place, d *doubt) (tlog.Hash, error) {
	var err error
	if d.stored, err = v.hashes(p.level, p.n, v.wide(p)); err != nil {
		if err := v.report(err); err != nil {
			return tlog.Hash{}, err
		}
	}
	if d.computed == nil || d.stored == nil || !slices.Equal(d.stored, d.computed) {
		v.doubt(p, d)
	}
	known := d.computed
	if known == nil {
		known = d.stored
	}
	if len(known) < width {
		return tlog.Hash{}, nil
	}
	return perfect(known), nil
}

// tiles compares the tiles above the lowest level with what is below them.
func (v *verification) tiles() error {
	for level := 1; v.size>>(height*level) > 0; level++ {
		hashes := v.levels[level]
		above := make([]tlog.Hash, 0, len(hashes)/width)
		for n := 0; n*width < len(hashes); n++ {
			end := min(len(hashes), (n+1)*width)
			root, err := v.compare(place{level, int64(n)}, &doubt{computed: hashes[n*width : end : end]})
			if err != nil {
				return err
			}
			if end-n*width == width {
				above = append(above, root)
			}
		}
		v.levels = append(v.levels, above)
	}
	return nil
}

// judge tells, of tiles that say other than what is below them, which is right:
// what leads to the root that was signed.
func (v *verification) judge(root tlog.Hash) {
	edge, ok := v.trueEdge(root)
	if !ok && len(v.bad) == 0 {
		v.found = append(v.found, v.damage(checkpointName, -1, "the log's %d entries do not lead to its root", v.size))
	}
	for _, p := range slices.SortedFunc(maps.Keys(v.bad), func(a, b place) int {
		return cmp.Or(cmp.Compare(b.level, a.level), cmp.Compare(a.n, b.n))
	}) {
		v.blame(p, v.truth(p, edge))
	}
	if !ok && len(v.found) == 0 {
		v.found = append(v.found, v.damage(checkpointName, -1, "the log's tiles do not lead to its root"))
	}
}

// trueEdge chooses, for each level, between what the tile at the edge says and
// what is below it, so that together they lead to the root.
func (v *verification) trueEdge(root tlog.Hash) ([][]tlog.Hash, bool) {
	var edge [][]tlog.Hash
	var doubtful []*doubt
	var at []int
	for level := 0; v.size>>(height*level) > 0; level++ {
		p := place{level, v.size >> (height * level) / width}
		d := v.bad[p]
		switch {
		case v.wide(p) == 0:
			edge = append(edge, nil)
		case d != nil:
			edge, doubtful, at = append(edge, nil), append(doubtful, d), append(at, level)
		default:
			edge = append(edge, v.agreed(p))
		}
	}
	for choice := range 1 << len(doubtful) {
		for i, d := range doubtful {
			if edge[at[i]] = d.stored; choice>>i&1 == 1 {
				edge[at[i]] = d.computed
			}
		}
		if edgeRoot(edge) == root {
			return edge, true
		}
	}
	return nil, false
}

// agreed are the hashes of a tile that nobody doubts.
func (v *verification) agreed(p place) []tlog.Hash {
	if p.level > 0 {
		return v.levels[p.level][p.n*width:][:v.wide(p)]
	}
	hashes, err := v.hashes(0, p.n, v.wide(p)) // as they were a moment ago
	if err != nil {
		return nil
	}
	return hashes
}

// truth are the hashes of a tile as the root has them; nil where they are lost.
func (v *verification) truth(p place, edge [][]tlog.Hash) []tlog.Hash {
	if edge == nil {
		return nil
	}
	if v.wide(p) < width {
		return edge[p.level]
	}
	parent := v.truth(place{p.level + 1, p.n / width}, edge)
	if parent == nil {
		return nil
	}
	want := parent[p.n%width]
	candidates := [][]tlog.Hash{}
	if d := v.bad[p]; d != nil {
		candidates = append(candidates, d.stored, d.computed)
	} else {
		candidates = append(candidates, v.agreed(p))
	}
	for _, hashes := range candidates {
		if len(hashes) == width && perfect(hashes) == want {
			return hashes
		}
	}
	return nil
}

// blame names what is wrong at a tile that is doubted.
func (v *verification) blame(p place, truth []tlog.Hash) {
	d := v.bad[p]
	w := v.wide(p)
	_, name, _ := v.read(p.level, p.n, w)
	switch {
	case truth == nil && d.stored != nil && d.computed != nil:
		v.found = append(v.found, v.damage(name, -1, "what it says and what is below it are not the same, and neither leads to the checkpoint's root"))
		return
	case truth == nil:
		return // what is missing was reported
	}
	if d.stored != nil && !slices.Equal(d.stored, truth) {
		v.found = append(v.found, v.damage(name, -1, "this tile is not what was written"))
	}
	if d.computed == nil {
		return
	}
	for i := range truth {
		at := p.n*width + int64(i)
		switch {
		case d.computed[i] == truth[i]:
		case p.level > 0 && v.bad[place{p.level - 1, at}] == nil:
			v.found = append(v.found, v.damage(fullPath(p.level-1, at), -1, "this tile, and what is below it, are not what was written"))
		case p.level == 0:
			v.found = append(v.found, v.damage(d.name, at, "is not what was written"))
		}
	}
}

// leafHash is tlog.RecordHash without its garbage: SHA-256 of a zero and the entry
// (RFC 6962, Section 2.1).
func leafHash(scratch, entry []byte) tlog.Hash {
	return sha256.Sum256(append(append(scratch[:0], 0), entry...))
}
