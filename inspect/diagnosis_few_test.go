//go:build !integration

package inspect_test

// diagnoses is how many chains TestDiagnosis breaks, differentials how many
// TestDifferential compares.
const (
	diagnoses     = 315
	differentials = 150
)
