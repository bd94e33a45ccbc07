package tilelog

import (
	"slices"

	"golang.org/x/mod/sumdb/tlog"
)

// tail is where a log goes on.
type tail struct {
	raw   []byte // the checkpoint that it belongs to; nil where nothing is known
	size  int64
	peaks [][]tlog.Hash // of each level's tile at the edge
	end   int64         // how long the last bundle is, where it is not full
}

// clone is a copy of the tail that can be appended to.
func (t tail) clone() tail {
	t.peaks = slices.Clone(t.peaks)
	for i := range t.peaks {
		t.peaks[i] = slices.Clone(t.peaks[i])
	}
	return t
}

// piece is what is to be put behind the bytes of one file.
type piece struct {
	level    int
	n        int64
	had, has int   // hashes or entries, before and after
	offset   int64 // where the new bytes go
	data     []byte
}

// plan is a tail in the making, and the pieces that lead to it.
type plan struct {
	tail
	pieces []piece
	open   [maxLevel + 2]*piece // by level; the entries' comes first
	room   int                  // that the entries still to come take, where that is known
}

// piece gives the piece that a level's next hash or entry goes to.
func (p *plan) piece(level int, had int) *piece {
	at := &p.open[level+1]
	if *at == nil {
		offset := int64(had) * tlog.HashSize
		n := p.size >> (height * max(level, 0)) / width
		var data []byte
		if level == entriesLevel {
			offset, data = p.end, make([]byte, 0, p.room)
		}
		*at = &piece{level: level, n: n, had: had, has: had, offset: offset, data: data}
	}
	return *at
}

func (p *plan) add(entry []byte) {
	had := int(p.size % width)
	if had == 0 {
		p.end = 0
	}
	b := p.piece(entriesLevel, had)
	b.data = appendEntry(b.data, entry)
	b.has++
	p.end += int64(2 + len(entry))
	p.room = max(p.room-2-len(entry), 0)
	p.push(0, tlog.RecordHash(entry))
	if b.has == width {
		p.close(entriesLevel)
	}
	p.size++
}

// push puts a hash behind those of its level, and what is full into the one above.
func (p *plan) push(level int, h tlog.Hash) {
	if level == len(p.peaks) {
		p.peaks = append(p.peaks, nil)
	}
	t := p.piece(level, int(p.size>>(height*level)%width))
	t.data = append(t.data, h[:]...)
	t.has++
	peaks := p.peaks[level]
	for n := t.has; n%2 == 0; n /= 2 {
		h = tlog.NodeHash(peaks[len(peaks)-1], h)
		peaks = peaks[:len(peaks)-1]
	}
	if t.has < width {
		p.peaks[level] = append(peaks, h)
		return
	}
	p.peaks[level] = nil
	p.close(level)
	p.push(level+1, h)
}

// close ends the piece of a level.
func (p *plan) close(level int) {
	if open := p.open[level+1]; open != nil {
		p.pieces = append(p.pieces, *open)
		p.open[level+1] = nil
	}
}

func (p *plan) finish() {
	for level := range p.open {
		p.close(level - 1)
	}
}
