package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/renew"
)

func unitsCommand() *command {
	return &command{
		name:    "units",
		summary: "write the files by which systemd, cron or Kubernetes runs the renewal",
		args:    "systemd|cron|kubernetes",
		about: "Prints the units of systemd, or the file for /etc/cron.d, that renew what is under care: with absolute paths, " +
			"at intervals that the shortest lifetime allows, and for systemd in a sandbox as tight as the manifest lets it be. " +
			"What cannot be closed has its reason beside it. With --out they are written into a directory, and none that is " +
			"there and differs is replaced without --force.\n\n" +
			"It runs as root only where files are given to other users, and then with the capabilities for that alone; else as " +
			"--service-user, or as the owner of the state directory. When the manifest gets other places or hooks, make the " +
			"files again.\n\n" +
			"For kubernetes they are the objects of a cluster: a CronJob, or with --daemon a Deployment that elects a leader, with " +
			"rights to the Secrets of the manifest by name and to nothing else, restricted pods, a network policy. With a CA of the " +
			"state directory there is one replica and a volume; what another backend signs is remembered in a Secret. --pod shows " +
			"the other shape: a pod that keeps a certificate of its own in memory, issued before the application starts and renewed beside it.",
		examples: []example{
			{"a service and its timer", "meshpki units systemd"},
			{"a service that stays", "meshpki units systemd --daemon --program /usr/local/bin/meshpki"},
			{"a line for cron", "meshpki units cron"},
			{"a pod with a certificate of its own", "meshpki units kubernetes --pod --backend kubernetes:example.com/mesh"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage),
		flags: common(
			text("service-user", "whose process it is, a `USER` (default: the owner of the state directory)"),
			text("out", "write the files into the directory `DIR`"),
			toggle("daemon", "a service that stays, or a Deployment, instead of a timer or CronJob"),
			text("on-calendar", "for the timer: when, a `TIME` as systemd writes it (default: by the shortest lifetime)"),
			text("program", "the `FILE` to be run (default: this very one)"),
			text("passphrase-file", "the first line of `FILE` is the passphrase of the CA's key"),
			text("namespace", "for kubernetes: the `NAMESPACE` (default meshpki)"),
			text("image", "for kubernetes: the `IMAGE` of the containers (default meshpki with this version)"),
			number("replicas", 2, "for kubernetes, with --daemon: how many, a `NUMBER`"),
			text("backend", "for kubernetes: who signs instead, a `REFERENCE`; for vault:<mount>/<role> pods log in by their own token"),
			toggle("pod", "for kubernetes: a pod that keeps a certificate of its own"),
			text("validity", "with --pod: how long that certificate lives, a `DURATION`"),
			toggle("kustomize", "for kubernetes: with a kustomization, which makes the ConfigMap"),
			toggle("monitor", "for kubernetes, with --daemon: a PodMonitor of the Prometheus operator as well"),
			toggle("force", "replace files in --out that are there and differ"),
		),
		run: runUnits,
	}
}

func runUnits(ctx context.Context, c *call) error {
	args, err := c.arguments(1, 1, "systemd, cron or kubernetes")
	if err != nil {
		return err
	}
	if err := oneOf("units", args[0], []string{"systemd", "cron", "kubernetes"}); err != nil {
		return usagef("meshpki units knows systemd, cron and kubernetes, and not %q", args[0])
	}
	if args[0] == "kubernetes" {
		return c.unitsKubernetes()
	}
	for _, flag := range clusterOnly {
		if c.IsSet(flag) {
			return usagef("--%s is for kubernetes", flag)
		}
	}
	if args[0] == "cron" && (c.Bool("daemon") || c.IsSet("on-calendar")) {
		return usagef("--daemon and --on-calendar are for systemd")
	}
	if c.Bool("daemon") && c.IsSet("on-calendar") {
		return usagef("--daemon and --on-calendar exclude each other")
	}
	k, err := c.underCare()
	if err != nil {
		return err
	}
	u, err := k.unit(ctx)
	if err != nil {
		return err
	}
	files, err := u.SystemdUnits()
	if args[0] == "cron" {
		files, err = u.Cron()
	}
	if err != nil {
		return usagef("%v", err)
	}
	if u.WantsDaemon() && !u.Daemon {
		c.notice("the shortest lifetime under care is %s: below 6 hours a daemon is better, meshpki units systemd --daemon", ui.Span(u.Shortest))
	}
	return c.sayUnits(files)
}

// sayUnits prints the files, or writes them into a directory.
func (c *call) sayUnits(files []renew.UnitFile) error {
	doc := ui.Units{}
	for _, f := range files {
		doc.List = append(doc.List, ui.UnitFile{Name: f.Name, Text: f.Text})
	}
	if c.IsSet("out") {
		if err := c.writeUnits(&doc); err != nil {
			return err
		}
	} else if !c.wantsJSON() {
		return c.printUnits(doc)
	}
	return c.say(doc)
}

// printUnits prints the files byte for byte: a page of text would be a page for people.
func (c *call) printUnits(doc ui.Units) error {
	if _, err := c.format(); err != nil {
		return err
	}
	for i, f := range doc.List {
		if i > 0 {
			f.Text = "\n" + f.Text
			if strings.HasSuffix(f.Name, ".yaml") {
				f.Text = "---" + f.Text
			}
		}
		if _, err := io.WriteString(c.env.Stdout, f.Text); err != nil {
			return fmt.Errorf("write to standard output: %w", err)
		}
	}
	return nil
}

// writeUnits writes the files, unless one is there already that differs.
func (c *call) writeUnits(doc *ui.Units) error {
	dir := c.String("out")
	if c.within(dir) {
		return usagef("--out: %s lies inside the state directory", dir)
	}
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return usagef("--out: there is no directory %s", dir)
	}
	for i := range doc.List {
		f := &doc.List[i]
		f.Path = filepath.Join(dir, f.Name)
		have, err := os.ReadFile(f.Path)
		switch {
		case err == nil && string(have) == f.Text:
			f.Unchanged = true
		case err == nil && !c.Bool("force"):
			return withHint(fmt.Errorf("%s is there, and differs", f.Path), "--force replaces it; settings of your own belong in a drop-in, systemctl edit %s", f.Name)
		case err != nil && !errors.Is(err, fs.ErrNotExist):
			return err
		}
	}
	for _, f := range doc.List {
		if f.Unchanged {
			continue
		}
		if err := durable.WriteFile(f.Path, []byte(f.Text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// unit gathers what the files have to know.
func (k *care) unit(ctx context.Context) (renew.Unit, error) {
	c := k.c
	u := renew.Unit{User: c.String("service-user"), Daemon: c.Bool("daemon"), OnCalendar: c.String("on-calendar")}
	if err := k.unitPaths(&u); err != nil {
		return u, err
	}
	owner := ownerOf(u.Dir)
	if !c.IsSet("service-user") {
		u.User = owner
	}
	if u.User == "root" {
		u.User = ""
	}
	if err := k.unitKeys(&u); err != nil {
		return u, err
	}
	needs := &unitNeeds{k: k, u: &u}
	if err := k.pass(ctx, k.renewer(), nil, renew.Options{DryRun: true, Each: needs.take}); err != nil {
		return u, err
	}
	if len(needs.relative) > 0 {
		said := "the place %s is not absolute, and would be another wherever it is run"
		if len(needs.relative) > 1 {
			said = "the places %s are not absolute, and would be others wherever it is run"
		}
		return u, usagef(said, ui.List(needs.relative, 3)).withHint("write whole paths into the manifest")
	}
	needs.settle()
	if len(u.Owners) > 0 && u.User != "" {
		if c.IsSet("service-user") {
			return u, usagef("--service-user %s: only root can give the files in %s to their owner", u.User, ui.List(u.Owners, 3)).
				withHint("without --service-user it runs as root, with the capabilities for that alone")
		}
		u.User = ""
	}
	if u.User != "" && owner != "" && owner != u.User {
		c.notice("warning: the state directory belongs to %s, and %s could not write there: chown -R %s %s", owner, u.User, u.User, u.Dir)
	}
	return u, nil
}

// unitPaths makes the paths absolute.
func (k *care) unitPaths(u *renew.Unit) error {
	c := k.c
	u.Program = c.String("program")
	if u.Program == "" {
		if c.env.Executable == nil {
			return usagef("--program is needed: this program's own path is not known")
		}
		var err error
		if u.Program, err = c.env.Executable(); err != nil {
			return fmt.Errorf("find this program's own path: %w", err)
		}
	}
	u.Dir, u.Passphrase = c.dir(), c.passphraseFile()
	if k.m != nil {
		u.Config = k.m.File
	}
	if u.Passphrase == "-" {
		return usagef("--passphrase-file: nobody is there to write to standard input; a file is needed")
	}
	for _, path := range []*string{&u.Program, &u.Dir, &u.Config, &u.Passphrase} {
		if *path == "" {
			continue
		}
		abs, err := filepath.Abs(*path)
		if err != nil {
			return err
		}
		*path = abs
	}
	return nil
}

// unitKeys looks where the keys are that are to sign.
func (k *care) unitKeys(u *renew.Unit) error {
	all, err := k.dir.Authorities()
	if err != nil {
		return err
	}
	for _, a := range all {
		switch {
		case a.Root(): // signs no leaf
		case a.KeyURI != "":
			unitKey(u, a.Name, a.KeyURI)
		case a.Encrypted && u.Passphrase == "":
			return usagef("the key of %s is encrypted, and nobody is there to be asked", a.Name).
				withHint("--passphrase-file names the file with its passphrase")
		}
	}
	logKey, err := k.dir.LogKeyURI()
	if err == nil && logKey != "" {
		unitKey(u, "the ledger", logKey)
	}
	return err
}

// unitKey notes where a key is that is not in a file.
func unitKey(u *renew.Unit, name, uri string) {
	scheme := keyScheme(uri)
	if networkKeys[scheme] {
		u.Network = append(u.Network, "the key of "+name+" ("+scheme+")")
	} else {
		u.Devices = append(u.Devices, name+" ("+scheme+")")
	}
}

// shortest notes a lifetime.
func shortest(u *renew.Unit, life time.Duration) {
	if life > 0 && (u.Shortest == 0 || life < u.Shortest) {
		u.Shortest = life
	}
}
