//go:build integration

package file

import (
	"os"
	"testing"
	"time"
)

// TestIntegrationAttacker is TestSaveBesideAnAttacker, longer, and never passed over.
func TestIntegrationAttacker(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("this test is root's: run make integration as root")
	}
	besideAnAttacker(t, 20*time.Second)
}
