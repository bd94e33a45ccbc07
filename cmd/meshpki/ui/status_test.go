package ui_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"golang.org/x/net/html"

	"github.com/meshpki/meshpki/cmd/meshpki/ui"
)

const day = 24 * time.Hour

// service is one under care that ends in so many days of thirty.
func service(name, state, level string, days float64) ui.StatusService {
	ends := now.Add(time.Duration(days * float64(day)))
	s := ui.StatusService{Level: level, NotBefore: ends.Add(-30 * day), Ends: ends, Due: ends.Add(-10 * day), Issuer: "Mesh issuing CA",
		Authority: "issuing", Backend: "local", Listed: true}
	s.Name, s.State = name, state
	s.Service, s.Namespace, _ = strings.Cut(name, ".")
	s.Places = []ui.RenewedPlace{{To: "/etc/" + s.Service + "/tls"}}
	s.NotAfter = ends
	return s
}

// status has a service of each state, with names that nobody should have.
func status() ui.Status {
	refused := service("ledger.prod", "failed", "error", 2)
	refused.Problem, refused.Failures, refused.Since = "refused by vault: URI SAN not allowed", 20, now.Add(-5*day)
	hooked := service("payment.prod", "pending", "warning", 29)
	hooked.Since, hooked.Failures = now.Add(-3*time.Hour), 2
	hooked.Steps = []ui.RenewedStep{{Step: "/usr/sbin/nginx -s reload", Tries: 2, Problem: "/usr/sbin/nginx ended with exit code 1"}}
	partly := service("partly.prod", "pending", "error", 28)
	partly.Alarm = true
	partly.Places = append(partly.Places, ui.RenewedPlace{To: "/mnt/remote/partly/tls", Problem: "no space left on device"})
	held := service("held.prod", "fresh", "warning", 11)
	held.HeldBy = "it ends with its issuer, on 2026-12-12 12:00 UTC: a longer-lived issuer is needed"
	waiting := service("windowed.prod", "waiting", "due", 9)
	waiting.Opens = now.Add(35 * time.Hour)
	due := service("account.prod", "due", "due", 9.9)
	due.Check = "window"
	overdue := service("overdue.prod", "due", "warning", 7)
	overdue.Check = "window"
	revoked := service("revoked.prod", "due", "error", 20)
	revoked.Check, revoked.Reason = "revoked", "it is revoked"
	drifted := service("drifted.prod", "drifted", "warning", 21)
	drifted.Reason = "/etc/drifted/tls: tls.key has mode 0644 and should have 0600"
	missing := ui.StatusService{Level: "warning", Listed: true}
	missing.Name, missing.State, missing.Check, missing.Service, missing.Namespace = "new.prod", "due", "missing", "new", "prod"
	missing.Places = []ui.RenewedPlace{{To: "/etc/new/tls", Problem: "nothing is there yet"}}
	hostile := service("evil.prod", "failed", "error", 25)
	hostile.Places[0].To = "/tmp/\x1b[31m</td><script>alert(1)</script>\u202e/\"onload='x'"
	hostile.Problem = "it says \"<img src=x onerror=alert(1)>\x1b]0;title\x07|perf=1\nsecond line"
	hostile.Issuer, hostile.Authority = "</li><style>*{display:none}</style>", ""
	d := ui.Status{Now: now, Dir: "pki", Last: &ui.StatusPass{Began: now.Add(-5 * time.Minute), Ended: now.Add(-4 * time.Minute), Listed: 40, Targets: 53,
		Good: now.Add(-5 * day)},
		Services: []ui.StatusService{refused, hooked, partly, held, waiting, due, overdue, revoked, drifted, missing, hostile},
		Authorities: []ui.StatusAuthority{
			{Name: "root", CommonName: "Mesh Root CA", Role: "root", NotBefore: now.Add(-day), NotAfter: now.Add(3650 * day), Level: "fine", Signs: true},
			{Name: "issuing", CommonName: "Mesh issuing CA", Role: "intermediate", Parent: "root", NotBefore: now.Add(-day), NotAfter: now.Add(11 * day),
				Level: "warning", Signs: true, Services: 52, Longest: int64(30 * day / time.Second), Todo: "meshpki ca reissue issuing"},
			{Name: "old", CommonName: "Mesh old CA", Role: "intermediate", Parent: "root", NotBefore: now.Add(-day), NotAfter: now.Add(100 * day), Level: "fine"},
		}}
	for i := range 42 {
		d.Services = append(d.Services, service(fmt.Sprintf("s%02d.default", i), "fresh", "fine", 10+float64(i)/2))
	}
	long := service("a-name-"+strings.Repeat("x", 50)+".default", "fresh", "fine", 10)
	long.Places[0].To = "/srv/" + strings.Repeat("a/very/long/way/", 10) + "tls"
	d.Services = append(d.Services, long)
	d.Sort()
	return d
}

func allFine() ui.Status {
	return ui.Status{Now: now, Dir: "pki", Last: &ui.StatusPass{Ended: now.Add(-time.Hour), Good: now.Add(-time.Hour)},
		Services: []ui.StatusService{service("payment.prod", "fresh", "fine", 20)}}
}

// What needs attention stands first, all of it; of the rest as many as fit a look.
func TestStatusOrder(t *testing.T) {
	d := status()
	var levels []string
	for _, s := range d.Services {
		levels = append(levels, s.Level)
	}
	order := slices.Compact(slices.DeleteFunc(levels, func(l string) bool { return l == "due" || l == "fine" }))
	if !slices.Equal(order, []string{"error", "warning"}) {
		t.Errorf("levels in the order %v", order)
	}
	var b bytes.Buffer
	if err := ui.Text(&b, d, ui.Options{UTF8: true}); err != nil {
		t.Fatal(err)
	}
	for _, s := range d.Services {
		if s.Level == "error" && !strings.Contains(b.String(), s.Name) {
			t.Errorf("%s is not listed:\n%s", s.Name, b.String())
		}
	}
	if strings.Contains(b.String(), "s41.default") || !strings.Contains(b.String(), "more; --all lists them") {
		t.Errorf("what is fine and far is listed:\n%s", b.String())
	}
	d.All = true
	b.Reset()
	if err := ui.Text(&b, d, ui.Options{}); err != nil || !strings.Contains(b.String(), "s41.default") {
		t.Errorf("with All it is not listed (%v)", err)
	}
}

// pages are those that are looked at as HTML.
func pages() map[string]ui.Status {
	all := status()
	all.All, all.Problems = true, []string{"the manifest is <gone>: \x1b[2J"}
	return map[string]ui.Status{"status": status(), "status-all": all, "status-fine": allFine(), "status-none": {Now: now}}
}

// The page is whole and valid, needs nothing from elsewhere, runs nothing, and shows
// hostile names as they are.
func TestStatusPage(t *testing.T) {
	for name, d := range pages() {
		var b bytes.Buffer
		if err := ui.HTML(&b, d); err != nil {
			t.Fatal(err)
		}
		root, err := html.Parse(bytes.NewReader(b.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		seen := map[string]int{}
		checkNode(t, name, root, seen)
		for _, element := range []string{"title", "style", "h1", "main", "footer"} {
			if seen[element] == 0 {
				t.Errorf("%s has no %s", name, element)
			}
		}
		if strings.ContainsAny(b.String(), "\x1b\x07\u202e") {
			t.Errorf("%s has control characters in it", name)
		}
		if head := b.String()[:1024]; !strings.HasPrefix(head, "<!doctype html>") || !strings.Contains(head, ui.HTMLMark) {
			t.Errorf("%s begins with %s", name, head)
		}
		balanced(t, name, b.Bytes())
		golden(t, name+".html", b.Bytes())
	}
}

// checkNode holds an element against what a page may have.
func checkNode(t *testing.T, page string, n *html.Node, seen map[string]int) {
	t.Helper()
	if n.Type == html.ElementNode {
		seen[n.Data]++
		if slices.Contains([]string{"script", "link", "img", "iframe", "object", "embed", "a", "form", "base", "image", "use", "foreignobject"}, strings.ToLower(n.Data)) {
			t.Errorf("%s has an element %s", page, n.Data)
		}
		for _, a := range n.Attr {
			if strings.HasPrefix(a.Key, "on") || slices.Contains([]string{"href", "src", "style", "srcset", "action", "background"}, a.Key) {
				t.Errorf("%s: %s has an attribute %s", page, n.Data, a.Key)
			}
		}
		if n.Data == "style" && (seen["style"] > 1 || strings.Contains(n.FirstChild.Data, "url(") || strings.Contains(n.FirstChild.Data, "@import")) {
			t.Errorf("%s has a style of somebody else, or from elsewhere", page)
		}
		if n.Data == "th" && !slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == "scope" }) {
			t.Errorf("%s has a heading of a table without a scope", page)
		}
	}
	for c := n.FirstChild; c != nil; c = c.NextSibling {
		checkNode(t, page, c, seen)
	}
}

// balanced sees that each element ends where it should: a parser mends what does not.
func balanced(t *testing.T, page string, data []byte) {
	t.Helper()
	var open []string
	for z := html.NewTokenizer(bytes.NewReader(data)); ; {
		kind := z.Next()
		name, _ := z.TagName()
		switch kind {
		case html.ErrorToken:
			if len(open) > 0 {
				t.Errorf("%s leaves %v open", page, open)
			}
			return
		case html.StartTagToken:
			if n := string(name); n != "meta" && n != "br" && n != "wbr" {
				open = append(open, n)
			}
		case html.EndTagToken:
			if len(open) == 0 || open[len(open)-1] != string(name) {
				t.Fatalf("%s: </%s> within %v", page, name, open)
			}
			open = open[:len(open)-1]
		}
	}
}

// Metrics are read by Prometheus' own parser, the hostile ones too.
func TestStatusMetrics(t *testing.T) {
	var b bytes.Buffer
	d := status()
	families := append(d.Metrics(), ui.Metric{Name: "meshpki_passes_total", Help: "A \"help\" with \\ and\na line.", Counter: true,
		Samples: []ui.Sample{{Labels: []string{"reason", "a \"quoted\" \\ text\nof two lines \xff"}, Value: 12345678901}}})
	if err := ui.WriteMetrics(&b, families, false); err != nil {
		t.Fatal(err)
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	read, err := parser.TextToMetricFamilies(bytes.NewReader(b.Bytes()))
	if err != nil {
		t.Fatalf("%v:\n%s", err, b.String())
	}
	if n := len(read[ui.MetricNotAfter].GetMetric()); n != len(d.Services)-1 { // one has no certificate
		t.Errorf("%d certificates of %d", n, len(d.Services))
	}
	counter := read["meshpki_passes_total"].GetMetric()[0]
	if counter.GetCounter().GetValue() != 12345678901 || counter.GetLabel()[0].GetValue() != "a \"quoted\" \\ text\nof two lines \ufffd" {
		t.Errorf("the counter came out as %v", counter)
	}
	if got := read[ui.MetricLastGoodPass].GetMetric()[0].GetGauge().GetValue(); got != float64(now.Add(-5*day).Unix()) {
		t.Errorf("the last good pass was at %f", got)
	}
	total := 0.0
	for _, m := range read[ui.MetricTargets].GetMetric() {
		total += m.GetGauge().GetValue()
	}
	if total != float64(len(d.Services)) {
		t.Errorf("%f targets by their state, of %d", total, len(d.Services))
	}
	b.Reset()
	if err := ui.WriteMetrics(&b, families, true); err != nil {
		t.Fatal(err)
	}
	if text := b.String(); !strings.HasSuffix(text, "\n# EOF\n") || strings.Count(text, "# EOF") != 1 || !strings.Contains(text, "# TYPE meshpki_passes counter\nmeshpki_passes_total{") {
		t.Errorf("this is no OpenMetrics:\n%s", text)
	}
}

// Nagios gets one line; nothing that is said begins its performance data.
func TestStatusNagios(t *testing.T) {
	d := status()
	d.Problems = []string{"a|b\nc"}
	line := d.Nagios("CRITICAL")
	said, data, _ := strings.Cut(line, " | ")
	if strings.Count(line, "\n") != 1 || strings.Count(line, "|") != 1 || !strings.HasPrefix(line, `meshpki CRITICAL - a/b\nc; `) {
		t.Errorf("the line is %q", line)
	}
	if strings.ContainsAny(said, "\x1b\x07") || !strings.HasPrefix(data, "error=4;;;0;54 warning=5;;;0;54 ") {
		t.Errorf("the line is %q", line)
	}
}
