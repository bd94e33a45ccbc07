package file

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"

	"github.com/meshpki/meshpki/backends/file/tilelog"
	"github.com/meshpki/meshpki/ca"
)

// Checkpoint is what the log's key has signed of it.
type Checkpoint = tilelog.Checkpoint

// Verification is what a look at the whole ledger has found.
type Verification struct {
	Checkpoint
	Damage []*LedgerError
	// Missing are the certificates that the ledger does not have, by their place among
	// those that were asked for.
	Missing []int
	// Index says what is wrong with the index of revocations; "" where it will do.
	Index string
}

// Verify reads the whole ledger and holds it against its checkpoint, and those
// certificates, in DER, against it.
func (l *Ledger) Verify(ctx context.Context, certificates [][]byte) (Verification, error) {
	var v Verification
	if err := l.checkFirst(); err != nil {
		return v, err
	}
	log, err := l.settled()
	if errors.Is(err, fs.ErrNotExist) {
		err = l.checkAbsent()
		for i := range certificates {
			v.Missing = append(v.Missing, i)
		}
		return v, v.take(err)
	}
	if err != nil {
		return v, v.take(err)
	}
	if v.Checkpoint, err = log.Checkpoint(); err != nil {
		return v, v.take(err)
	}
	s := newSearch(certificates)
	if v.Damage, err = log.Verify(ctx, v.Checkpoint, s.visit); err != nil || len(v.Damage) > 0 {
		return v, err
	}
	v.Missing = s.missing()
	// The index of revocations is a copy that others read; it must say the same.
	known, err := l.Revoked(ctx)
	if err != nil {
		return v, v.take(err)
	}
	revoked, err := l.revokedIn(s.revocations)
	if err != nil {
		return v, v.take(err)
	}
	if known.Len() != revoked.Len() {
		v.Index = fmt.Sprintf("%s: the index of revocations knows %d of %d: delete it, and it is made anew", l.path(cacheDir, indexName), known.Len(), revoked.Len())
	}
	return v, nil
}

// take keeps an error that is damage as a finding, and gives any other.
func (v *Verification) take(err error) error {
	if d, ok := errors.AsType[*LedgerError](err); ok {
		v.Damage = append(v.Damage, d)
		return nil
	}
	return err
}

// revokedIn is what those entries revoke, whose numbers are given.
func (l *Ledger) revokedIn(entries map[int64][]byte) (ca.Revoked, error) {
	var revoked ca.Revoked
	for number, data := range entries {
		e, err := l.decode(data, number)
		if err != nil {
			return revoked, err
		}
		revoked.Add(e)
	}
	return revoked, nil
}

// search looks for certificates among entries that come in no order.
type search struct {
	places []string // each certificate as it stands in an entry
	found  []atomic.Bool
	byEnd  map[string][]int // which of them end so

	mu          sync.Mutex
	revocations map[int64][]byte
}

// endLength is how much of a certificate's end, which is its signature, is compared first.
const endLength = 24

func newSearch(certificates [][]byte) *search {
	s := &search{found: make([]atomic.Bool, len(certificates)), byEnd: map[string][]int{}, revocations: map[int64][]byte{}}
	for i, der := range certificates {
		text := base64.StdEncoding.EncodeToString(der)
		s.places = append(s.places, text)
		end := text[max(0, len(text)-endLength):]
		s.byEnd[end] = append(s.byEnd[end], i)
	}
	return s
}

func (s *search) visit(number int64, data []byte) {
	if kind, ok := kindOf(data); !ok || kind == ca.KindRevocation {
		s.mu.Lock()
		s.revocations[number] = bytes.Clone(data)
		s.mu.Unlock()
		return
	}
	// No text in an entry has this in it: quotation marks in texts are escaped.
	_, rest, ok := bytes.Cut(data, []byte(`,"certificate":"`))
	certificate, _, closed := bytes.Cut(rest, []byte{'"'})
	if !ok || !closed {
		return
	}
	for _, i := range s.byEnd[string(certificate[max(0, len(certificate)-endLength):])] {
		if s.places[i] == string(certificate) {
			s.found[i].Store(true)
		}
	}
}

func (s *search) missing() []int {
	var out []int
	for i := range s.places {
		if !s.found[i].Load() {
			out = append(out, i)
		}
	}
	return out
}

// Since proves that nothing was changed that a checkpoint kept elsewhere covers;
// raw is that checkpoint, from a file of that name. It gives how many entries that
// are. What cannot be proved is a *RollbackError.
func (l *Ledger) Since(name string, raw []byte) (int64, error) {
	tree, err := l.tree()
	if err != nil {
		return 0, err
	}
	if tree == nil {
		return 0, &RollbackError{name, "this checkpoint covers entries, and there is no ledger"}
	}
	log, err := l.log()
	if err != nil {
		return 0, err
	}
	old, err := since(tree, log.Key, name, raw)
	return old.Size, err
}

// SinceCopy is Since for the copy that the ledger writes of its checkpoints. A copy
// that is not there yet covers nothing.
func (l *Ledger) SinceCopy() (int64, error) {
	if l.copyTo == "" {
		return 0, nil
	}
	raw, err := os.ReadFile(l.copyTo)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return l.Since(l.copyTo, raw)
}

// Checkpoint gives the newest checkpoint and the log's public key.
func (l *Ledger) Checkpoint() (c Checkpoint, key string, err error) {
	if err := l.checkFirst(); err != nil {
		return c, "", err
	}
	log, err := l.settled()
	if err != nil {
		return c, "", err
	}
	data, err := os.ReadFile(l.path(caDir, logPubName))
	if err != nil {
		return c, "", err
	}
	c, err = log.Checkpoint()
	return c, string(bytes.TrimSpace(data)), err
}

// Proven is an entry whose place in a log was proved.
type Proven struct {
	ca.Entry
	Number     int64 // its place, from 0
	Checkpoint Checkpoint
}

// Prove makes a proof, for somebody without the log, that the certificates with a
// serial number are in it: for the newest of them. Without any it is
// ca.ErrUnknownSerial.
func (l *Ledger) Prove(ctx context.Context, serial string) (Proven, []byte, error) {
	var last found
	for f, err := range l.find(ctx, serial) {
		if err != nil {
			return Proven{}, nil, err
		}
		last = f
	}
	if last.tree == nil {
		return Proven{}, nil, ca.ErrUnknownSerial
	}
	p, err := last.tree.Prove(last.number)
	if err != nil {
		return Proven{}, nil, err
	}
	return Proven{last.entry, last.number, last.tree.Checkpoint}, p.Encode(), nil
}

// ProofError says that a proof proves nothing.
type ProofError struct{ Problem string }

func (e *ProofError) Error() string { return e.Problem }

// CheckProof tells, without the log, what entry of it a proof shows. One that shows
// nothing is a *ProofError; what is no proof at all is another error.
func CheckProof(proof, logKey []byte) (Proven, error) {
	key, err := ParseLogKey(logKey)
	if err != nil {
		return Proven{}, fmt.Errorf("the log's key: %w", err)
	}
	p, err := tilelog.ParseProof(proof)
	if err != nil {
		return Proven{}, err
	}
	c, err := p.Verify(key)
	if err != nil {
		return Proven{}, &ProofError{err.Error()}
	}
	e, err := (&Ledger{}).decode(p.Entry, p.Number)
	if err != nil {
		return Proven{}, &ProofError{"the entry is none of this version of meshpki"}
	}
	return Proven{e, p.Number, c}, nil
}
