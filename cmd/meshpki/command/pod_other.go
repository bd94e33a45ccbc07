//go:build !linux

package command

// fleeting tells whether what is at a path goes with the pod that this is: on this
// system that cannot be told.
func fleeting(string) bool { return false }
