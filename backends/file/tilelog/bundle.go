package tilelog

import (
	"encoding/binary"
	"errors"
)

// MaxEntry is how long an entry can be: bundles count its bytes in 16 bits.
const MaxEntry = 1<<16 - 1

// appendEntry puts an entry behind a bundle, after its length.
func appendEntry(bundle, entry []byte) []byte {
	return append(binary.BigEndian.AppendUint16(bundle, uint16(len(entry))), entry...)
}

// bundled is how many bytes entries take in a bundle.
func bundled(entries [][]byte) int {
	size := 0
	for _, e := range entries {
		size += 2 + len(e)
	}
	return size
}

var errCutOff = errors.New("is cut off")

// parseBundle reads the first w entries of a bundle, and says where they end.
// The entries share the bundle's bytes.
func parseBundle(bundle []byte, w int) (entries [][]byte, end int, err error) {
	entries = make([][]byte, 0, w)
	for range w {
		if len(bundle)-end < 2 {
			return entries, end, errCutOff
		}
		n := int(binary.BigEndian.Uint16(bundle[end:]))
		if len(bundle)-end-2 < n {
			return entries, end, errCutOff
		}
		entries = append(entries, bundle[end+2:end+2+n:end+2+n])
		end += 2 + n
	}
	return entries, end, nil
}
