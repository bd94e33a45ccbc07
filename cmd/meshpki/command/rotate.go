package command

import (
	"context"
	"errors"
	"fmt"

	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
)

func rotateCommand() *command {
	return &command{
		name:    "rotate",
		summary: "have another root or intermediate take the place of one",
		about: "Replaces a CA while what it has signed is in use. An intermediate is replaced in one step. A root goes through " +
			"phases, and no step is taken before everything under care has come along.",
		examples: []example{
			{"a new issuing intermediate", "meshpki ca rotate intermediate"},
			{"how far the rotation of the root is", "meshpki ca rotate root status"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage, codeNo, codeRefused),
		sub:   []*command{rotateIntermediateCommand(), rotateRootCommand()},
	}
}

func rotateRootCommand() *command {
	return &command{
		name:    "root",
		summary: "have another root take the place of the root",
		about: "The keys of the intermediates stay, and so do the services' keys and certificates: only bundles and chains are " +
			"laid out anew, by meshpki renew, in three phases. overlap: the bundle has both roots. switch: the chains lead to the " +
			"new root, and on to the old one. drop: the bundle has the new root alone.",
		examples: []example{
			{"a new root beside the old one", "meshpki ca rotate root start"},
			{"how far it is, and what to do next", "meshpki ca rotate root status --json"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage, codeNo, codeRefused),
		sub:   []*command{rotateStartCommand(), rotateStatusCommand(), rotateAdvanceCommand(), rotateAbortCommand()},
	}
}

func rotateStartCommand() *command {
	return &command{
		name:    "start",
		summary: "make a new root beside the old one, and trust both",
		about: "Makes another root, with the constraints of the present one. The old root certifies it, and it certifies the " +
			"intermediates directly below the old one, so that either root leads to every service. From then on the bundle has " +
			"both roots; chains are as they were. The old root's key is needed for this step, and for no later one.",
		examples: []example{
			{"with both keys on a stick", "meshpki ca rotate root start --dir mesh --key root.key --offline-root root-2.key"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage, codeRefused),
		flags: common(
			text("name", "the common `NAME` of the new root (default: the old one's, with a number)"),
			text("key-type", "the kind of its key: `"+keyTypeNames("|")+"` (default: the old one's)"),
			text("root-validity", "how long it lives, a `DURATION` (default: as long as the old one was made for)"),
			text("offline-root", "write its key to `FILE` and not into the directory"),
			text("root-key", "keep its key where this key `URI` says"),
			text("key", "the `FILE` or key URI with the old root's key, where it is not in the directory"),
			text("passphrase-file", "the first line of `FILE` is the passphrase of both roots' keys; - is standard input (MESHPKI_PASSPHRASE_FILE)"),
			text("root-passphrase-file", "the same, before --passphrase-file"),
		),
		run: runRotateStart,
	}
}

func runRotateStart(ctx context.Context, c *call) error {
	if _, err := c.arguments(0, 0, ""); err != nil {
		return err
	}
	d, err := c.openToSign()
	if err != nil {
		return err
	}
	if r, err := d.Rotation(); err != nil || r != nil {
		if err == nil {
			err = withHint(fmt.Errorf("%w, from %s to %s", file.ErrRotating, r.Old, r.New), "meshpki ca rotate root status%s tells how far it is", c.dirFlag())
		}
		return err
	}
	o, err := c.rotateOptions(d)
	if err != nil {
		return err
	}
	if _, err := d.RotateRoot(ctx, o); errors.Is(err, file.ErrNoKey) {
		return withHint(err, "--key FILE names the file that holds the old root's key")
	} else if err != nil {
		return err
	}
	return c.sayRotation(ctx, d, "started")
}

// rotateOptions reads what new root is wanted.
func (c *call) rotateOptions(d *file.Directory) (file.RotateRootOptions, error) {
	o := file.RotateRootOptions{CommonName: c.String("name"), KeyURI: c.String("root-key"), Open: c.openKey, OldKey: c.keySource(), OfflineRoot: c.String("offline-root")}
	name, err := d.Root()
	if err != nil {
		return o, err
	}
	old, err := d.Authority(name)
	if err != nil {
		return o, err
	}
	if o.KeyType, err = c.keyTypeLike(old); err != nil {
		return o, err
	}
	life, err := c.caValidity("root-validity", old.Certificate.NotAfter.Sub(old.Certificate.NotBefore.Add(ca.Backdate)))
	if err != nil {
		return o, err
	}
	o.NotAfter = c.env.Now().Add(life)
	switch {
	case o.KeyURI != "" && !c.env.Registry.IsKey(o.KeyURI):
		return o, usagef("--root-key: that is no key URI: pkcs11:…, tpmkms:… or awskms:… would be")
	case o.KeyURI != "" && o.OfflineRoot != "":
		return o, usagef("--root-key and --offline-root exclude each other")
	case o.OfflineRoot != "":
		if err := c.checkOffline(o.OfflineRoot); err != nil {
			return o, err
		}
	}
	if o.KeyURI != "" {
		return o, nil
	}
	if f := c.String("root-passphrase-file"); f != "" {
		o.Passphrase, err = c.readSecret(f)
		return o, err
	}
	o.Passphrase, err = c.newPassphrase("the new root's key")
	return o, err
}

// keyTypeLike is the kind of key that is asked for, else that of an authority.
func (c *call) keyTypeLike(a file.Authority) (ca.KeyType, error) {
	if c.IsSet("key-type") {
		return c.keyType()
	}
	return ca.ParseKeyType(string(ca.KeyTypeOf(a.Certificate.PublicKey)))
}

func rotateAbortCommand() *command {
	return &command{
		name:    "abort",
		summary: "take a rotation back",
		about: "Puts bundle and chains back as they were before start, and takes the new root's certificates and key away; services " +
			"have the old ones again after the next pass, and nothing fails meanwhile. Once the old root has been dropped there is " +
			"no way back but another rotation.",
		examples: []example{
			{"everything as it was", "meshpki ca rotate root abort"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage, codeNo),
		flags: common(),
		run: func(ctx context.Context, c *call) error {
			if _, err := c.arguments(0, 0, ""); err != nil {
				return err
			}
			d, err := c.openToSign()
			if err != nil {
				return err
			}
			was, err := d.Abort(ctx)
			switch {
			case errors.Is(err, file.ErrDropped):
				return withHint(err, "finish with meshpki ca rotate root advance%s; then meshpki ca rotate root start makes another root in its place", c.dirFlag())
			case err != nil:
				return err
			}
			return c.say(ui.Rotation{Did: "aborted", Phase: "none", Old: was.Old, New: was.New, Dir: c.dir(), Now: c.env.Now()})
		},
	}
}
