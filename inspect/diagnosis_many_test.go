//go:build integration

package inspect_test

// diagnoses is how many chains TestDiagnosis breaks.
const diagnoses = 10000
