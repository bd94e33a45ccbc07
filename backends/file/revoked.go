package file

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/durable"
)

// index remembers the revocations up to some point of the ledger, so that an
// issue need not read everything ever signed. It can be rebuilt from the ledger.
type index struct {
	Schema string     `json:"schema"`
	Offset int64      `json:"offset"` // the bytes of the ledger that it covers
	Lines  int        `json:"lines"`
	Last   string     `json:"last"` // the sum of the last line that it covers, so that another ledger is noticed
	Found  []ca.Entry `json:"revocations"`
}

const indexSchema = "meshpki/revoked/v1"

// Revoked gives what has been revoked: from the index, and from the entries that
// are younger than it.
func (l *Ledger) Revoked(ctx context.Context) (ca.Revoked, error) {
	var revoked ca.Revoked
	f, err := os.Open(l.path)
	if errors.Is(err, fs.ErrNotExist) {
		return revoked, nil
	}
	if err != nil {
		return revoked, err
	}
	defer f.Close()
	ix := l.readIndex(f)
	covered := ix.Offset
	if _, err := f.Seek(covered, io.SeekStart); err != nil {
		return revoked, err
	}
	for e, err := range l.scan(ctx, f, ix.Last, ix.Lines+1, revocations) {
		if err != nil && !isUnfinished(err) {
			return revoked, err
		}
		if err != nil {
			break
		}
		ix.Offset += e.length
		ix.Lines++
		ix.Last = e.sum
		if e.Kind == ca.KindRevocation {
			ix.Found = append(ix.Found, e.Entry)
		}
	}
	for _, e := range ix.Found {
		revoked.Add(e)
	}
	if ix.Offset-covered > indexAfter {
		// A cache that cannot be written costs time, not truth.
		if data, err := json.Marshal(ix); err == nil {
			_ = durable.WriteFile(l.cache, data, publicMode)
		}
	}
	return revoked, nil
}

func revocations(k ca.Kind) bool { return k == ca.KindRevocation }

// isUnfinished tells the line that a writer is at, or died at, from damage: a
// reader holds no lock.
func isUnfinished(err error) bool {
	le, ok := errors.AsType[*LedgerError](err)
	return ok && le.Problem == unfinishedLine
}

// readIndex gives the index, empty where there is none or it belongs to another
// ledger.
func (l *Ledger) readIndex(f *os.File) index {
	empty := index{Schema: indexSchema}
	data, err := os.ReadFile(l.cache)
	if err != nil {
		return empty
	}
	var ix index
	end := sumLength + 1 // of a line, with its line feed
	if json.Unmarshal(data, &ix) != nil || ix.Schema != indexSchema || ix.Offset < int64(end) {
		return empty
	}
	last := make([]byte, end)
	if _, err := f.ReadAt(last, ix.Offset-int64(end)); err != nil || string(last) != sumBefore+ix.Last+sumBehind+"\n" {
		return empty
	}
	return ix
}
