package tilelog

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Proof shows, without the log, that an entry is in it: C2SP tlog-proof. The
// entry itself is its extra data, which is believed only for its hash.
type Proof struct {
	Entry      []byte
	Number     int64
	Path       tlog.RecordProof
	Checkpoint []byte // the signed note
}

const (
	proofHeader = "c2sp.org/tlog-proof@v1"
	// maxProof bounds what is read as a proof: an entry in base64, 62 hashes, and a
	// checkpoint.
	maxProof = 2*MaxEntry + 62*64 + maxCheckpoint
)

// Prove makes the proof of an entry.
func (t *Tree) Prove(number int64) (Proof, error) {
	entry, err := t.Entry(number)
	if err != nil {
		return Proof{}, err
	}
	path, err := tlog.ProveRecord(t.Size, number, t)
	if err != nil {
		return Proof{}, err
	}
	return Proof{bytes.Clone(entry), number, path, t.Raw}, nil
}

// Encode gives the proof as the text that ParseProof reads.
func (p Proof) Encode() []byte {
	out := fmt.Appendf(nil, "%s\nextra %s\nindex %d\n", proofHeader, base64.StdEncoding.EncodeToString(p.Entry), p.Number)
	for _, h := range p.Path {
		out = fmt.Appendf(out, "%s\n", h)
	}
	return append(append(out, '\n'), p.Checkpoint...)
}

// ParseProof reads a proof. It proves nothing until Verify has said so.
func ParseProof(data []byte) (Proof, error) {
	var p Proof
	if len(data) > maxProof {
		return p, errors.New("it is longer than any proof")
	}
	head, checkpoint, ok := bytes.Cut(data, []byte("\n\n"))
	lines := strings.Split(string(head), "\n")
	if !ok || lines[0] != proofHeader {
		return p, fmt.Errorf("it is no proof: the first line of one is %q", proofHeader)
	}
	p.Checkpoint = checkpoint
	lines = lines[1:]
	if extra, ok := strings.CutPrefix(lines0(lines), "extra "); ok {
		var err error
		if p.Entry, err = base64.StdEncoding.Strict().DecodeString(extra); err != nil {
			return p, errors.New("its entry is not in base64")
		}
		lines = lines[1:]
	}
	index, ok := strings.CutPrefix(lines0(lines), "index ")
	n, err := strconv.ParseInt(index, 10, 64)
	if !ok || err != nil || n < 0 || strconv.FormatInt(n, 10) != index {
		return p, errors.New("it does not say the number of an entry")
	}
	p.Number = n
	for _, line := range lines[1:] {
		h, err := base64.StdEncoding.Strict().DecodeString(line)
		if err != nil || len(h) != tlog.HashSize {
			return p, fmt.Errorf("%.60q is no hash", line)
		}
		p.Path = append(p.Path, tlog.Hash(h))
	}
	return p, nil
}

// lines0 is the first line, if there is one.
func lines0(lines []string) string {
	if len(lines) == 0 {
		return ""
	}
	return lines[0]
}

// Verify tells whether the entry is in the log of that key, and gives the
// checkpoint that says so.
func (p Proof) Verify(key note.Verifier) (Checkpoint, error) {
	c, err := ParseCheckpoint(p.Checkpoint, key)
	if err != nil {
		return c, fmt.Errorf("its checkpoint: %w", err)
	}
	if p.Number >= c.Size {
		return c, fmt.Errorf("its checkpoint covers %d entries, and this is number %d", c.Size, p.Number)
	}
	if tlog.CheckRecord(p.Path, c.Size, c.Root, p.Number, tlog.RecordHash(p.Entry)) != nil {
		return c, errors.New("the entry does not lead to the checkpoint's root")
	}
	return c, nil
}
