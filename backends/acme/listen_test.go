package acme

import (
	"io"
	"net/http"
	"testing"

	"github.com/mholt/acmez/v3/acme"
)

// A connection that a server kept is not answered by a listener that is closed: the
// next one at the same address has other answers.
func TestListenerIsClosedWhole(t *testing.T) {
	address, client := freeAddress(t), &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for _, token := range []string{"one", "two"} {
		h := newHTTPListener(address)
		remove, err := h.present(t.Context(), acme.Challenge{Token: token, KeyAuthorization: token + ".key"})
		if err != nil {
			t.Fatal(err)
		}
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+"/.well-known/acme-challenge/"+token, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(body) != token+".key" {
			t.Errorf("%s: it answers %q", token, body)
		}
		if err := remove(t.Context()); err != nil {
			t.Error(err)
		}
	}
}
