//go:build integration || bench

package backendtest

import (
	"net"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Tool gives the path of a tool of testdata/tools, which is built if it is not there.
func Tool(t testing.TB, name string) string {
	t.Helper()
	root, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}").Output()
	if err != nil {
		t.Fatal(err)
	}
	build := exec.Command(filepath.Join(strings.TrimSpace(string(root)), "testdata", "tools", "build"), name)
	built, err := build.Output()
	if err != nil {
		t.Fatalf("build %s: %v", name, err)
	}
	return strings.TrimSpace(string(built))
}

// freePorts are ports of the loopback that nobody listened on a moment ago.
func freePorts(t testing.TB) (ports [3]string) {
	t.Helper()
	for i := range ports {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close() // at the end: none is given twice
		_, ports[i], _ = net.SplitHostPort(l.Addr().String())
	}
	return ports
}
