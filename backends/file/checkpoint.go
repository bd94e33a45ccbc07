package file

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/mod/sumdb/note"

	"github.com/meshpki/meshpki/backends/file/tilelog"
	"github.com/meshpki/meshpki/internal/durable"
)

// RollbackError says that the log is not the one that a checkpoint kept elsewhere
// tells of: it was put back to an older state, or written anew.
type RollbackError struct {
	Path    string // of the checkpoint kept elsewhere
	Problem string
}

func (e *RollbackError) Error() string { return fmt.Sprintf("%s: %s", e.Path, e.Problem) }

// checkCopy holds the log against the copy of its checkpoint that is kept
// elsewhere, if it is.
func (l *Ledger) checkCopy(log tilelog.Log) error {
	if l.copyTo == "" {
		return nil
	}
	raw, err := os.ReadFile(l.copyTo)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the first is yet to be written
	}
	if err != nil {
		return err
	}
	c, err := log.Checkpoint()
	if err != nil || bytes.Equal(c.Raw, raw) {
		return err
	}
	tree, err := log.Open(c)
	if err != nil {
		return err
	}
	_, err = since(tree, log.Key, l.copyTo, raw)
	return err
}

// keepCopy writes the copy of a checkpoint.
func (l *Ledger) keepCopy(c tilelog.Checkpoint) error {
	if l.copyTo == "" {
		return nil
	}
	if err := durable.WriteFile(l.copyTo, c.Raw, publicMode); err != nil {
		return fmt.Errorf("keep a copy of the checkpoint: %w", err)
	}
	return nil
}

// since proves that nothing that an earlier checkpoint covers was changed. What
// cannot be proved is a *RollbackError.
func since(tree *tilelog.Tree, key note.Verifier, name string, raw []byte) (tilelog.Checkpoint, error) {
	old, err := tilelog.ParseCheckpoint(raw, key)
	if errors.Is(err, tilelog.ErrOtherKey) {
		return old, &RollbackError{name, "this checkpoint is not signed with this log's key: it is another log's, or the log was made anew"}
	}
	if err != nil {
		return old, fmt.Errorf("%s is no checkpoint of this log: %w", name, err)
	}
	if old.Size > tree.Size {
		return old, &RollbackError{name, fmt.Sprintf("this checkpoint covers %d entries, and the log has %d: it was put back to an older state", old.Size, tree.Size)}
	}
	ok, err := tree.Extends(old)
	if err != nil {
		return old, err
	}
	if !ok {
		return old, &RollbackError{name, fmt.Sprintf("the log's first %d entries are not those that this checkpoint covers", old.Size)}
	}
	return old, nil
}
