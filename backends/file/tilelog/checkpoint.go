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

// Checkpoint is what a log's key has signed: so many entries, with that root.
// Raw is the signed note that says it (C2SP tlog-checkpoint), byte for byte.
type Checkpoint struct {
	Origin string
	Size   int64
	Root   tlog.Hash
	Raw    []byte
}

// maxCheckpoint bounds what is read as a checkpoint, with signatures of others.
const maxCheckpoint = 64 << 10

// sign makes the checkpoint of a tree. The origin is the key's name.
func sign(signer note.Signer, size int64, root tlog.Hash) (Checkpoint, error) {
	text := fmt.Sprintf("%s\n%d\n%s\n", signer.Name(), size, root)
	raw, err := note.Sign(&note.Note{Text: text}, signer)
	if err != nil {
		return Checkpoint{}, fmt.Errorf("sign the checkpoint: %w", err)
	}
	return Checkpoint{Origin: signer.Name(), Size: size, Root: root, Raw: raw}, nil
}

// ErrOtherKey is for a note that the log's key has not signed.
var ErrOtherKey = errors.New("it is not signed with the key of the log")

// ParseCheckpoint reads a checkpoint that the log of a key has signed. Others may
// have signed it besides. One that only others have signed is ErrOtherKey.
func ParseCheckpoint(raw []byte, key note.Verifier) (Checkpoint, error) {
	c := Checkpoint{Raw: raw}
	if len(raw) > maxCheckpoint {
		return c, errors.New("it is longer than any checkpoint")
	}
	signed, err := note.Open(raw, note.VerifierList(key))
	if _, unsigned := errors.AsType[*note.UnverifiedNoteError](err); unsigned {
		return c, fmt.Errorf("%w %s", ErrOtherKey, key.Name())
	}
	if err != nil {
		return c, fmt.Errorf("it is not signed by the log's key %s: %w", key.Name(), bare(err))
	}
	for _, s := range signed.Sigs {
		// Bits behind the last byte would not be covered by anything.
		if _, err := base64.StdEncoding.Strict().DecodeString(s.Base64); err != nil {
			return c, fmt.Errorf("its signature is not what was written: %w", err)
		}
	}
	lines := strings.Split(strings.TrimSuffix(signed.Text, "\n"), "\n")
	if len(lines) < 3 {
		return c, errors.New("it has no origin, size and root")
	}
	c.Origin = lines[0]
	if c.Origin != key.Name() {
		return c, fmt.Errorf("its origin is %q, the log's is %q", c.Origin, key.Name())
	}
	c.Size, err = strconv.ParseInt(lines[1], 10, 64)
	if err != nil || c.Size < 0 || strconv.FormatInt(c.Size, 10) != lines[1] {
		return c, fmt.Errorf("its size %q is no number of entries", lines[1])
	}
	root, err := base64.StdEncoding.Strict().DecodeString(lines[2])
	if err != nil || len(root) != tlog.HashSize {
		return c, fmt.Errorf("its root %q is no hash", lines[2])
	}
	copy(c.Root[:], root)
	return c, nil
}

// parseOwn is ParseCheckpoint for the one that lies in the log, which has nothing
// in it but what was written there.
func parseOwn(raw []byte, key note.Verifier) (Checkpoint, error) {
	c, err := ParseCheckpoint(raw, key)
	if err != nil {
		return c, err
	}
	text := fmt.Appendf(nil, "%s\n%d\n%s\n\n", c.Origin, c.Size, c.Root)
	rest, ok := bytes.CutPrefix(raw, text)
	if !ok || bytes.Count(rest, []byte{'\n'}) != 1 {
		return c, errors.New("something was added to it")
	}
	return c, nil
}

// bare is an error of the note package without the package's name.
func bare(err error) error {
	if _, ok := errors.AsType[*note.InvalidSignatureError](err); ok {
		return errors.New("the signature is wrong")
	}
	return errors.New("it is no signed note")
}
