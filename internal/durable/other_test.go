//go:build !unix

package durable

import "testing"

// full belongs to a test of Unix systems.
func full(*testing.T) {}
