package command

import (
	"os"
	"path/filepath"
)

// fleeting tells whether what is at a path goes with the pod that this is.
func fleeting(path string) bool {
	abs, err := filepath.Abs(path)
	if err != nil {
		return false
	}
	if resolved, err := filepath.EvalSymlinks(abs); err == nil {
		abs = resolved
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	return err == nil && fleetingMount(string(mounts), abs)
}
