//go:build integration && linux

package main

import (
	"bytes"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// javaClient is a client as Java teams write it: a key store and a trust store in
// files, read when it is told to, a new connection for each call. It is told by a
// file "reload", says by its absence that it has, and ends when "stop" is there.
const javaClient = `
import java.io.*;
import java.net.Socket;
import java.nio.file.*;
import java.security.KeyStore;
import javax.net.ssl.*;

public class Client {
	static SSLSocketFactory load(Path dir, char[] word) throws Exception {
		KeyStore own = KeyStore.getInstance("PKCS12"), trust = KeyStore.getInstance("PKCS12");
		try (InputStream in = Files.newInputStream(dir.resolve("own.p12"))) { own.load(in, word); }
		try (InputStream in = Files.newInputStream(dir.resolve("trust.p12"))) { trust.load(in, word); }
		KeyManagerFactory keys = KeyManagerFactory.getInstance("PKIX");
		keys.init(own, word);
		TrustManagerFactory roots = TrustManagerFactory.getInstance("PKIX");
		roots.init(trust);
		SSLContext context = SSLContext.getInstance("TLS");
		context.init(keys.getKeyManagers(), roots.getTrustManagers(), null);
		return context.getSocketFactory();
	}

	public static void main(String[] args) throws Exception {
		Path dir = Path.of(args[0]);
		char[] word = "changeit".toCharArray();
		SSLSocketFactory factory = load(dir, word);
		int calls = 0;
		while (!Files.exists(dir.resolve("stop"))) {
			if (Files.exists(dir.resolve("reload"))) {
				factory = load(dir, word);
				Files.delete(dir.resolve("reload"));
			}
			for (int i = 1; i < args.length; i++) {
				String[] at = args[i].split("[=:]");
				try (Socket plain = new Socket(at[1], Integer.parseInt(at[2]));
						SSLSocket socket = (SSLSocket) factory.createSocket(plain, at[0], plain.getPort(), true)) {
					SSLParameters p = socket.getSSLParameters();
					p.setEndpointIdentificationAlgorithm("HTTPS");
					socket.setSSLParameters(p);
					socket.startHandshake();
					socket.getOutputStream().write(("GET / HTTP/1.0\r\nHost: " + at[0] + "\r\n\r\n").getBytes("US-ASCII"));
					String answer = new BufferedReader(new InputStreamReader(socket.getInputStream(), "US-ASCII")).readLine();
					if (answer == null || !answer.contains("200")) { System.out.println("FAILED " + args[i] + ": " + answer); }
				} catch (IOException e) {
					System.out.println("FAILED " + args[i] + ": " + e);
				}
				calls++;
			}
		}
		System.out.println("CALLS " + calls);
	}
}
`

// java is the client at work.
type java struct {
	dir    string
	cmd    *exec.Cmd
	output bytes.Buffer
}

// java starts the client and waits until it works.
func (r *rehearsal) java(service string) *java {
	r.t.Helper()
	j := &java{dir: r.t.TempDir()}
	source := filepath.Join(j.dir, "Client.java")
	writeFile(r.t, source, javaClient)
	must(r.t, r.stores(j.dir, service))
	writeFile(r.t, filepath.Join(j.dir, "reload"), "") // which is gone once it runs
	args := []string{source, j.dir}
	for _, p := range r.servers {
		args = append(args, p.name+"="+p.address)
	}
	j.cmd = exec.CommandContext(r.t.Context(), program(r.t, "java"), args...)
	j.cmd.Stdout, j.cmd.Stderr = &j.output, &j.output
	must(r.t, j.cmd.Start())
	must(r.t, j.reloaded())
	r.reloads[service] = func() error {
		if err := r.stores(j.dir, service); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(j.dir, "reload"), nil, 0o600); err != nil {
			return err
		}
		return j.reloaded()
	}
	return j
}

// reloaded waits until the client has read its stores.
func (j *java) reloaded() error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(filepath.Join(j.dir, "reload")); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	}
	return fmt.Errorf("the Java client has not reloaded: %s", j.output.String())
}

// stores makes the key store and the trust store of a service's files, by OpenSSL
// and by keytool, as is done where nothing else is at hand.
func (r *rehearsal) stores(dir, service string) error {
	c := r.credential(service)
	own, trust := filepath.Join(dir, "own.p12"), filepath.Join(dir, "trust.p12")
	next := filepath.Join(dir, "next.p12")
	if out, err := exec.Command(program(r.t, "openssl"), "pkcs12", "-export", "-in", c.chain(), "-inkey", c.key(), "-name", service,
		"-passout", "pass:changeit", "-out", own).CombinedOutput(); err != nil {
		return fmt.Errorf("openssl: %w\n%s", err, out)
	}
	if err := os.Remove(next); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for i, root := range certificates(r.t, c.roots()) {
		file := filepath.Join(dir, "root.pem")
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: root.Raw}), 0o600); err != nil {
			return err
		}
		if out, err := exec.Command(program(r.t, "keytool"), "-importcert", "-noprompt", "-storetype", "PKCS12", "-storepass", "changeit",
			"-alias", fmt.Sprint("root-", i), "-file", file, "-keystore", next).CombinedOutput(); err != nil {
			return fmt.Errorf("keytool: %w\n%s", err, out)
		}
	}
	return os.Rename(next, trust)
}

// end stops the client and counts what it did.
func (j *java) end(r *rehearsal) {
	r.t.Helper()
	writeFile(r.t, filepath.Join(j.dir, "stop"), "")
	if err := j.cmd.Wait(); err != nil {
		r.failed("the Java client: %v: %s", err, j.output.String())
	}
	calls := 0
	for line := range strings.Lines(j.output.String()) {
		if failure, ok := strings.CutPrefix(line, "FAILED "); ok {
			r.failed("ledger, in Java, calls %s", failure)
		}
		_, _ = fmt.Sscanf(line, "CALLS %d", &calls)
	}
	if calls < 100 {
		r.failed("the Java client made %d calls: %s", calls, j.output.String())
	}
	r.handshakes.Add(int64(calls))
	r.t.Logf("%d handshakes of them in Java", calls)
}
