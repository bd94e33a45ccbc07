//go:build !cgo

package kms

import (
	"context"
	"errors"
)

// errNoCgo says what this program lacks: a PKCS#11 module is a library in C.
var errNoCgo = errors.New("this meshpki was built without cgo, and PKCS#11 keys need one built with it (CGO_ENABLED=1)")

func connectPKCS11(context.Context, string, string) (device, error) { return nil, errNoCgo }
