package command

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/backends/file"
	"github.com/meshpki/meshpki/ca"
	"github.com/meshpki/meshpki/cmd/meshpki/config"
	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/internal/guard"
	"github.com/meshpki/meshpki/internal/pemfile"
	"github.com/meshpki/meshpki/internal/spiffeid"
)

// text is a flag with a value; what it takes stands in back quotes in its help.
func text(name, usage string) cli.Flag { return &cli.StringFlag{Name: name, Usage: usage} }

// many is a flag that may be given several times; a value is taken as it is.
func many(name, usage string) cli.Flag {
	return &cli.StringSliceFlag{Name: name, Usage: usage, KeepSpace: true}
}

// toggle is a flag without a value.
func toggle(name, usage string) cli.Flag { return &cli.BoolFlag{Name: name, Usage: usage} }

// number is a flag with a whole number.
func number(name string, value int, usage string) cli.Flag {
	return &cli.IntFlag{Name: name, Value: value, Usage: usage}
}

// common are the flags that every command takes.
func common(more ...cli.Flag) []cli.Flag {
	return commonForms("the form of the answer: `text|json` (default text)", more...)
}

// commonForms are they where there are other forms than text and JSON.
func commonForms(forms string, more ...cli.Flag) []cli.Flag {
	return append(more,
		text("dir", "the state `DIRECTORY` (default: MESHPKI_DIR, else ./pki)"),
		text("config", "the manifest, a `FILE` (default: MESHPKI_CONFIG, else meshpki.yaml in the directory)"),
		text("format", forms),
		toggle("json", "short for --format json"),
		toggle("no-color", "never use colour; NO_COLOR in the environment does the same"),
	)
}

// values gives a repeated flag's values.
func (c *call) values(name string) []string { return c.StringSlice(name) }

// dir is the state directory's path.
func (c *call) dir() string {
	if d := c.String("dir"); d != "" {
		return d
	}
	if d := c.env.Getenv("MESHPKI_DIR"); d != "" {
		return d
	}
	return "pki"
}

// dirFlag names the directory in advice, where it is not the default.
func (c *call) dirFlag() string { return ui.DirFlag(c.dir()) }

// careFlags are those that name the same directory and manifest again.
func (c *call) careFlags() string {
	if path := c.String("config"); path != "" {
		return c.dirFlag() + ui.Flag("config", path)
	}
	return c.dirFlag()
}

// within tells whether a path lies in the state directory, where only meshpki itself
// puts files: a certificate in a place of its own there would be taken for a CA's.
func (c *call) within(path string) bool {
	dir, err := filepath.Abs(c.dir())
	if err != nil {
		return true
	}
	path, err = filepath.Abs(strings.TrimPrefix(path, "file://"))
	if err != nil {
		return true
	}
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// open opens the state directory.
func (c *call) open() (*file.Directory, error) {
	d, err := file.Open(c.dir(), c.env.Now)
	if err != nil {
		return nil, err
	}
	d.URLs, d.Ledger().OpenKey = c.urls, c.openKey
	return d, nil
}

// openToSign is open for what is going to record something. A ledger that the copy
// of its checkpoint shows to be put back is refused, before anything is signed.
func (c *call) openToSign() (*file.Directory, error) {
	d, err := c.openKeeping()
	if err == nil {
		_, err = d.Ledger().SinceCopy()
	}
	return d, err
}

// openToIssue is openToSign; where an authority elsewhere signs, a directory without
// any of its own is made if there is none.
func (c *call) openToIssue(ctx context.Context, backend string, m *config.Manifest) (*file.Directory, error) {
	d, err := c.openToSign()
	if !errors.Is(err, file.ErrNoDirectory) {
		return d, err
	}
	if o := c.options(); !c.env.Registry.Knows(backend, o) || c.env.Registry.Local(backend, o) {
		return d, err
	}
	if c.self.takes("dry-run") && c.Bool("dry-run") {
		return nil, usagef("%s: there is no meshpki directory, and --dry-run makes none", c.dir()).
			withHint("without --dry-run it is made, for a journal and no CA; --dir or MESHPKI_DIR names another")
	}
	s := file.Settings{Name: "Mesh", TrustDomain: c.optional("trust-domain"), ClusterDomain: c.optional("cluster-domain"), Issuing: "issuing"}
	if m != nil {
		s.TrustDomain, s.ClusterDomain = orElse(s.TrustDomain, m.TrustDomain), orElse(s.ClusterDomain, m.ClusterDomain)
	}
	s.TrustDomain, s.ClusterDomain = orElse(s.TrustDomain, "cluster.local"), orElse(s.ClusterDomain, "cluster.local")
	if _, err := c.openOrMake(ctx, s); err != nil {
		return nil, err
	}
	return c.openToSign()
}

// openToRevoke is openToSign for what must not fail because of a manifest that is
// wrong: the end of a certificate is urgent.
func (c *call) openToRevoke() (*file.Directory, error) {
	d, err := c.openToSign()
	if isUsage(err) && is[*config.Error](err) {
		c.notice("the checkpoint of the ledger is not copied anywhere: %s", ui.Safe(err.Error()))
		return c.open()
	}
	return d, err
}

// openKeeping is open for a ledger that writes a copy of its checkpoint, where the
// manifest names one.
func (c *call) openKeeping() (*file.Directory, error) {
	if d, err := c.open(); err != nil {
		return d, err
	}
	var err error
	if c.checkpointTo, err = c.keptElsewhere(); err != nil {
		return nil, err
	}
	d, err := file.OpenKeeping(c.dir(), c.checkpointTo, c.env.Now)
	if err != nil {
		return nil, err
	}
	d.URLs, d.Ledger().OpenKey = c.urls, c.openKey
	return d, nil
}

// keptElsewhere is the file that checkpointTo names: in the manifest of this run,
// or in the directory's own, which another one does not switch off.
func (c *call) keptElsewhere() (string, error) {
	m, err := c.manifest()
	if err == nil && (m == nil || m.CheckpointTo == "") {
		own := filepath.Join(c.dir(), "meshpki.yaml")
		if m != nil && sameFile(m.File, own) {
			return "", nil // ten thousand services take long to read
		}
		m, err = config.Load(own)
		if errors.Is(err, os.ErrNotExist) {
			return "", nil
		}
	}
	if err != nil || m.CheckpointTo == "" {
		return "", err
	}
	to := m.CheckpointTo
	if !filepath.IsAbs(to) {
		to = filepath.Join(filepath.Dir(m.File), to)
	}
	if c.within(to) {
		return "", usagef("%s: checkpointTo: %s lies in the state directory, where it is put back together with the ledger", m.File, to).
			withHint("a file on another disk or machine shows that the ledger was put back")
	}
	return to, nil
}

// openIfThere opens the state directory; nil where there is none and none was named.
func (c *call) openIfThere() (*file.Directory, error) {
	d, err := c.open()
	if errors.Is(err, file.ErrNoDirectory) && c.String("dir") == "" && c.env.Getenv("MESHPKI_DIR") == "" {
		return nil, nil
	}
	return d, err
}

// manifest loads the manifest; nil where none was named and the directory has none.
func (c *call) manifest() (*config.Manifest, error) {
	c.reading.Lock()
	defer c.reading.Unlock()
	if c.read != nil {
		return c.read, nil
	}
	m, err := c.loadManifest()
	c.read = m
	return m, err
}

// urls are those that stand in what the local authorities sign, as the manifest has them.
func (c *call) urls() (ca.URLs, error) {
	m, err := c.manifest()
	if err != nil || m == nil {
		return ca.URLs{}, err
	}
	return ca.URLs{CRL: m.URLs.CRL, OCSP: m.URLs.OCSP, CAIssuers: m.URLs.CAIssuers}, nil
}

// manifestPath is where the manifest is, and whether somebody has named it.
func (c *call) manifestPath() (path string, named bool) {
	for _, name := range []string{c.String("config"), c.env.Getenv("MESHPKI_CONFIG")} {
		if name != "" {
			return name, true
		}
	}
	return filepath.Join(c.dir(), "meshpki.yaml"), false
}

func (c *call) loadManifest() (*config.Manifest, error) {
	path, named := c.manifestPath()
	m, err := config.Load(path)
	if !named && (errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ENOTDIR)) {
		return nil, nil
	}
	return m, err
}

// options are what backends need.
func (c *call) options() backends.Options {
	if s := c.settled.Load(); s != nil {
		return s.options
	}
	key := c.keySource()
	return backends.Options{Dir: c.dir(), CheckpointTo: c.checkpointTo, Now: c.env.Now, KeyFile: key.File, KeyURI: key.URI, OpenKey: key.Open,
		Passphrase: key.Passphrase, URLs: c.urls, Entries: c.entries(), Getenv: c.env.Getenv, Cluster: c.cluster(), Term: c.leads.guard()}
}

// optional is a flag's value where the command has the flag.
func (c *call) optional(name string) string {
	if !c.self.takes(name) {
		return ""
	}
	return c.String(name)
}

// duration reads a flag's duration; zero where it is not given.
func (c *call) duration(name string) (time.Duration, error) {
	s := c.String(name)
	if s == "" && !c.IsSet(name) {
		return 0, nil
	}
	d, err := config.ParseDuration(s)
	if err != nil {
		return 0, usagef("--%s: %v", name, err)
	}
	return d, nil
}

// positive is duration, and refuses zero.
func (c *call) positive(name string, otherwise time.Duration) (time.Duration, error) {
	d, err := c.duration(name)
	switch {
	case err != nil:
		return 0, err
	case d == 0 && c.IsSet(name):
		return 0, usagef("--%s: a validity of zero is none; 30d or 24h would be", name)
	case d == 0:
		return otherwise, nil
	}
	return d, nil
}

// trustDomain reads a trust domain from a flag.
func (c *call) trustDomain(name, otherwise string) (spiffeid.TrustDomain, error) {
	s := c.String(name)
	if s == "" {
		s = otherwise
	}
	td, err := spiffeid.ParseTrustDomain(s)
	if err != nil {
		return td, usagef("--%s: %v", name, err)
	}
	return td, nil
}

// passphraseFor finds the passphrase of an authority's key: from the file that a
// flag or the environment names, from the environment, or from the terminal.
func (c *call) passphraseFor(authority string) ([]byte, error) {
	return c.secretFor(authority, "passphrase of the key of %q: ")
}

// secretFor finds the secret that opens an authority's key, or asks for it.
func (c *call) secretFor(authority, question string) ([]byte, error) {
	if file.IsRootName(authority) && c.optional("root-passphrase-file") != "" {
		return c.readSecret(c.String("root-passphrase-file"))
	}
	if f := c.passphraseFile(); f != "" {
		return c.readSecret(f)
	}
	if s := c.env.Getenv("MESHPKI_PASSPHRASE"); s != "" {
		return []byte(s), nil
	}
	if !c.env.StdinTTY || c.env.ReadPassword == nil {
		return nil, nil
	}
	return c.prompt(fmt.Sprintf(question, authority))
}

func (c *call) passphraseFile() string {
	if f := c.optional("passphrase-file"); f != "" {
		return f
	}
	return c.env.Getenv("MESHPKI_PASSPHRASE_FILE")
}

// prompt asks on the terminal; what is typed is not shown.
func (c *call) prompt(question string) ([]byte, error) {
	secret, err := c.await(question, c.env.ReadPassword)
	fmt.Fprintln(c.env.Stderr)
	if err != nil && !errors.Is(err, errInterrupted) {
		return nil, fmt.Errorf("read the passphrase: %w", err)
	}
	return secret, err
}

// await asks a question and waits for what is read. An interrupt ends it, and the
// terminal shows again what is typed.
func (c *call) await(question string, read func() ([]byte, error)) ([]byte, error) {
	type answer struct {
		text []byte
		err  error
	}
	fmt.Fprint(c.env.Stderr, question)
	given := make(chan answer, 1)
	guard.Go(func(fault any) { given <- answer{err: fmt.Errorf("%v", fault)} }, func() {
		text, err := read()
		given <- answer{text, err}
	})
	ctx := c.Context.Context
	select {
	case a := <-given:
		return a.text, a.err
	case <-ctx.Done():
		return nil, errors.Join(errInterrupted, c.env.RestoreTerminal())
	}
}

// errInterrupted is the end of a question that was not answered.
var errInterrupted = errors.New("interrupted; nothing was changed")

// readSecret reads a passphrase: see firstLine.
func (c *call) readSecret(name string) ([]byte, error) {
	secret, err := c.firstLine(name)
	if err != nil {
		return nil, fmt.Errorf("passphrase: %w", err)
	}
	return secret, nil
}

// firstLine reads the first line of a file, or of standard input for "-".
func (c *call) firstLine(name string) ([]byte, error) {
	var data []byte
	var err error
	if name == "-" {
		data, err = pemfile.Read(c.env.Stdin, "standard input")
	} else {
		data, err = pemfile.ReadFile(name)
	}
	if err != nil {
		return nil, err
	}
	line, _, _ := strings.Cut(string(data), "\n")
	line = strings.TrimSuffix(line, "\r")
	if line == "" {
		return nil, fmt.Errorf("the first line of %s is empty", name)
	}
	return []byte(line), nil
}

// oneOf refuses a flag's value that is none of those listed, and names the nearest.
func oneOf(flag, value string, known []string) error {
	if value == "" || slices.Contains(known, value) {
		return nil
	}
	err := usagef("--%s: %q is none of %s", flag, value, strings.Join(known, ", "))
	if len(known) == 1 {
		err = usagef("--%s: %q is not known: there is only %s", flag, value, known[0])
	}
	if near := config.Nearest(value, known); near != "" {
		return err.withHint("did you mean %s?", near)
	}
	return err
}

// sortedKeys gives a map's keys in order.
func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
