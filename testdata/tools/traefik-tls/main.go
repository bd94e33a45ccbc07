// Traefik-tls reads a dynamic configuration as Traefik's file provider does, and serves
// by what Traefik's own TLS manager makes of it.
//
//	traefik-tls FILE OPTION ADDRESS
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"

	"github.com/traefik/paerser/file"
	traefik "github.com/traefik/traefik/v3/pkg/tls"
)

// configuration is what a dynamic configuration says of TLS, in Traefik's own types.
type configuration struct {
	TLS *struct {
		Certificates []*traefik.CertAndStores   `yaml:"certificates"`
		Options      map[string]traefik.Options `yaml:"options"`
		Stores       map[string]traefik.Store   `yaml:"stores"`
	} `yaml:"tls"`
}

func main() {
	if err := serve(os.Args[1], os.Args[2], os.Args[3]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(name, option, address string) error {
	var conf configuration
	if err := file.Decode(name, &conf); err != nil {
		return err
	}
	if conf.TLS == nil {
		return errors.New("there is no key tls in it")
	}
	m := traefik.NewManager(nil)
	m.UpdateConfigs(context.Background(), conf.TLS.Stores, conf.TLS.Options, conf.TLS.Certificates)
	with, err := m.Get(traefik.DefaultTLSStoreName, option)
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return http.Serve(tls.NewListener(l, with), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, "hello")
	}))
}
