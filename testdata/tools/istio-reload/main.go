// Istio-reload has istiod's own code load one directory of plugged-in CA certificates
// and then find another in its place, as when its file watcher has told it. It says
// whether the change was taken or ignored.
//
//	istio-reload BEFORE AFTER
//
// The package that istiod reloads in cannot be linked: modules that it needs are not to
// be had. So the test that builds this takes handleEvent and what it calls, word for
// word, out of Istio's source into reload.go, beside these stand-ins for what they
// touch besides.
package main

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"time"

	"istio.io/istio/pkg/log"
	"istio.io/istio/security/pkg/pki/ca"
	"istio.io/istio/security/pkg/pki/util"
)

// Server is istiod as far as the reload looks at it.
type Server struct {
	CA                      *ca.IstioCA
	istiodCertBundleWatcher watcher
}

type watcher struct{}

// SetAndNotifyCACRL tells nobody.
func (watcher) SetAndNotifyCACRL([]byte) {}

func (*Server) updateRootCertAndGenKeyCert() error { return nil }

type metrics struct{}

// RecordCertsExpiry measures nothing.
func (metrics) RecordCertsExpiry(*util.KeyCertBundle) {}

var caserver metrics

type directory struct{}

// Get is where the files lie now.
func (directory) Get() string { return os.Getenv("ROOT_CA_DIR") }

// LocalCertDir is where istiod looks.
var LocalCertDir directory

// features are switched as istiod's are, by its environment.
var features = struct{ MultiRootMesh, EnableCACRL bool }{flag("ISTIO_MULTIROOT_MESH", false), flag("PILOT_ENABLE_CA_CRL", true)}

func flag(name string, otherwise bool) bool {
	if on, err := strconv.ParseBool(os.Getenv(name)); err == nil {
		return on
	}
	return otherwise
}

func main() {
	o := log.DefaultOptions()
	o.SetDefaultOutputLevel("all", log.NoneLevel)
	_ = log.Configure(o)
	said, err := run(os.Args[1], os.Args[2])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(said)
}

func run(before, after string) (string, error) {
	authority, err := load(before)
	if err != nil {
		return "", fmt.Errorf("before: %w", err)
	}
	want, err := load(after)
	if err != nil {
		return "", fmt.Errorf("after: %w", err)
	}
	handleEvent(&Server{CA: authority})
	certificate, _, _, roots := authority.GetCAKeyCertBundle().GetAllPem()
	wantCertificate, _, _, wantRoots := want.GetCAKeyCertBundle().GetAllPem()
	if bytes.Equal(certificate, wantCertificate) && bytes.Equal(roots, wantRoots) {
		return "taken", nil
	}
	return "ignored", nil
}

func load(dir string) (*ca.IstioCA, error) {
	if err := os.Setenv("ROOT_CA_DIR", dir); err != nil {
		return nil, err
	}
	bundle, err := detectSigningCABundleAndCRL()
	if err != nil {
		return nil, err
	}
	options, err := ca.NewPluggedCertIstioCAOptions(bundle, time.Hour, 24*time.Hour, 2048)
	if err != nil {
		return nil, err
	}
	return ca.NewIstioCA(options)
}
