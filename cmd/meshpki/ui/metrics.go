package ui

import (
	"io"
	"strconv"
	"strings"
	"time"
)

// Metric is one family of a scrape: a gauge, or a counter, whose name ends in _total.
type Metric struct {
	Name, Help string
	Counter    bool
	Samples    []Sample
}

// Sample is one value with its labels, as name, value, name, value, …
type Sample struct {
	Labels []string
	Value  float64
}

// Names of what every scrape of meshpki has: status says them once, the daemon always.
const (
	MetricNotAfter     = "meshpki_certificate_not_after_seconds"
	MetricDue          = "meshpki_certificate_due_seconds"
	MetricTargets      = "meshpki_targets"
	MetricLevels       = "meshpki_attention"
	MetricAuthority    = "meshpki_authority_not_after_seconds"
	MetricLastPass     = "meshpki_last_pass_timestamp_seconds"      //nolint:gosec // the time of a pass, no password
	MetricLastGoodPass = "meshpki_last_good_pass_timestamp_seconds" //nolint:gosec // as above
)

// WriteMetrics writes families as text: as OpenMetrics, with its end mark, or in the
// form that Prometheus read before it (and the node exporter's textfile collector
// reads now).
func WriteMetrics(w io.Writer, families []Metric, openMetrics bool) error {
	var b strings.Builder
	for _, f := range families {
		name, kind := f.Name, "gauge"
		if f.Counter {
			kind = "counter"
			if openMetrics { // there a counter's family is named without what its samples end in
				name = strings.TrimSuffix(name, "_total")
			}
		}
		b.WriteString("# HELP " + name + " " + metricText.Replace(f.Help) + "\n# TYPE " + name + " " + kind + "\n")
		for _, s := range f.Samples {
			b.WriteString(f.Name)
			before := "{"
			for i := 0; i+1 < len(s.Labels); i += 2 {
				b.WriteString(before + s.Labels[i] + `="` + metricText.Replace(strings.ToValidUTF8(s.Labels[i+1], "\ufffd")) + `"`)
				before = ","
			}
			if before == "," {
				b.WriteByte('}')
			}
			b.WriteString(" " + strconv.FormatFloat(s.Value, 'f', -1, 64) + "\n")
		}
	}
	if openMetrics {
		b.WriteString("# EOF\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// metricText escapes labels and help texts.
var metricText = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

// Unix is a moment as a sample's value: seconds, 0 where there is none.
func Unix(t time.Time) float64 {
	if t.IsZero() {
		return 0
	}
	return float64(t.Unix())
}

// Metrics are what a scrape of the status shows. Where no pass was ever made its time
// is 0, so that an alert on its age needs no second rule.
func (d Status) Metrics() []Metric {
	notAfter := Metric{Name: MetricNotAfter, Help: "When the certificate ends, with itself or the first CA above it, in Unix seconds."}
	due := Metric{Name: MetricDue, Help: "When the certificate is due for renewal, in Unix seconds."}
	standings := map[string]int{}
	for _, s := range d.Services {
		standings[s.State]++
		labels := []string{"service", s.Service, "namespace", s.Namespace}
		if s.Service == "" || s.Ends.IsZero() {
			continue
		}
		notAfter.Samples = append(notAfter.Samples, Sample{labels, Unix(s.Ends)})
		due.Samples = append(due.Samples, Sample{labels, Unix(s.Due)})
	}
	targets := Metric{Name: MetricTargets, Help: "Services under care by how they stand."}
	for _, state := range []string{"fresh", "due", "drifted", "held", "waiting", "pending", "failed", "left"} {
		targets.Samples = append(targets.Samples, Sample{[]string{"state", state}, float64(standings[state])})
	}
	c := d.counts()
	attention := Metric{Name: MetricLevels, Help: "Services under care by how much they need somebody's attention.", Samples: []Sample{
		{[]string{"level", LevelFine}, float64(c.Fine)}, {[]string{"level", LevelDue}, float64(c.Due)},
		{[]string{"level", LevelWarning}, float64(c.Warning)}, {[]string{"level", LevelError}, float64(c.Error)},
	}}
	authorities := Metric{Name: MetricAuthority, Help: "When a CA of the state directory ends, in Unix seconds."}
	for _, a := range d.Authorities {
		authorities.Samples = append(authorities.Samples, Sample{[]string{"authority", a.Name}, Unix(a.NotAfter)})
	}
	last, good := time.Time{}, time.Time{}
	if d.Last != nil {
		last, good = d.Last.Ended, d.Last.Good
	}
	return []Metric{notAfter, due, targets, attention, authorities,
		{Name: MetricLastPass, Help: "When the last renewal pass over everything ended, in Unix seconds; 0 if never.", Samples: []Sample{{nil, Unix(last)}}},
		{Name: MetricLastGoodPass, Help: "When the last renewal pass ended after which nothing failed, in Unix seconds; 0 if never.", Samples: []Sample{{nil, Unix(good)}}},
	}
}
