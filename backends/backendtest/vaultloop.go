//go:build bench

package backendtest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/vault/api"

	started "github.com/meshpki/meshpki/internal/guard"
)

// BareVaultLoop is the least that has to be done for n services over vault/api: log in once,
// and for each make a key and a request, have a certificate signed that is as meshpki asks
// for it, its common name too, and write three files. They are synced, with their
// directories, where that is wanted.
func BareVaultLoop(t testing.TB, address, roleID, secretID, dir string, n, workers int, synced bool) {
	t.Helper()
	config := api.DefaultConfig()
	config.Address = address
	transport, ok := config.HttpClient.Transport.(*http.Transport)
	if !ok {
		t.Fatalf("the client's transport is %T", config.HttpClient.Transport)
	}
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = workers, workers
	client, err := api.NewClient(config)
	if err != nil {
		t.Fatal(err)
	}
	jobs, failed := make(chan int), make(chan error, n)
	var all sync.WaitGroup
	login, err := client.Logical().Write("auth/approle/login", map[string]any{"role_id": roleID, "secret_id": secretID})
	if err != nil {
		t.Fatal(err)
	}
	client.SetToken(login.Auth.ClientToken)
	for range workers {
		all.Add(1)
		started.Go(func(any) {}, func() {
			defer all.Done()
			for i := range jobs {
				failed <- bareService(client, dir, i, synced)
			}
		})
	}
	for i := range n {
		jobs <- i
	}
	close(jobs)
	all.Wait()
	for range n {
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
	}
}

func bareService(client *api.Client, dir string, i int, synced bool) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	name := fmt.Sprintf("service-%d", i)
	id := &url.URL{Scheme: "spiffe", Host: "cluster.local", Path: "/ns/default/sa/" + name}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{URIs: []*url.URL{id},
		DNSNames: []string{name, name + ".default", name + ".default.svc", name + ".default.svc.cluster.local"}}, key)
	if err != nil {
		return err
	}
	got, err := client.Logical().WriteWithContext(context.Background(), "pki/sign/mesh", map[string]any{
		"csr": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), "ttl": "2592000s",
		"common_name": name, "exclude_cn_from_sans": true})
	if err != nil {
		return err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	certificate, _ := got.Data["certificate"].(string)
	issuer, _ := got.Data["issuing_ca"].(string)
	in := filepath.Join(dir, name)
	err = errors.Join(os.MkdirAll(in, 0o755),
		os.WriteFile(filepath.Join(in, "tls.key"), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8}), 0o600),
		os.WriteFile(filepath.Join(in, "tls.crt"), []byte(certificate+"\n"), 0o644),
		os.WriteFile(filepath.Join(in, "ca.crt"), []byte(issuer+"\n"), 0o644))
	if err != nil || !synced {
		return err
	}
	for _, path := range []string{filepath.Join(in, "tls.key"), filepath.Join(in, "tls.crt"), filepath.Join(in, "ca.crt"), in, dir} {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		if err := errors.Join(f.Sync(), f.Close()); err != nil {
			return err
		}
	}
	return nil
}

// CPU is the time of its processors that it has used, in user and system; zero where
// this system does not tell.
func (v *VaultServer) CPU() time.Duration {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", v.process.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0
	}
	user, _ := strconv.Atoi(fields[11])
	system, _ := strconv.Atoi(fields[12])
	return time.Duration(user+system) * 10 * time.Millisecond
}
