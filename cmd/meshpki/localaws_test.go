package main

import (
	"bytes"
	"io/fs"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/meshpki/meshpki/backends/awspca/localaws"
)

// cloud is a local AWS with a root, an authority under it for leaves, one for
// short-lived leaves, and one that waits for its certificate.
type cloud struct {
	*localaws.Server
	arns map[string]string
	now  atomic.Pointer[time.Time]
}

// newCloud makes it at that time; its keys are of the example's account.
func newCloud(at time.Time) (*cloud, error) {
	c := &cloud{arns: map[string]string{}}
	made := at.Add(-time.Hour)
	c.now.Store(&made)
	c.Server = &localaws.Server{Now: func() time.Time { return *c.now.Load() }, Clock: time.Now}
	var err error
	for _, a := range []struct {
		name string
		spec localaws.Spec
	}{
		{"ROOT", localaws.Spec{CommonName: "Example Root CA"}},
		{"CA", localaws.Spec{CommonName: "Example issuing CA", Life: 3 * 365 * 24 * time.Hour}},
		{"SHORT", localaws.Spec{CommonName: "Example short-lived CA", Mode: localaws.ShortLived, Life: 365 * 24 * time.Hour}},
		{"WAITING", localaws.Spec{CommonName: "Example waiting CA", Waiting: true}},
	} {
		if a.name == "CA" || a.name == "SHORT" {
			a.spec.Under = c.arns["ROOT"]
		}
		if c.arns[a.name], err = c.Make(a.spec); err != nil {
			return nil, err
		}
	}
	c.now.Store(&at)
	c.Configure(func(r *localaws.Rules) { r.InProgress = 1 })
	return c, nil
}

// environment is what a program needs to find it: AWS's own variables, and the ARNs.
func (c *cloud) environment(url string) map[string]string {
	key := localaws.ExampleKey()
	env := map[string]string{"AWS_ENDPOINT_URL_ACM_PCA": url, "AWS_ACCESS_KEY_ID": key.ID, "AWS_SECRET_ACCESS_KEY": key.Secret,
		"AWS_EC2_METADATA_DISABLED": "true"}
	maps.Copy(env, c.arns)
	return env
}

// awsScript lets a script have AWS Private CA: `aws start` runs one, and sets what
// finds it; the others change or ask it.
func awsScript(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: aws start | deny RIGHT… | status NAME STATUS | fail OPERATION CODE | well | calls OPERATION N | certificates N | now TIME | untold DIR")
	}
	if args[0] == "start" {
		c, err := newCloud(clock())
		ts.Check(err)
		server := httptest.NewServer(http.Handler(c))
		ts.Defer(server.Close)
		for name, value := range c.environment(server.URL) {
			ts.Setenv(name, value)
		}
		keptOf(ts).cloud = c
		return
	}
	c := keptOf(ts).cloud
	if c == nil {
		ts.Fatalf("aws start comes first")
	}
	switch args[0] {
	case "deny":
		c.Configure(func(r *localaws.Rules) { r.Denied = args[1:] })
	case "status":
		ts.Check(c.SetStatus(c.arns[args[1]], args[2]))
	case "fail":
		c.Configure(func(r *localaws.Rules) {
			r.Fault = func(operation string, _ int) *localaws.Fault {
				if operation != args[1] {
					return nil
				}
				return &localaws.Fault{Code: args[2], Message: "told by the test"}
			}
		})
	case "well":
		c.Configure(func(r *localaws.Rules) { *r = localaws.Rules{InProgress: 1} })
	case "now":
		at, err := time.Parse(time.RFC3339, args[1])
		ts.Check(err)
		c.now.Store(&at)
	case "calls":
		count(ts, "requests", len(c.Calls(args[1])), args[2])
	case "certificates":
		count(ts, "certificates", len(c.Certificates()), args[1])
	case "untold":
		untold(ts, ts.MkAbs(args[1]), ts.Getenv("AWS_SECRET_ACCESS_KEY"), localaws.ExampleKey().Secret)
	default:
		ts.Fatalf("aws %s: no such thing", args[0])
	}
}

// untold wants no file below a directory to have any of these secrets in it.
func untold(ts *testscript.TestScript, dir string, secrets ...string) {
	files := 0
	ts.Check(filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		files++
		data, err := os.ReadFile(path)
		for _, secret := range secrets {
			if bytes.Contains(data, []byte(secret)) {
				ts.Fatalf("%s has a secret in it", path)
			}
		}
		return err
	}))
	if files < 10 {
		ts.Fatalf("only %d files were looked at", files)
	}
}

func count(ts *testscript.TestScript, what string, is int, want string) {
	if n, err := strconv.Atoi(want); err != nil || n != is {
		ts.Fatalf("%d %s, not %s", is, what, want)
	}
}

// startAWS runs a local AWS for the rest of a page.
func (r *docRun) startAWS() {
	r.t.Helper()
	at, err := time.Parse(time.RFC3339, r.now)
	if err != nil {
		r.t.Fatal(err)
	}
	c, err := newCloud(at)
	if err != nil {
		r.t.Fatal(err)
	}
	server := httptest.NewServer(http.Handler(c))
	r.t.Cleanup(server.Close)
	r.vars = c.environment(server.URL)
}
