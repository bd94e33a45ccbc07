//go:build !cgo

package kms

import (
	"errors"
	"testing"

	"github.com/meshpki/meshpki/backends"
)

// Built without cgo, the program says what it lacks.
func TestWithoutCgo(t *testing.T) {
	_, err := Schemes()["pkcs11"](t.Context(), "pkcs11:token=a;object=b", backends.KeyOptions{})
	if !errors.Is(err, errNoCgo) {
		t.Errorf("error %v", err)
	}
}
