package command

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/inspect"
	"github.com/meshpki/meshpki/internal/guard"
)

func inspectCommand() *command {
	return &command{
		name:    "inspect",
		summary: "say what certificates, requests, CRLs, keys and servers are",
		args:    "SOURCE…",
		about: "Reads every certificate, certificate request, CRL, OCSP response and key in each source, several in " +
			"one file too, and says what it is: names, dates with how far away they are, uses, keys, what is wrong with it. " +
			"Of a private key only public facts are shown. A certificate that is malformed is shown as far as it can be read.\n\n" + sourceHelp +
			"\n\nA keystore without a password is tried with none and with \"changeit\"; --keystore-password-file, or " +
			"MESHPKI_KEYSTORE_PASSWORD_FILE, names a file with another.\n\n" +
			"--lint also judges by what a careful reader would remark, and tells of each CA certificate whether Istio, Linkerd, Dapr, Kuma and " +
			"SPIRE would load it, and why not; the files of a directory, or of the Secrets in a manifest, are judged together too: what a mesh would find missing, " +
			"misnamed or mismatched. Then errors are exit 3, and so is a CA that no mesh would load. --tree draws who signed whom over everything that is given.",
		examples: []example{
			{"the files of a service", "meshpki inspect pki/services/default/payment/tls.crt"},
			{"for a program", "meshpki inspect pki/services/default/payment/tls.crt --json"},
			{"all that a directory holds, and who signed whom", "meshpki inspect pki --tree"},
			{"would a mesh load this CA?", "meshpki inspect pki/ca/issuing.crt --lint"},
		},
		exits: exitsOf(codeDone, codeFailed, codeUsage, codeNo),
		flags: common(inCluster(
			toggle("lint", "judge it as a careful reader would, and as the meshes would; errors are exit 3"),
			toggle("tree", "draw who signed whom instead of describing each"),
			text("keystore-password-file", "the password of PKCS#12 and Java keystores is the first line of `FILE`"),
			text("server-name", "ask servers for this `NAME` instead of their host's"),
		)...),
		run: runInspect,
	}
}

func runInspect(ctx context.Context, c *call) error {
	args, err := c.arguments(1, -1, "a SOURCE: a file, a directory, host:port, or - for standard input")
	if err != nil {
		return err
	}
	list, failed := c.sources(args)
	doc := ui.Inspection{Now: c.env.Now()}
	over := 0
	all := c.inspectAll(ctx, list)
	if c.Bool("lint") && !c.Bool("tree") {
		all = append(all, c.lintSets(list)...)
	}
	bad := false
	var elements [][]byte
	for _, found := range all {
		doc.Reports = append(doc.Reports, found.reports...)
		elements = append(elements, found.elements...)
		failed = append(failed, found.failed...)
		bad = bad || found.bad
		if found.over {
			over++
		}
	}
	if len(doc.Reports)+len(elements) == 0 && over > 0 && len(failed) == 0 {
		failed = append(failed, fmt.Errorf("%s: %w", args[0], inspect.ErrNothingFound))
	}
	if c.Bool("tree") {
		doc.Family = family(all, doc.Reports)
	}
	switch {
	case elements != nil:
		if err := ui.JSONOf(c.env.Stdout, doc, elements); err != nil {
			return fmt.Errorf("write to standard output: %w", err)
		}
	case len(doc.Reports) > 0 || c.wantsJSON():
		if err := c.say(doc); err != nil {
			return err
		}
	}
	if len(failed) == 0 && c.Bool("lint") && bad {
		return errNo
	}
	return c.allOf(failed)
}

func hasError(r inspect.Report) bool {
	return slices.ContainsFunc(r.Findings, func(f inspect.Finding) bool { return f.Severity == inspect.SeverityError })
}

// family tells who signed whom over all that was found.
func family(all []inspected, reports []inspect.Report) []*inspect.Kin {
	var found []inspect.Found
	var told []*inspect.Report
	at := 0
	for _, one := range all {
		at += len(one.reports) - len(one.objects)
		for _, o := range one.objects {
			found = append(found, inspect.Found{Source: reports[at].Source, Object: o})
			told = append(told, &reports[at])
			at++
		}
	}
	return append([]*inspect.Kin{}, inspect.Family(found, told)...)
}

// inspected is what one source gave.
type inspected struct {
	reports  []inspect.Report // what a server shows, and one of each object
	elements [][]byte         // the same as JSON, in place of reports where nobody needs those
	bad      bool             // one of the reports has an error among its findings
	objects  []inspect.Object // where somebody needs them
	failed   []error
	over     bool // it was passed over
}

// inspectAll looks at every source, as many at once as there are processors, and gives
// what was found in their order.
func (c *call) inspectAll(ctx context.Context, list []source) []inspected {
	out := make([]inspected, len(list))
	asJSON := c.inElements()
	var next atomic.Int64
	var running sync.WaitGroup
	var broken atomic.Value
	for range min(runtime.GOMAXPROCS(0), len(list)) {
		running.Add(1)
		guard.Go(func(fault any) {
			broken.Store(fmt.Errorf("internal error: %v", fault))
			running.Done()
		}, func() {
			for i := next.Add(1) - 1; i < int64(len(list)) && ctx.Err() == nil; i = next.Add(1) - 1 {
				if out[i] = c.inspectOne(list[i]); asJSON {
					out[i].encode()
				}
			}
			running.Done()
		})
	}
	running.Wait()
	if err, _ := broken.Load().(error); err != nil {
		out = append(out, inspected{failed: []error{err}})
	}
	if err := ctx.Err(); err != nil {
		out = append(out, inspected{failed: []error{err}})
	}
	return out
}

// inElements tells whether reports are put into JSON one by one.
func (c *call) inElements() bool { return c.wantsJSON() && !c.Bool("tree") }

// encode puts what is to be said as JSON in the place of the reports.
func (found *inspected) encode() {
	for _, r := range found.reports {
		e, err := ui.Element(r)
		if err != nil {
			found.failed = append(found.failed, err)
			continue
		}
		found.elements = append(found.elements, e)
	}
	found.reports = nil
}

// inspectOne looks at one source.
func (c *call) inspectOne(s source) inspected {
	objects, served, data, err := c.lookAt(s)
	switch {
	case s.passesOver(err):
		return inspected{over: true}
	case err != nil:
		return inspected{failed: []error{err}}
	}
	var out inspected
	if served != nil {
		out.reports = append(out.reports, inspect.DescribeServed(s.name, served, c.env.Now()))
	}
	reports := inspect.DescribeAll(s.name, objects, c.env.Now())
	if c.Bool("lint") {
		inspect.LintAll(data, objects, reports)
	}
	if c.Bool("tree") {
		out.objects = objects
	}
	out.reports = append(out.reports, reports...)
	out.bad = slices.ContainsFunc(out.reports, hasError)
	for _, o := range objects {
		if o.Unreadable() {
			out.failed = append(out.failed, unreadable(s.name, o))
		}
	}
	return out
}

func (c *call) wantsJSON() bool {
	f, err := c.format()
	return err == nil && f == "json"
}
