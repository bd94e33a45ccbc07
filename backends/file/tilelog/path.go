package tilelog

import (
	"fmt"
	"strconv"
)

// What a tile is in C2SP tlog-tiles: 256 hashes of 32 bytes, or 256 entries.
const (
	height = 8
	width  = 1 << height
	// entriesLevel stands for the bundles of entries among the levels of tiles.
	entriesLevel = -1
	// maxLevel is enough for a log of 2^62 entries.
	maxLevel = 7
)

const checkpointName = "checkpoint"

// tilePath is where a tile of w hashes lies, or a bundle of w entries: tlog-tiles,
// "Merkle Tree" and "Log entries". The paths of golang.org/x/mod/sumdb/tlog name
// the height of a tile as well, and are others.
func tilePath(level int, n int64, w int) string {
	path := fullPath(level, n)
	if w < width {
		path += ".p/" + strconv.Itoa(w)
	}
	return path
}

// fullPath is the path of a tile that is full.
func fullPath(level int, n int64) string {
	number := fmt.Sprintf("%03d", n%1000)
	for n /= 1000; n > 0; n /= 1000 {
		number = fmt.Sprintf("x%03d/%s", n%1000, number)
	}
	if level == entriesLevel {
		return "tile/entries/" + number
	}
	return fmt.Sprintf("tile/%d/%s", level, number)
}
