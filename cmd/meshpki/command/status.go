package command

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"time"

	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/renew"
)

// statusFormats are the forms that status has.
var statusFormats = []string{"text", "json", "nagios", "openmetrics"}

func statusCommand() *command {
	return &command{
		name:    "status",
		summary: "show every certificate under care, and what needs attention",
		about: "Shows every certificate under care: the services of the manifest, and those issued without one. What needs " +
			"attention stands first, then what ends soonest: where it is, when it ends, when it is due, and what is wrong. " +
			"CAs that come to their end are named as well, and objects of a cluster that have not the roots that the manifest publishes there. It looks at everything anew, and changes nothing.\n\n" +
			"It is also the dead man's switch of renewal: with --max-age it tells when no pass has gone well for too long. A " +
			"pass that was never made, a manifest that has lost all its services, and a journal or a place that cannot be read, " +
			"always count as no.\n\n" +
			"--format nagios ends with 0 OK, 1 WARNING, 2 CRITICAL or 3 UNKNOWN, and says one line with performance data.",
		examples: []example{
			{"what is there", "meshpki status"},
			{"from monitoring: no if something is broken, or renewal has stopped", "meshpki status --fail-on error --max-age 1d"},
			{"a page for people, from cron", "meshpki status --html status.html"},
			{"for Prometheus", "meshpki status --format openmetrics"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage, codeNo),
		flags: commonForms("the form of the answer: `text|json|nagios|openmetrics` (default text)", remembering(
			text("fail-on", "say no where something is at least this bad: `error|warning`"),
			text("max-age", "say no where the last successful pass is older than this `DURATION`"),
			text("html", "write the status as one page of HTML to `FILE`; - is standard output"),
			toggle("all", "list all, also what is fine and far from its end"),
			toggle("force", "replace a file that is no such page"),
		)...),
		run: runStatus,
	}
}

func runStatus(ctx context.Context, c *call) error {
	if _, err := c.arguments(0, 0, ""); err != nil {
		return err
	}
	form, err := c.form(statusFormats)
	if err != nil {
		return err
	}
	maxAge, err := c.statusFlags(form)
	if err != nil {
		return err
	}
	k, err := c.underCare()
	if err != nil {
		return err
	}
	s, err := k.status(ctx, maxAge)
	if err != nil {
		return err
	}
	if err := c.writeStatus(s, form); err != nil {
		return err
	}
	return s.verdict(form, c.String("fail-on"))
}

// statusFlags checks what belongs together.
func (c *call) statusFlags(form string) (maxAge time.Duration, err error) {
	if err := oneOf("fail-on", c.String("fail-on"), []string{ui.LevelError, ui.LevelWarning}); err != nil {
		return 0, err
	}
	page := c.String("html")
	switch {
	case form == "nagios" && c.IsSet("fail-on"):
		return 0, usagef("--fail-on is not for --format nagios, whose exit code tells warnings from errors")
	case page == "-" && form != "text":
		return 0, usagef("--html - and --format %s both want standard output", form)
	case page != "" && page != "-" && c.within(page):
		return 0, usagef("--html: %s lies inside the state directory", page)
	}
	maxAge, err = c.duration("max-age")
	if err == nil && maxAge == 0 && c.IsSet("max-age") {
		return 0, usagef("--max-age: no pass is ever younger than that; 1d or 26h would be")
	}
	return maxAge, err
}

// standing is everything under care as it was found.
type standing struct {
	ui.Status
	// blind says that something could not be read, stale that the passes themselves are
	// not what they should be.
	blind, stale bool
}

// verdict is the error of a status that is no.
func (s *standing) verdict(form, failOn string) error {
	level := s.Level()
	switch {
	case form == "nagios" && !s.stale && s.blind && s.onlyBlind():
		return errUnknown
	case form == "nagios" && level == ui.LevelWarning:
		return errWarning
	case form == "nagios" && level == ui.LevelError, s.stale, s.blind:
		return errNo
	case failOn == ui.LevelError && level == ui.LevelError:
		return errNo
	case failOn == ui.LevelWarning && (level == ui.LevelWarning || level == ui.LevelError):
		return errNo
	}
	return nil
}

// onlyBlind tells whether nothing is wrong but what cannot be read.
func (s *standing) onlyBlind() bool {
	for _, service := range s.Services {
		if service.Level == ui.LevelError && (!service.Unread || service.Failures > 0) {
			return false
		}
	}
	for _, a := range s.Authorities {
		if a.Level == ui.LevelError {
			return false
		}
	}
	return true
}

// nagiosStates are what the exit codes of a plugin are called.
var nagiosStates = [...]string{"OK", "WARNING", "CRITICAL", "UNKNOWN"}

// writeStatus gives the answer in its form.
func (c *call) writeStatus(s *standing, form string) error {
	if page := c.String("html"); page != "" {
		var b bytes.Buffer
		if err := ui.HTML(&b, s.Status); err != nil {
			return err
		}
		if page == "-" {
			_, err := b.WriteTo(c.env.Stdout)
			return written(err)
		}
		if err := c.checkPage(page); err != nil {
			return err
		}
		if err := durable.WriteFile(page, b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	switch form {
	case "nagios":
		_, err := io.WriteString(c.env.Stdout, s.Nagios(nagiosStates[nagiosCode(s.verdict(form, ""))]))
		return written(err)
	case "openmetrics":
		return written(ui.WriteMetrics(c.env.Stdout, s.Metrics(), true))
	case "json":
		return written(ui.JSON(c.env.Stdout, s.Status))
	}
	return written(ui.Text(c.env.Stdout, s.Status, c.env.look(c.env.StdoutTTY, c.Bool("no-color"))))
}

func written(err error) error {
	if err != nil {
		return fmt.Errorf("write to standard output: %w", err)
	}
	return nil
}

// checkPage sees that nothing is replaced but an earlier page of ours.
func (c *call) checkPage(name string) error {
	if c.Bool("force") {
		return nil
	}
	f, err := os.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, 1024))
	if err == nil && !bytes.Contains(head, []byte(ui.HTMLMark)) {
		err = withHint(fmt.Errorf("%s exists, and is no page of meshpki status", name), "--force replaces it")
	}
	return err
}

// status looks at everything under care.
func (k *care) status(ctx context.Context, maxAge time.Duration) (*standing, error) {
	now := k.c.env.Now()
	s := &standing{Status: ui.Status{All: k.c.Bool("all"), Dir: k.c.dir(), Flags: k.c.careFlags(), Now: now}}
	r := k.renewer()
	last, err := lastPass(ctx, r.Memory)
	var troubles []renew.Trouble
	switch {
	case err != nil:
		s.Problems, s.stale = append(s.Problems, plain(err)), true
	default:
		troubles = renew.Troubles(last, len(k.listed), maxAge, now)
		s.stale = len(troubles) > 0
	}
	if last != nil {
		s.Last = &ui.StatusPass{Began: last.Began.UTC(), Ended: last.Ended.UTC(), Listed: last.Listed, Targets: last.Targets, Good: last.Good.UTC()}
		if last.Good.IsZero() {
			s.Last.Good = time.Time{}
		}
		if last.Problem != "" { // of a daemon, which goes on by what it read before
			s.Problems = append(s.Problems, "the last pass: "+last.Problem)
		}
	}
	for _, t := range troubles {
		s.Problems = append(s.Problems, k.troubled(t, last, maxAge))
	}
	tree, err := k.tree()
	if err != nil {
		return nil, err
	}
	var targets []*renew.Target
	err = k.pass(ctx, r, last, renew.Options{DryRun: true, Each: func(res renew.Result) {
		service := statusOf(res, now)
		tree.hang(res, &service)
		s.blind = s.blind || service.Unread
		if res.Target != nil {
			targets = append(targets, res.Target)
		}
		s.Services = append(s.Services, service)
	}})
	if err != nil {
		return nil, err
	}
	blind := k.blindPods(ctx, targets)
	for i := range s.Services {
		if why := blind[s.Services[i].Name]; why != "" {
			unseen(&s.Services[i], why)
		}
	}
	left, err := k.abandoned(ctx, r.Memory)
	if err != nil {
		return nil, err
	}
	for _, l := range left {
		s.Services = append(s.Services, leftOf(l, s.Flags))
	}
	s.Authorities = tree.authorities(now)
	s.Published = k.published(ctx)
	s.blind = s.blind || slices.ContainsFunc(s.Published, func(p ui.StatusPublication) bool { return p.Problem != "" })
	s.Sort()
	return s, nil
}

// troubled says what is wrong with the passes.
func (k *care) troubled(t renew.Trouble, last *renew.Report, maxAge time.Duration) string {
	switch t {
	case renew.TroubleNever:
		return "no pass is recorded: renewal has never run here"
	case renew.TroubleLost:
		if k.m == nil {
			return fmt.Sprintf("the manifest is gone: the last pass had one with %s", ui.Count(last.Listed, "service"))
		}
		return fmt.Sprintf("the manifest has lost its services: the last pass had %d", last.Listed)
	}
	at := "there was none"
	if !last.Good.IsZero() {
		at = "it ended " + ui.Relative(last.Good, k.c.env.Now())
	}
	return fmt.Sprintf("the last successful pass is not within %s: %s", ui.Span(maxAge), at)
}
