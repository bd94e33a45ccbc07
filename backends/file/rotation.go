package file

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/meshpki/meshpki/internal/durable"
)

// rotationName is the file that says how far the rotation of the root is. Its
// replacing is the moment at which a phase begins.
const (
	rotationName   = "rotation.json"
	rotationSchema = "meshpki/rotation/v1"
)

// Phase is how far the rotation of a root is.
type Phase string

// The phases.
const (
	// PhasePreparing: the new root is being made; nothing shows it yet.
	PhasePreparing Phase = "preparing"
	// PhaseOverlap: both roots are to be trusted, and chains are as they were.
	PhaseOverlap Phase = "overlap"
	// PhaseSwitch: both are to be trusted, and chains lead to the new root, and on to
	// the old one.
	PhaseSwitch Phase = "switch"
	// PhaseDrop: the new root alone is to be trusted.
	PhaseDrop Phase = "drop"
	// PhaseAborting: all is as it was before, and what was made is being taken away.
	PhaseAborting Phase = "aborting"
)

// Errors that a caller can branch on.
var (
	// ErrNoRotation says that no root is being rotated.
	ErrNoRotation = errors.New("no root is being rotated")
	// ErrRotating says that a root is being rotated.
	ErrRotating = errors.New("a root is being rotated")
	// ErrOtherPhase says that the rotation is in another phase than was looked at.
	ErrOtherPhase = errors.New("the rotation has gone on meanwhile")
	// ErrDropped says that the old root is not trusted any more, so that there is no way
	// back but another rotation.
	ErrDropped = errors.New("the old root has been dropped")
)

// Rotation is a root taking another's place.
type Rotation struct {
	Schema string    `json:"schema"`
	Old    string    `json:"old"`
	New    string    `json:"new"`
	Phase  Phase     `json:"phase"`
	Since  time.Time `json:"since"`
	// Began tells when each phase so far began.
	Began map[Phase]time.Time `json:"began"`
	// Seen are the exports that somebody has seen to in this phase.
	Seen []string `json:"seen,omitempty"`
}

// hides tells whether an authority is one that has no effect yet, or no more.
func (r *Rotation) hides(name string) bool {
	return r != nil && name == r.New && (r.Phase == PhasePreparing || r.Phase == PhaseAborting)
}

// underWay tells whether the new root shows.
func (r *Rotation) underWay() bool { return r != nil && !r.hides(r.New) }

// Next is the phase after this one; "" after the last.
func (r *Rotation) Next() Phase {
	switch r.Phase {
	case PhaseOverlap:
		return PhaseSwitch
	case PhaseSwitch:
		return PhaseDrop
	}
	return ""
}

// Rotation tells how far the rotation of the root is; nil where none is in hand. One
// that was interrupted while it began, or while it was taken back, is none.
func (d *Directory) Rotation() (*Rotation, error) {
	r, _, err := d.phase()
	if !r.underWay() {
		return nil, err
	}
	return r, err
}

func (d *Directory) rotationPath() string { return filepath.Join(d.path, rotationName) }

// readRotation reads the file; nil where there is none.
func (d *Directory) readRotation() (*Rotation, error) {
	data, err := os.ReadFile(d.rotationPath())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	r := &Rotation{}
	if err := decodeWhole(data, r); err != nil {
		return nil, fmt.Errorf("%s is damaged: %w", d.rotationPath(), err)
	}
	known := []Phase{PhasePreparing, PhaseOverlap, PhaseSwitch, PhaseDrop, PhaseAborting}
	if r.Schema != rotationSchema || !ValidName(r.Old) || !IsRootName(r.New) || r.Old == r.New || !slices.Contains(known, r.Phase) || r.Since.IsZero() {
		return nil, fmt.Errorf("%s is damaged, or of a later version of meshpki", d.rotationPath())
	}
	return r, nil
}

// enter has a phase begin, durably.
func (d *Directory) begin(r *Rotation, p Phase) error {
	r.Schema, r.Phase, r.Since, r.Seen = rotationSchema, p, d.now().UTC().Truncate(time.Second), nil
	if r.Began == nil {
		r.Began = map[Phase]time.Time{}
	}
	r.Began[p] = r.Since
	return d.writeRotation(r)
}

func (d *Directory) writeRotation(r *Rotation) error {
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(d.rotationPath(), append(data, '\n'), publicMode)
}

// writeSettings replaces the settings, durably.
func (d *Directory) writeSettings(s Settings) error {
	data, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		return err
	}
	return durable.WriteFile(filepath.Join(d.path, settingsName), append(data, '\n'), publicMode)
}

// locked does something while nobody else changes the authorities. It is told of the
// rotation in hand, nil where there is none, and the settings.
func (d *Directory) locked(ctx context.Context, f func(r *Rotation, s Settings) error) error {
	lock, err := durable.Acquire(ctx, filepath.Join(d.path, lockName))
	if err != nil {
		return err
	}
	defer lock.Release()
	r, s, err := d.phase()
	if err != nil {
		return err
	}
	if r == nil {
		// The last phase may have been cut off between its two writes.
		if err := d.remove(d.rotationPath()); err != nil {
			return err
		}
	}
	return f(r, s)
}

// counted is locked for what needs the authorities.
func (d *Directory) counted(ctx context.Context, f func(c *census) error) error {
	return d.locked(ctx, func(*Rotation, Settings) error {
		c, err := d.census()
		if err != nil {
			return err
		}
		return f(c)
	})
}

// Advance has the phase begin that follows one, or after the last ends the rotation:
// then the new root is the root, and the old one is retired. That the condition of
// the step holds is for the caller to see to. Errors to branch on: ErrNoRotation,
// ErrOtherPhase.
func (d *Directory) Advance(ctx context.Context, from Phase) error {
	return d.counted(ctx, func(c *census) error {
		r := c.rotation
		switch {
		case !r.underWay():
			return ErrNoRotation
		case r.Phase != from:
			return fmt.Errorf("%w: it is in the phase %s", ErrOtherPhase, r.Phase)
		case r.Next() != "":
			return d.begin(r, r.Next())
		}
		s := c.settings
		s.Root, s.Retired = r.New, append(s.Retired, r.Old)
		if err := d.writeSettings(s); err != nil {
			return err
		}
		return d.remove(d.rotationPath())
	})
}

// See remembers that somebody has seen to exports, until the next phase begins.
// Error to branch on: ErrNoRotation.
func (d *Directory) See(ctx context.Context, names []string) error {
	return d.locked(ctx, func(r *Rotation, _ Settings) error {
		if !r.underWay() {
			return ErrNoRotation
		}
		for _, n := range names {
			if !slices.Contains(r.Seen, n) {
				r.Seen = append(r.Seen, n)
			}
		}
		return d.writeRotation(r)
	})
}

// Abort takes a rotation back: the bundle and the chains are as they were before,
// and then what was made for it is taken away. It gives the rotation. Errors to
// branch on: ErrNoRotation, ErrDropped.
func (d *Directory) Abort(ctx context.Context) (was *Rotation, err error) {
	return was, d.locked(ctx, func(r *Rotation, _ Settings) error {
		switch {
		case r == nil:
			return ErrNoRotation
		case r.Phase == PhaseDrop:
			return ErrDropped
		}
		was = r
		if r.Phase != PhaseAborting {
			if err := d.begin(r, PhaseAborting); err != nil {
				return err
			}
		}
		return d.clear(r)
	})
}

// clear takes away what a rotation that has no effect has made: its certificates,
// its key if that is here, and last its own file.
func (d *Directory) clear(r *Rotation) error {
	files, err := os.ReadDir(filepath.Join(d.path, caDir))
	if err != nil {
		return err
	}
	paths := []string{d.CertificatePath(r.New), d.CrossPath(r.New, r.Old)}
	for _, f := range files {
		if path := filepath.Join(d.path, caDir, f.Name()); signerOf(f.Name()) == r.New {
			paths = append(paths, path)
		}
	}
	for _, path := range append(paths, d.keyPath(r.New), d.uriPath(r.New)) {
		if err := d.remove(path); err != nil {
			return err
		}
	}
	return d.remove(d.rotationPath())
}

// remove takes a file away, durably; one that is not there is gone already, and after a
// crash perhaps not for good.
func (d *Directory) remove(path string) error {
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := durable.SyncName(path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil // nor is its directory there
}
