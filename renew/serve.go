package renew

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/issue"
)

// serve does the steps of the hook whose places are done, each at least once, and
// then sees whether the certificate is served. What fails is tried once a pass.
func (w *work) serve(ctx context.Context, c *issue.Credential) error {
	if len(w.t.Steps) == 0 && w.t.Confirm == nil {
		return nil
	}
	w.sameSteps()
	var failed error
	told := false
	for i, s := range w.t.Steps {
		if w.m.Steps[i].Done {
			continue
		}
		if missing := w.waitsFor(s); missing != "" {
			// The places have been told of already; the steps stand in order.
			failed = fmt.Errorf("the hook waits for %s", missing)
			break
		}
		if failed = w.step(ctx, i, s, c); failed != nil {
			break
		}
		told = true
	}
	if failed == nil && w.t.Confirm != nil {
		failed = w.confirm(ctx, c, told)
	}
	w.result.Steps = w.steps()
	if failed == nil {
		return nil
	}
	if err := w.r.remember(ctx, w.t, w.m); err != nil {
		return errors.Join(failed, err)
	}
	return failed
}

// sameSteps has a hook that was changed since begin anew.
func (w *work) sameSteps() {
	same := slices.EqualFunc(w.m.Steps, w.t.Steps, func(m stepMemo, s Step) bool { return m.Step == s.String() })
	if same {
		return
	}
	w.m.Steps = nil
	for _, s := range w.t.Steps {
		w.m.Steps = append(w.m.Steps, stepMemo{Step: s.String()})
	}
}

// waitsFor names a place that a step waits for; "" where all of its places are done.
func (w *work) waitsFor(s Step) string {
	for i, p := range w.t.Places {
		named := len(s.Places) == 0 || slices.Contains(s.Places, p.To) || slices.Contains(s.Places, p.Store.String())
		if p.keeps() && named && !w.ready[i] {
			return p.Store.String()
		}
	}
	return ""
}

// step tries one step. That it was done is written down after it: a crash in between
// has it done twice, and never not at all.
func (w *work) step(ctx context.Context, i int, s Step, c *issue.Credential) error {
	output, err := s.Run(ctx, w.hookFacts(c))
	m := &w.m.Steps[i]
	m.Tries++
	m.At, m.Output = w.now.UTC(), string(output)
	m.Done, m.Problem = err == nil, ""
	if err != nil {
		m.Problem = err.Error()
		err = fmt.Errorf("hook: %w", err)
	}
	w.emit(EventStep, s.String(), err)
	if err != nil {
		return err
	}
	m.Output = ""
	if i == len(w.t.Steps)-1 && w.t.Confirm == nil {
		return nil // the journal is closed next
	}
	return w.r.remember(ctx, w.t, w.m)
}

// hookFacts is what a step is told.
func (w *work) hookFacts(c *issue.Credential) HookFacts {
	f := HookFacts{
		Service: w.t.Record.Service, Namespace: w.t.Record.Namespace, Reason: w.m.Reason,
		Serial: ca.FormatSerial(c.Leaf().SerialNumber), PreviousSerial: w.m.Previous, NotAfter: c.Leaf().NotAfter,
		Lookup: w.r.Lookup,
		PEM: func() ([]byte, error) {
			key, err := pemfile.EncodeKey(c.Key)
			return append(pemfile.EncodeCertificates(c.Chain...), key...), err
		},
	}
	for i, p := range w.t.Places {
		if !p.keeps() || !w.ready[i] {
			continue
		}
		f.Places = append(f.Places, p.Store.String())
		for _, l := range p.Named {
			for _, name := range l.Files {
				f.Files = append(f.Files, pathIn(p.Store.String(), name))
			}
		}
	}
	return f
}

// pathIn is the path of a file in a place: an absolute one in a directory, for a
// hook's own working directory is another.
func pathIn(place, name string) string {
	if strings.Contains(place, "://") {
		return place + "/" + name
	}
	dir := strings.TrimPrefix(place, "file:")
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	return filepath.Join(dir, name)
}

// confirm looks whether the new certificate is served; told says that who serves it
// was told just now.
func (w *work) confirm(ctx context.Context, c *issue.Credential, told bool) error {
	if w.m.Confirm == nil {
		w.m.Confirm = &confirmMemo{}
	}
	m := w.m.Confirm
	if m.Done {
		return nil
	}
	look := *w.t.Confirm
	if names := c.Leaf().DNSNames; look.ServerName == "" && len(names) > 0 {
		look.ServerName = names[0]
	}
	if m.Tries > 0 && !told {
		look.Settle = 0 // it has had its time
	}
	err := look.Check(ctx, ca.Fingerprint(c.Leaf()))
	m.Tries++
	m.At, m.Done, m.Problem = w.now.UTC(), err == nil, ""
	if err != nil {
		m.Problem = err.Error()
		err = fmt.Errorf("not served yet: %w", err)
		w.result.Confirm = m.Problem
	}
	w.emit(EventConfirm, w.t.Confirm.Endpoint, err)
	return err
}

// steps is how far the hook is.
func (w *work) steps() []StepStanding {
	var out []StepStanding
	for i, m := range w.m.Steps {
		if i < len(w.t.Steps) {
			out = append(out, StepStanding{w.t.Steps[i].String(), m.Done, m.Tries, m.Problem, m.Output})
		}
	}
	return out
}

// alarm is from when on the certificate is unserved for too long, and whether it is
// that by now; zero where nothing is waited for.
func (w *work) alarm() (at time.Time, rung bool) {
	if w.t.Confirm == nil || !w.m.holding() || w.t.Confirm.Within <= 0 || w.m.Begun.IsZero() {
		return time.Time{}, false
	}
	at = w.m.Begun.Add(w.t.Confirm.Within)
	return at, w.r.Now().After(at)
}
