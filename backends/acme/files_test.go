package acme

import (
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/meshpki/meshpki/internal/guard"
)

// serveFiles is the web server of a machine; what it gives stops it.
func serveFiles(t *testing.T, address, dir string) (stop func()) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.FileServer(http.Dir(dir)), ReadHeaderTimeout: 10 * time.Second}
	guard.Go(func(fault any) { t.Errorf("panic: %v", fault) }, func() { _ = server.Serve(l) })
	return func() { server.Close() }
}
