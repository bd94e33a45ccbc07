package command

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meshpki/meshpki/issue"
	"github.com/meshpki/meshpki/issue/layout"
)

// keystoreError is the password of a keystore that cannot be had: of one service,
// and no fault of the manifest.
type keystoreError struct{ err error }

func (e *keystoreError) Error() string { return "the keystore's password: " + e.err.Error() }

func (e *keystoreError) Unwrap() error { return e.err }

// keystorePasswordFlag is the flag of every command that makes or reads keystores.
const keystorePasswordFlag = "keystore-password-file"

// layouts finds the layouts of an output, with the password of its keystores, and
// refuses what their consumers would. The file of the password becomes part of the
// record: a renewal reads it again.
func (j *job) layouts(o *issue.RecordOutput) ([]layout.Named, error) {
	named, err := j.c.layoutsOf(o.Layouts)
	if err != nil {
		return nil, usagef("%v", err)
	}
	if !j.understood {
		if err := j.fits(named); err != nil {
			return nil, usagef("%v", err)
		}
	}
	locked := false
	for i, l := range named {
		if !l.Locked() {
			continue
		}
		if !locked {
			locked, named = true, slices.Clone(named) // others have the same without it
		}
		password, err := j.c.passwordOf(&o.Keystore)
		if err != nil {
			return nil, err
		}
		if named[i], err = l.With(password); err != nil {
			return nil, usagef("%v", err)
		}
	}
	if !locked {
		o.Keystore = "" // the same order as without
	}
	return named, nil
}

// layoutsOf finds layouts by their names, those of many services once.
func (c *call) layoutsOf(names []string) ([]layout.Named, error) {
	key := strings.Join(names, "\x00")
	known, _ := c.layouts.Load(key)
	if named, ok := known.([]layout.Named); ok {
		return named, nil
	}
	named, err := layout.ByName(names...)
	if err == nil {
		c.layouts.Store(key, named)
	}
	return named, err
}

// fits asks the layouts whether their consumers would take what is ordered.
func (j *job) fits(named []layout.Named) error {
	var plan *layout.Plan
	for _, l := range named {
		if l.Name == layout.Default {
			continue // as nearly always, and it takes everything
		}
		if plan == nil {
			order, _, err := j.record.Order(j.profile, nil, j.c.env.Now(), j.notAfter)
			if err != nil {
				return nil //nolint:nilerr // which is told elsewhere, by what is wrong
			}
			p := layout.PlanOf(order)
			p.Foreign = j.record.Foreign || j.csr != nil
			plan = &p
		}
		if err := l.Check(*plan); err != nil {
			return fmt.Errorf("layout %s: %w", l.Name, err)
		}
	}
	return nil
}

// passwordOf finds the password of keystores: in the file that the order has,
// that the flag or the environment names, or at the terminal. What file it was is
// written to recorded, where it is one that can be read again.
func (c *call) passwordOf(recorded *string) ([]byte, error) {
	name := *recorded
	if name == "" {
		name = c.optional(keystorePasswordFlag)
	}
	if name == "" {
		name = c.env.Getenv("MESHPKI_KEYSTORE_PASSWORD_FILE")
	}
	if name == "" {
		return c.askKeystorePassword()
	}
	if err := c.checkKeystoreFile(name); err != nil {
		return nil, err
	}
	if name != "-" {
		abs, err := filepath.Abs(name)
		if err != nil {
			return nil, err
		}
		name, *recorded = abs, abs
	}
	password, err := c.firstLine(name)
	if err != nil {
		return nil, &keystoreError{err}
	}
	return password, nil
}

// askKeystorePassword asks at the terminal, once a run.
func (c *call) askKeystorePassword() ([]byte, error) {
	if c.asked != nil {
		return c.asked, nil
	}
	if !c.env.StdinTTY || c.env.ReadPassword == nil || !c.self.takes(keystorePasswordFlag) {
		return nil, &keystoreError{usagef("none was given").
			withHint("--%s FILE or MESHPKI_KEYSTORE_PASSWORD_FILE names the file that has it; in the manifest, keystorePasswordFile", keystorePasswordFlag)}
	}
	password, err := c.promptTwice("password for the keystores: ")
	if err != nil {
		return nil, err
	}
	c.asked = password
	c.notice("the password is kept nowhere: a renewal needs a file that has it, --%s FILE", keystorePasswordFlag)
	return password, nil
}

// checkKeystoreFile refuses the file of the CA's passphrase: keystores go to others.
func (c *call) checkKeystoreFile(name string) error {
	for _, other := range []string{c.passphraseFile(), c.optional("root-passphrase-file")} {
		if other != "" && (other == name || sameFile(other, name)) {
			return usagef("--%s: %s is the file of the CA's passphrase, which a keystore must not share", keystorePasswordFlag, name)
		}
	}
	return nil
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}
