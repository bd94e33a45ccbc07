package command

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"runtime"
	"strconv"
	"strings"
	"time"

	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/internal/durable"
	"github.com/meshpki/meshpki/internal/guard"
	"github.com/meshpki/meshpki/renew"
)

// metricsAddress completes the address of --metrics: without a host it is this
// machine alone that is answered.
func metricsAddress(given string) (string, error) {
	addr := given
	if _, err := strconv.ParseUint(addr, 10, 16); err == nil {
		addr = ":" + addr
	}
	host, port, err := net.SplitHostPort(addr)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return "", usagef("--metrics: %q is no address: a port such as 9464 is, or host:port", given)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

// serve answers scrapes and questions after our health until the function is called.
func (d *daemon) serve(given string) (func(), error) {
	addr, err := metricsAddress(given)
	if err != nil {
		return nil, err
	}
	listener, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("serve metrics: %w", err)
	}
	server := &http.Server{Handler: d.pages(), ErrorLog: log.New(io.Discard, "", 0), MaxHeaderBytes: 16 << 10,
		ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 30 * time.Second, IdleTimeout: time.Minute}
	failed := func(err error) { d.told.problem(d.c.env.Now(), "metrics", err) }
	guard.Go(func(fault any) { failed(fmt.Errorf("internal error: %v", fault)) }, func() {
		if err := server.Serve(listener); err != http.ErrServerClosed {
			failed(err)
		}
	})
	d.told.note(d.c.env.Now(), "serving metrics", listener.Addr().String())
	return func() { _ = server.Close() }, nil
}

func (d *daemon) pages() http.Handler {
	pages := http.NewServeMux()
	pages.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_ = ui.WriteMetrics(w, d.metrics(), false)
	})
	pages.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if ill := d.ill(); ill != "" {
			w.WriteHeader(http.StatusServiceUnavailable)
			fmt.Fprintln(w, ui.Safe(ill))
			return
		}
		fmt.Fprintln(w, "ok")
	})
	return pages
}

// overdue is after how long without a look at everything something is wrong: it is
// made once an hour at the least.
const overdue = 2*time.Hour + 10*time.Minute

// ill says in one line why all is not well; "" where it is.
func (d *daemon) ill() string {
	now := d.c.env.Now()
	loop := d.running()
	looked := loop.Looked()
	switch {
	case d.waits():
		return ""
	case looked.IsZero():
		return "not everything under care has been looked at yet"
	case now.Sub(looked) > overdue:
		return "everything under care was last looked at on " + looked.UTC().Format(time.RFC3339)
	}
	for _, s := range loop.All() {
		switch {
		case !s.Ends.IsZero() && !s.Ends.After(now):
			return s.Name + ": its certificate has expired"
		case !s.AlarmAt.IsZero() && now.After(s.AlarmAt):
			return s.Name + ": its certificate is not served, for too long"
		}
	}
	return ""
}

// waits tells whether another process leads, and this one stands by.
func (d *daemon) waits() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.c.leads != nil && !d.leading
}

// metrics are what a scrape of the daemon shows.
func (d *daemon) metrics() []ui.Metric {
	loop := d.running()
	report, all := loop.Report(), loop.All()
	d.mu.Lock()
	renewals, failures, manifest := d.renewals, d.failures, d.manifest
	d.mu.Unlock()
	return append(passMetrics(all, &report, report.Problem == "" || !manifest),
		one("meshpki_renewals_total", "Certificates that were renewed since the start.", true, float64(renewals)),
		one("meshpki_failures_total", "Tries that failed since the start.", true, float64(failures)),
		one("meshpki_manifest_ok", "Whether the manifest could be read when it was last to be.", false, truth(manifest)),
		one("meshpki_last_look_timestamp_seconds", "When everything under care was last looked at, in Unix seconds.", false, ui.Unix(loop.Looked())),
		buildInfo(d.c.env))
}

// passMetrics are those of a single pass as well. made says whether it could be.
func passMetrics(all []renew.Stands, last *renew.Report, made bool) []ui.Metric {
	notAfter := ui.Metric{Name: ui.MetricNotAfter, Help: "When the certificate ends, with itself or the first CA above it, in Unix seconds."}
	due := ui.Metric{Name: ui.MetricDue, Help: "When the certificate is due for renewal, in Unix seconds."}
	state := ui.Metric{Name: "meshpki_target_state", Help: "How a service under care stands: 1 for its state."}
	failures := ui.Metric{Name: "meshpki_target_failures", Help: "Tries in a row that have failed, of a service that fails."}
	standings := map[renew.Standing]int{}
	for _, s := range all {
		service, namespace, _ := strings.Cut(s.Name, ".")
		labels := []string{"service", service, "namespace", namespace}
		standings[s.Standing]++
		state.Samples = append(state.Samples, ui.Sample{Labels: append(labels[:4:4], "state", string(s.Standing)), Value: 1})
		if !s.Ends.IsZero() {
			notAfter.Samples = append(notAfter.Samples, ui.Sample{Labels: labels, Value: ui.Unix(s.Ends)})
			due.Samples = append(due.Samples, ui.Sample{Labels: labels, Value: ui.Unix(s.Due)})
		}
		if s.Failures > 0 {
			failures.Samples = append(failures.Samples, ui.Sample{Labels: labels, Value: float64(s.Failures)})
		}
	}
	targets := ui.Metric{Name: ui.MetricTargets, Help: "Services under care by how they stand."}
	for _, s := range []renew.Standing{renew.StandsFresh, renew.StandsRenewed, renew.StandsAgain, renew.StandsDue, renew.StandsDrifted,
		renew.StandsHeld, renew.StandsWaiting, renew.StandsPending, renew.StandsFailed} {
		targets.Samples = append(targets.Samples, ui.Sample{Labels: []string{"state", string(s)}, Value: float64(standings[s])})
	}
	if last == nil {
		last = &renew.Report{}
	}
	return []ui.Metric{notAfter, due, state, failures, targets,
		one("meshpki_pending_hooks", "Services with a new certificate that is not served yet.", false, float64(standings[renew.StandsPending])),
		one("meshpki_last_pass_ok", "Whether the last pass over everything could be made, whatever failed in it.", false, truth(made)),
		one(ui.MetricLastPass, "When the last renewal pass over everything ended, in Unix seconds; 0 if never.", false, ui.Unix(last.Ended)),
		one(ui.MetricLastGoodPass, "When the last renewal pass ended after which nothing failed, in Unix seconds; 0 if never.", false, ui.Unix(last.Good)),
	}
}

func buildInfo(env *Env) ui.Metric {
	version := env.Version
	if version == "" {
		version = "dev"
	}
	return ui.Metric{Name: "meshpki_build_info", Help: "The version that runs: always 1.", Samples: []ui.Sample{
		{Labels: []string{"version", version, "commit", env.Commit, "go", runtime.Version()}, Value: 1}}}
}

func one(name, help string, counter bool, value float64) ui.Metric {
	return ui.Metric{Name: name, Help: help, Counter: counter, Samples: []ui.Sample{{Value: value}}}
}

func truth(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// writeMetrics writes the file that the node exporter's textfile collector reads:
// whole or not at all, and readable by everybody.
func writeMetrics(name string, families []ui.Metric) error {
	var b bytes.Buffer
	if err := ui.WriteMetrics(&b, families, false); err != nil {
		return err
	}
	if err := durable.WriteFile(name, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("write the metrics: %w", err)
	}
	return nil
}
