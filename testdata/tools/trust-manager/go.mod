// Nothing is built of it: a test applies its CRD to a real API server.
module github.com/meshpki/meshpki/testdata/tools/trust-manager

go 1.26.0

require github.com/cert-manager/trust-manager v0.25.0
