//go:build integration

package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// builtWithCgo is the program with cgo: what loads PKCS#11 modules.
var builtWithCgo = sync.OnceValues(func() (string, error) {
	name, err := filepath.Abs(filepath.Join("..", "..", "bin", "tested", "meshpki-cgo"))
	if err != nil {
		return "", err
	}
	build := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-tags", "urfave_cli_no_docs", "-o", name, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("go build with cgo: %w\n%s", err, out)
	}
	return name, nil
})

// runIn is run with more in the environment.
func runIn(t *testing.T, env []string, name string, args ...string) answer {
	t.Helper()
	return run(t, program(t, "env"), append(append(append([]string{}, env...), name), args...)...)
}

const tokenPIN = "4711-0815"

// softHSM makes a token and gives the environment that finds it, and its URI
// without the key.
func softHSM(t *testing.T) (env []string, uri string) {
	t.Helper()
	module := ""
	for _, try := range []string{"/usr/lib/softhsm/libsofthsm2.so", "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so", "/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so"} {
		if _, err := os.Stat(try); err == nil {
			module = try
			break
		}
	}
	if module == "" {
		t.Fatal("SoftHSM is not installed: run testdata/integration/install")
	}
	dir := t.TempDir()
	tokens := filepath.Join(dir, "tokens")
	if err := os.Mkdir(tokens, 0o700); err != nil {
		t.Fatal(err)
	}
	conf := filepath.Join(dir, "softhsm2.conf")
	writeFile(t, conf, "directories.tokendir = "+tokens+"\nobjectstore.backend = file\nlog.level = ERROR\n")
	pin := filepath.Join(dir, "pin")
	writeFile(t, pin, tokenPIN+"\n")
	env = []string{"SOFTHSM2_CONF=" + conf, "MESHPKI_PIN_FILE=" + pin}
	if a := runIn(t, env, program(t, "softhsm2-util"), "--init-token", "--free", "--label", "mesh", "--pin", tokenPIN, "--so-pin", "so-"+tokenPIN); a.code != 0 {
		t.Fatal(a)
	}
	return env, "pkcs11:module-path=" + module + ";token=mesh"
}

// Both keys in a token: made there, found again by every later command, and never
// in a file; the PIN is said nowhere.
func TestIntegrationPKCS11(t *testing.T) {
	cgo, err := builtWithCgo()
	if err != nil {
		t.Fatal(err)
	}
	env, token := softHSM(t)
	dir := filepath.Join(t.TempDir(), "pki")
	everything := ""
	do := func(code int, args ...string) answer {
		t.Helper()
		a := runIn(t, env, cgo, append(args, "--dir", dir)...)
		if everything += a.String(); a.code != code {
			t.Fatalf("%s: %s", strings.Join(args, " "), a)
		}
		return a
	}
	root, issuing := token+";object=mesh-root;id=01", token+";object=mesh-issuing;id=02"
	do(0, "ca", "init", "--root-key", root, "--intermediate-key", issuing, "--log-key", token+";object=mesh-log;id=09", "--key-type", "ec-p384")
	for _, name := range []string{"root.key", "issuing.key", "log.key"} {
		if _, err := os.Lstat(filepath.Join(dir, "keys", name)); !os.IsNotExist(err) {
			t.Errorf("%s is a file: %v", name, err)
		}
	}
	if a := do(0, "ca", "list"); !strings.Contains(strings.Join(strings.Fields(a.stdout), ""), "object=mesh-root") {
		t.Errorf("ca list does not say where the key is:\n%s", a.stdout)
	}
	do(0, "issue", "--service", "payment")
	succeed(t, program(t, "openssl"), "verify", "-CAfile", filepath.Join(dir, "ca", "root.crt"), "-untrusted", filepath.Join(dir, "ca", "issuing.crt"),
		filepath.Join(dir, "services", "default", "payment", "tls.crt"))
	do(0, "ca", "intermediate", "web")
	do(0, "ca", "intermediate", "again", "--key", root)
	do(0, "log", "verify")

	// A second directory takes the keys that are there; one that asks for others is told.
	other := dir
	dir = filepath.Join(t.TempDir(), "second")
	do(1, "ca", "init", "--root-key", root, "--intermediate-key", issuing)
	do(0, "ca", "init", "--root-key", root, "--intermediate-key", issuing, "--key-type", "ec-p384")
	dir = filepath.Join(t.TempDir(), "third")
	do(1, "ca", "init", "--root-key", root, "--intermediate-key", root, "--key-type", "ec-p384")
	do(0, "ca", "csr", "online", "--key", token+";object=online;id=03")
	dir = other

	// What cannot be.
	for _, wrong := range []struct {
		code int
		key  string
		says string
	}{
		{1, token + ";object=nobody", "there is no such key"},
		{1, strings.Replace(token, "token=mesh", "token=none", 1) + ";object=mesh-root", "pkcs11:"},
		{2, token + ";object=mesh-root?pin-value=" + tokenPIN, "has a PIN in it"},
		{1, token + ";object=mesh-root?pin-source=/nowhere", "no such file"},
		{1, strings.Replace(token, "module-path=/", "module-path=/none/", 1) + ";object=mesh-root", "pkcs11:"},
		{1, issuing, "does not belong to the certificate"},
	} {
		a := do(wrong.code, "ca", "intermediate", "wrong", "--key", wrong.key)
		if !strings.Contains(strings.Join(strings.Fields(a.stderr), " "), wrong.says) {
			t.Errorf("%s: %s", wrong.key, a)
		}
	}
	bad := filepath.Join(t.TempDir(), "pin")
	writeFile(t, bad, "0000\n")
	env[1] = "MESHPKI_PIN_FILE=" + bad
	if a := do(1, "issue", "--service", "account"); !strings.Contains(a.stderr, "wrong PIN") {
		t.Errorf("with a wrong PIN: %s", a)
	}
	if strings.Contains(everything, tokenPIN) {
		t.Errorf("the PIN was said:\n%s", everything)
	}
	// The program without cgo says what it lacks.
	if a := runIn(t, env, meshpki(t), "issue", "--service", "late", "--dir", dir); a.code != 1 || !strings.Contains(strings.Join(strings.Fields(a.stderr), " "), "built without cgo") {
		t.Errorf("without cgo: %s", a)
	}
}

// A key in a file goes to a token that has been given it by its own tools.
func TestIntegrationKeyToPKCS11(t *testing.T) {
	cgo, err := builtWithCgo()
	if err != nil {
		t.Fatal(err)
	}
	env, token := softHSM(t)
	m := newMesh(t)
	key := filepath.Join(m.dir, "keys", "root.key")
	uri := token + ";object=root;id=0a"
	if a := runIn(t, env, cgo, "ca", "key", "root", "--move", uri, "--dir", m.dir); a.code != 1 {
		t.Errorf("before the token has it: %s", a)
	}
	if _, err := os.Stat(key); err != nil {
		t.Fatal(err)
	}
	if a := runIn(t, env, program(t, "softhsm2-util"), "--import", key, "--token", "mesh", "--label", "root", "--id", "0a", "--pin", tokenPIN); a.code != 0 {
		t.Fatal(a)
	}
	if a := runIn(t, env, cgo, "ca", "key", "root", "--move", uri, "--dir", m.dir); a.code != 0 {
		t.Fatal(a)
	}
	if _, err := os.Stat(key); !os.IsNotExist(err) {
		t.Errorf("the file is still there: %v", err)
	}
	if a := runIn(t, env, cgo, "ca", "intermediate", "web", "--dir", m.dir); a.code != 0 {
		t.Error(a)
	}
}

// A key that a TPM 2.0 keeps: of use to that TPM alone, and without cgo.
func TestIntegrationTPM(t *testing.T) {
	dir, err := os.MkdirTemp("", "tpm") //nolint:usetesting // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "sock")
	tpm := exec.CommandContext(t.Context(), program(t, "swtpm"), "socket", "--tpm2", "--tpmstate", "dir="+dir,
		"--server", "type=unixio,path="+socket, "--ctrl", "type=unixio,path="+socket+".ctrl", "--flags", "not-need-init,startup-clear")
	if err := tpm.Start(); err != nil {
		t.Fatal(err)
	}
	for range 100 {
		if _, err := os.Stat(socket); err == nil {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
	m := mesh{t, filepath.Join(dir, "pki")}
	uri := "tpmkms:name=root;device=" + socket + ";storage-directory=" + filepath.Join(dir, "blobs")
	m.must("ca", "init", "--root-key", uri)
	m.must("ca", "intermediate", "web")
	m.must("issue", "--service", "payment")
	m.must("log", "verify")
	if a := m.run("ca", "intermediate", "other", "--key", strings.Replace(uri, "name=root", "name=none", 1)); a.code != 1 || !strings.Contains(strings.Join(strings.Fields(a.stderr), " "), "there is no such key") {
		t.Errorf("a key that is not there: %s", a)
	}
	if a := m.run("ca", "intermediate", "other", "--key", strings.Replace(uri, "device=", "device=/nowhere", 1)); a.code != 1 {
		t.Errorf("a device that is not there: %s", a)
	}
}

// What we encrypt OpenSSL reads, and what it encrypts with scrypt we read.
func TestIntegrationEncryptedKeys(t *testing.T) {
	pass := filepath.Join(t.TempDir(), "pass")
	writeFile(t, pass, "secret\n")
	m := newMesh(t, "--passphrase-file", pass)
	openssl := program(t, "openssl")
	key := filepath.Join(m.dir, "keys", "root.key")
	succeed(t, openssl, "pkey", "-in", key, "-passin", "file:"+pass, "-noout")
	for name, flags := range map[string][]string{
		"scrypt":     {"-scrypt"},
		"scrypt-128": {"-scrypt", "-v2", "aes-128-cbc", "-scrypt_N", "4096", "-scrypt_p", "2"},
		"pbkdf2":     {"-v2", "aes-256-cbc", "-iter", "100000"},
	} {
		out := filepath.Join(t.TempDir(), "root.key")
		succeed(t, openssl, append([]string{"pkcs8", "-topk8", "-in", key, "-passin", "file:" + pass, "-passout", "pass:secret", "-out", out}, flags...)...)
		m.must("ca", "intermediate", name, "--key", out, "--passphrase-file", pass)
	}
	changed := filepath.Join(t.TempDir(), "changed")
	writeFile(t, changed, "another\n")
	m.must("ca", "key", "root", "--passphrase", "--passphrase-file", pass, "--new-passphrase-file", changed)
	succeed(t, openssl, "pkey", "-in", key, "-passin", "file:"+changed, "-noout")
}

// What OpenSSL made of our request is taken in.
func TestIntegrationCeremonyWithOpenSSL(t *testing.T) {
	dir := t.TempDir()
	openssl := program(t, "openssl")
	in := func(name string) string { return filepath.Join(dir, name) }
	m := mesh{t, in("pki")}
	m.must("ca", "csr", "online", "--out", in("online.csr"), "--permit-dns", "example.com")
	succeed(t, openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", in("root.key"), "-out", in("root.crt"),
		"-days", "30", "-subj", "/CN=A root of OpenSSL", "-addext", "keyUsage=critical,keyCertSign,cRLSign")
	succeed(t, openssl, "x509", "-req", "-in", in("online.csr"), "-CA", in("root.crt"), "-CAkey", in("root.key"), "-days", "20",
		"-copy_extensions", "copyall", "-out", in("online.crt"))
	m.must("ca", "import", in("online.crt"), "--root", in("root.crt"))
	cred := m.issue("payment", "--dns", "a.example.com")
	succeed(t, openssl, "verify", "-CAfile", in("root.crt"), "-untrusted", cred.chain(), cred.chain())
}
