package command

import (
	"context"
	"errors"

	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
)

func caKeyCommand() *command {
	return &command{
		name:    "key",
		summary: "take an authority's key elsewhere, or change its passphrase",
		args:    "NAME",
		about: "With --move FILE the key goes to a file outside the directory: it is written there, read back and held against " +
			"the certificate, and only then taken from where it was. From then on --key FILE gives it to the commands that need it. " +
			"With --move URI the directory finds it in a device or a service that has it already: what is there must sign for the " +
			"certificate's key before the file is taken away.\n\n" +
			"With --passphrase the key's file is encrypted anew. The old passphrase comes from where every command has it from, the " +
			"new one from --new-passphrase-file, or from the terminal, where it is asked for twice; empty there leaves the key unencrypted.",
		examples: []example{
			{"away from this machine", "meshpki ca key linkerd --move linkerd.key"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage),
		flags: common(
			text("move", "take the key to this `FILE`, or find it by this key URI from now on"),
			toggle("passphrase", "change the passphrase of the key's file"),
			text("new-passphrase-file", "the first line of `FILE` is the new passphrase"),
			text("key", "the `FILE` that has the key now, where it is not in the directory"),
			text("passphrase-file", "the first line of `FILE` is the passphrase of the CA's key; - is standard input (MESHPKI_PASSPHRASE_FILE)"),
			text("root-passphrase-file", "the first line of `FILE` is the passphrase of the root's key"),
		),
		run: runCAKey,
	}
}

func runCAKey(ctx context.Context, c *call) error {
	args, err := c.arguments(1, 1, "the name of an authority")
	if err != nil {
		return err
	}
	switch {
	case c.IsSet("move") == c.Bool("passphrase"):
		return usagef("meshpki ca key wants --move FILE or --passphrase, one of them").withHint("%s --help", c.self.path())
	case c.IsSet("new-passphrase-file") && !c.Bool("passphrase"):
		return usagef("--new-passphrase-file belongs to --passphrase")
	}
	d, err := c.open()
	if err != nil {
		return err
	}
	a, err := d.Authority(args[0])
	if err != nil {
		return err
	}
	doc := ui.KeyChanged{Name: a.Name, Dir: c.dir()}
	if c.Bool("passphrase") {
		err = c.changePassphrase(ctx, d, a, &doc)
	} else {
		err = c.moveKey(ctx, d, a, &doc)
	}
	switch {
	case errors.Is(err, file.ErrInDevice), errors.Is(err, file.ErrSameFile):
		return usagef("%v", err)
	case errors.Is(err, file.ErrKeyFile):
		return withHint(err, "a file with another key in it is never overwritten")
	case err != nil:
		return err
	}
	return c.say(doc)
}

// moveKey takes a key to a file, or makes the directory find it by its URI.
func (c *call) moveKey(ctx context.Context, d *file.Directory, a file.Authority, doc *ui.KeyChanged) error {
	to := c.String("move")
	var err error
	if c.env.Registry.IsKey(to) {
		doc.From, err = d.MoveKeyToDevice(ctx, a.Name, c.keySource(), to)
		doc.Key = ui.KeyPlace{URI: to}
		return err
	}
	if c.within(to) {
		return usagef("--move: %s lies inside the state directory", to)
	}
	doc.From, err = d.MoveKey(ctx, a.Name, c.keySource(), to)
	doc.Key = ui.KeyPlace{Path: to, Encrypted: file.IsEncrypted(to)}
	return err
}

// changePassphrase encrypts a key's file anew.
func (c *call) changePassphrase(ctx context.Context, d *file.Directory, a file.Authority, doc *ui.KeyChanged) error {
	var secret []byte
	var err error
	switch f := c.String("new-passphrase-file"); {
	case f != "":
		if secret, err = c.readSecret(f); err != nil {
			return err
		}
	case !c.env.StdinTTY || c.env.ReadPassword == nil:
		return usagef("there is no terminal to ask for the new passphrase on").withHint("--new-passphrase-file FILE gives it")
	default:
		if secret, err = c.promptTwice("new passphrase for the key of " + a.Name + " (empty for none): "); err != nil {
			return err
		}
	}
	path, err := d.ChangePassphrase(ctx, a.Name, c.keySource(), secret)
	doc.Passphrase = true
	doc.Key = ui.KeyPlace{Here: path == a.KeyPath, Path: path, Encrypted: len(secret) > 0}
	return err
}
