module github.com/meshpki/meshpki/testdata/tools/dapr-client

go 1.26.8

tool github.com/meshpki/meshpki/testdata/tools/dapr-client

require (
	github.com/dapr/dapr v1.14.0
	github.com/spiffe/go-spiffe/v2 v2.1.7
	google.golang.org/grpc v1.64.1
)

require (
	github.com/zeebo/errs v1.3.0 // indirect
	golang.org/x/net v0.26.0 // indirect
	golang.org/x/sys v0.21.0 // indirect
	golang.org/x/text v0.16.0 // indirect
	google.golang.org/genproto/googleapis/rpc v0.0.0-20240624140628-dc46fd24d27d // indirect
	google.golang.org/protobuf v1.34.2 // indirect
)
