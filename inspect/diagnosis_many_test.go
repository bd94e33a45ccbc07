//go:build integration

package inspect_test

// diagnoses is how many chains TestDiagnosis breaks, differentials how many
// TestDifferential compares; of the cases on name constraints, which are thousands,
// every constrainedStep-th is asked.
const (
	diagnoses       = 10000
	constrainedStep = 1
	differentials   = 5000
)
