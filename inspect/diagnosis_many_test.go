//go:build integration

package inspect_test

// diagnoses is how many chains TestDiagnosis breaks, differentials how many
// TestDifferential compares.
const (
	diagnoses     = 10000
	differentials = 5000
)
