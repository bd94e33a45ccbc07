package command

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/issue"
)

func rotateIntermediateCommand() *command {
	return &command{
		name:    "intermediate",
		summary: "have another intermediate take the place of one",
		args:    "[NAME]",
		about: "Makes an intermediate with another key beside one, under the same authority and of the same shape; without NAME, " +
			"beside the issuing intermediate, which the new one then is. Services get certificates from it as theirs are renewed. " +
			"The old one signs no more for services that name no intermediate, and stays in the chains of what it has signed.\n\n" +
			"When none of that is good any more, --retire NAME takes the old one's key away; before, the exit code is 3.",
		examples: []example{
			{"a new issuing intermediate", "meshpki ca rotate intermediate"},
			{"another than the issuing one, with another kind of key", "meshpki ca rotate intermediate linkerd --key-type ec-p256"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage, codeNo, codeRefused),
		flags: common(
			text("retire", "take the key of the intermediate `NAME` away, whose place another has taken"),
			text("key-type", "the kind of the new key: `"+keyTypeNames("|")+"` (default: the old one's)"),
			text("validity", "how long it lives, a `DURATION` (default: as long as the one before, cut to its issuer's end)"),
			text("key", "the `FILE` or key URI with its issuer's key, where it is not in the directory"),
			text("passphrase-file", "the first line of `FILE` is the passphrase of the CA's key; - is standard input (MESHPKI_PASSPHRASE_FILE)"),
			text("root-passphrase-file", "the first line of `FILE` is the passphrase of the root's key"),
		),
		run: runRotateIntermediate,
	}
}

func runRotateIntermediate(ctx context.Context, c *call) error {
	args, err := c.arguments(0, 1, "")
	if err != nil {
		return err
	}
	d, err := c.openToSign()
	if err != nil {
		return err
	}
	if c.IsSet("retire") {
		if len(args) > 0 {
			return usagef("%s --retire takes one name, its own", c.self.path())
		}
		return c.retire(ctx, d, c.String("retire"))
	}
	name := ""
	if len(args) > 0 {
		name = args[0]
	}
	old, err := d.Authority(name)
	if err != nil {
		return err
	}
	o := file.RotateIntermediateOptions{Name: name, ParentKey: c.keySource()}
	parent, err := d.Parent(old.Name)
	if errors.Is(err, file.ErrIsRoot) {
		return withHint(usagef("%v", err), "meshpki ca rotate root start%s", c.dirFlag())
	}
	if err != nil {
		return err
	}
	if o.KeyType, err = c.keyTypeLike(old); err != nil {
		return err
	}
	if o.Validity, err = c.successorLife(old, parent); err != nil {
		return err
	}
	if o.Passphrase, err = c.newPassphrase("the new key"); err != nil {
		return err
	}
	made, err := d.RotateIntermediate(ctx, o)
	if errors.Is(err, file.ErrNoKey) {
		return withHint(err, "--key FILE names the file that holds the key of %s", parent.Name)
	}
	if err != nil {
		return err
	}
	doc := ui.IntermediateRotated{Old: old.Name, New: describeAuthorities([]file.Authority{made}, c.env.Now())[0], Dir: c.dir(), Now: c.env.Now()}
	if doc.Explicit, err = c.namedFor(ctx, d, old.Name); err != nil {
		return err
	}
	if ends, err := d.LastLeaf(ctx, old); err != nil {
		return err
	} else if end, alive := ends[old.Name]; alive {
		doc.LastLeaf = end
	}
	return c.say(doc)
}

// successorLife is how long a successor lives: as long as the one before was made
// for, cut to the end of those above.
func (c *call) successorLife(old, parent file.Authority) (ca.Validity, error) {
	life, err := c.caValidity("validity", old.Certificate.NotAfter.Sub(old.Certificate.NotBefore.Add(ca.Backdate)))
	if err != nil {
		return ca.Validity{}, err
	}
	end, whose := parent.Ends()
	v := ca.Validity{NotAfter: c.env.Now().Add(life), UpTo: !c.IsSet("validity")}
	if v.UpTo && v.NotAfter.After(end) {
		c.notice("it ends with %s, on %s", whose.Subject.CommonName, ui.Day(end))
	}
	return v, nil
}

// retire takes the key of a replaced intermediate away.
func (c *call) retire(ctx context.Context, d *file.Directory, name string) error {
	a, err := d.Retire(ctx, name)
	if err != nil {
		return err
	}
	next, err := d.Successors()
	if err != nil {
		return err
	}
	return c.say(ui.IntermediateRetired{Name: a.Name, Successor: next[a.Name], Key: ui.KeyPlace{Path: a.KeyPath, URI: a.KeyURI, Here: a.KeyPath != ""}, Dir: c.dir()})
}

// namedFor lists the services that name an intermediate, and stay with it.
func (c *call) namedFor(ctx context.Context, d *file.Directory, name string) ([]string, error) {
	var out []string
	add := func(ref, label string) {
		if ref == "local:"+name && !slices.Contains(out, label) {
			out = append(out, label)
		}
	}
	m, err := c.manifest()
	if err != nil {
		return nil, err
	}
	if m != nil {
		for i := range m.Services {
			s := &m.Services[i]
			add(resolveBackend(m, orElse(s.Backend, backendOf(m))), s.Name+"."+m.NamespaceOf(s))
		}
	}
	stores, err := d.Services()
	if err != nil {
		return nil, err
	}
	for _, s := range stores {
		set, _, err := s.Load(ctx)
		if err != nil {
			continue // what cannot be read is renewal's to tell
		}
		if r, err := issue.RecordOf(set.Facts); err == nil {
			add(strings.TrimSpace(r.Backend), r.Service+"."+r.Namespace)
		}
	}
	slices.Sort(out)
	return out, nil
}
