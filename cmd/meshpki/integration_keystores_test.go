//go:build integration && linux

package main

import (
	"encoding/asn1"
	"encoding/hex"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// javaMutual serves and calls in one program: an HttpsServer that demands a client
// certificate, and an HttpClient with and without one. Its arguments: the type of the
// stores, the two stores, their password.
const javaMutual = `
import com.sun.net.httpserver.*;
import java.io.*;
import java.net.*;
import java.net.http.*;
import java.nio.file.*;
import java.security.KeyStore;
import javax.net.ssl.*;

public class Mutual {
	static SSLContext context(String type, String own, String trust, char[] word, boolean withKey) throws Exception {
		KeyStore keys = KeyStore.getInstance(type), roots = KeyStore.getInstance(type);
		try (InputStream in = Files.newInputStream(Path.of(own))) { keys.load(in, word); }
		try (InputStream in = Files.newInputStream(Path.of(trust))) { roots.load(in, word); }
		KeyManagerFactory k = KeyManagerFactory.getInstance("PKIX");
		k.init(keys, word);
		TrustManagerFactory t = TrustManagerFactory.getInstance("PKIX");
		t.init(roots);
		SSLContext c = SSLContext.getInstance("TLS");
		c.init(withKey ? k.getKeyManagers() : null, t.getTrustManagers(), null);
		return c;
	}

	public static void main(String[] a) throws Exception {
		char[] word = a[3].toCharArray();
		HttpsServer server = HttpsServer.create(new InetSocketAddress("127.0.0.1", 0), 0);
		server.setHttpsConfigurator(new HttpsConfigurator(context(a[0], a[1], a[2], word, true)) {
			public void configure(HttpsParameters p) {
				SSLParameters s = getSSLContext().getDefaultSSLParameters();
				s.setNeedClientAuth(true);
				p.setSSLParameters(s);
			}
		});
		server.createContext("/", x -> { x.sendResponseHeaders(200, 2); x.getResponseBody().write("ok".getBytes()); x.close(); });
		server.start();
		HttpRequest request = HttpRequest.newBuilder(URI.create("https://127.0.0.1:" + server.getAddress().getPort() + "/")).build();
		for (boolean withKey : new boolean[] {true, false}) {
			try {
				HttpClient client = HttpClient.newBuilder().sslContext(context(a[0], a[1], a[2], word, withKey)).version(HttpClient.Version.HTTP_1_1).build();
				System.out.println(withKey + " " + client.send(request, HttpResponse.BodyHandlers.ofString()).body());
			} catch (IOException e) {
				System.out.println(withKey + " refused");
			}
		}
		server.stop(0);
		System.exit(0);
	}
}
`

// TestKeystoresAreRead: keytool, OpenSSL and GnuTLS read each keystore and trust
// store, and a Java program serves and calls with them.
func TestKeystoresAreRead(t *testing.T) {
	t.Parallel()
	m := newMesh(t)
	dir := t.TempDir()
	password, java := filepath.Join(dir, "password"), filepath.Join(dir, "Mutual.java")
	writeFile(t, password, "changeit\n")
	writeFile(t, java, javaMutual)
	stores := func(name, layout, ending string) (own, trust string) {
		out := filepath.Join(dir, name)
		m.must("issue", "--service", name, "--ip", "127.0.0.1", "--layout", layout, "--out", out, "--keystore-password-file", password)
		return filepath.Join(out, "keystore."+ending), filepath.Join(out, "truststore."+ending)
	}
	for _, test := range []struct{ name, layout, kind, ending string }{
		{"modern", "pkcs12", "PKCS12", "p12"}, {"legacy", "pkcs12:legacy-des", "PKCS12", "p12"}, {"old", "jks", "JKS", "jks"},
	} {
		own, trust := stores(test.name, test.layout, test.ending)
		list := succeed(t, program(t, "keytool"), "-list", "-keystore", own, "-storepass", "changeit", "-storetype", test.kind)
		if !strings.Contains(list, "PrivateKeyEntry") {
			t.Errorf("%s: keytool says\n%s", test.layout, list)
		}
		if list = succeed(t, program(t, "keytool"), "-list", "-keystore", trust, "-storepass", "changeit", "-storetype", test.kind); !strings.Contains(list, "trustedCertEntry") {
			t.Errorf("%s: keytool says\n%s", test.layout, list)
		}
		if got := succeed(t, program(t, "java"), java, test.kind, own, trust, "changeit"); got != "true ok\nfalse refused\n" {
			t.Errorf("%s: Java says\n%s", test.layout, got)
		}
		if test.kind == "JKS" {
			continue
		}
		for _, store := range []struct {
			file        string
			certs, keys int
		}{{own, 2, 1}, {trust, 1, 0}} {
			text := succeed(t, program(t, "openssl"), "pkcs12", "-in", store.file, "-passin", "pass:changeit", "-nodes")
			shown := succeed(t, program(t, "certtool"), "--p12-info", "--inder", "--infile", store.file, "--password", "changeit")
			for by, got := range map[string]string{"OpenSSL": text, "GnuTLS": shown} {
				if strings.Count(got, "BEGIN CERTIFICATE") != store.certs || strings.Count(got, "BEGIN PRIVATE KEY")+strings.Count(got, "BEGIN ENCRYPTED PRIVATE KEY") != store.keys {
					t.Errorf("%s: %s finds in %s\n%s", test.layout, by, filepath.Base(store.file), got)
				}
			}
		}
	}
	newestIsRead(t, stores)
	roots := filepath.Join(dir, "roots.p12")
	m.must("ca", "bundle", "--as", "pkcs12", "--out", roots)
	if list := succeed(t, program(t, "keytool"), "-list", "-keystore", roots, "-storepass", "changeit"); !strings.Contains(list, "trustedCertEntry") {
		t.Errorf("keytool says of the bundle\n%s", list)
	}
	if _, err := os.Stat(password); err != nil {
		t.Error(err)
	}
}

// newestIsRead: of the newest profile, whose MAC (RFC 9579) is read by OpenSSL from 3.4
// and Java from 26 on, the programs at hand read what it holds.
func newestIsRead(t *testing.T, stores func(name, layout, ending string) (own, trust string)) {
	t.Helper()
	own, trust := stores("newest", "pkcs12:modern-2026", "p12")
	for file, certs := range map[string]int{own: 2, trust: 1} {
		text := succeed(t, program(t, "openssl"), "pkcs12", "-in", file, "-passin", "pass:changeit", "-nodes", "-nomacver")
		shown := run(t, program(t, "certtool"), "--p12-info", "--inder", "--infile", file, "--password", "changeit").stdout
		if strings.Count(text, "BEGIN CERTIFICATE") != certs || strings.Count(shown, "BEGIN CERTIFICATE") != certs {
			t.Errorf("of %s OpenSSL reads\n%s\nand GnuTLS\n%s", filepath.Base(file), text, shown)
		}
		if !macHolds(t, file, "changeit") || macHolds(t, file, "changeIt") {
			t.Errorf("the MAC of %s is not what OpenSSL makes of it by RFC 9579", filepath.Base(file))
		}
	}
}

// macHolds has OpenSSL make the MAC of a PKCS#12 file by RFC 9579, Section 3, for what is
// in it, and compares: programs of today cannot check one themselves.
func macHolds(t *testing.T, file, password string) bool {
	t.Helper()
	data, err := os.ReadFile(file)
	must(t, err)
	type algorithm struct {
		OID        asn1.ObjectIdentifier
		Parameters asn1.RawValue `asn1:"optional"`
	}
	var pfx struct { // RFC 7292, Section 4
		Version  int
		AuthSafe struct {
			OID     asn1.ObjectIdentifier
			Content []byte `asn1:"explicit,tag:0"`
		}
		Mac struct {
			Digest struct {
				Algorithm algorithm
				Digest    []byte
			}
			Salt       []byte
			Iterations int `asn1:"optional,default:1"`
		}
	}
	var mac struct{ KDF, MAC algorithm } // RFC 8018, Appendix A.5
	var kdf struct {
		Salt               []byte
		Iterations, Length int
		PRF                algorithm
	}
	for _, part := range []struct {
		from func() []byte
		into any
	}{
		{func() []byte { return data }, &pfx},
		{func() []byte { return pfx.Mac.Digest.Algorithm.Parameters.FullBytes }, &mac},
		{func() []byte { return mac.KDF.Parameters.FullBytes }, &kdf},
	} {
		_, err := asn1.Unmarshal(part.from(), part.into)
		must(t, err)
	}
	for oid, want := range map[string]string{pfx.Mac.Digest.Algorithm.OID.String(): "1.2.840.113549.1.5.14", mac.KDF.OID.String(): "1.2.840.113549.1.5.12",
		kdf.PRF.OID.String(): "1.2.840.113549.2.9", mac.MAC.OID.String(): "1.2.840.113549.2.9"} {
		if oid != want {
			t.Errorf("%s has an algorithm %s, and not %s", filepath.Base(file), oid, want)
		}
	}
	hexOf := func(args ...string) string {
		return strings.ToLower(strings.ReplaceAll(strings.TrimSpace(succeed(t, program(t, "openssl"), args...)), ":", ""))
	}
	key := hexOf("kdf", "-keylen", strconv.Itoa(kdf.Length), "-kdfopt", "digest:SHA256", "-kdfopt", "pass:"+password, "-kdfopt", "hexsalt:"+hex.EncodeToString(kdf.Salt),
		"-kdfopt", "iter:"+strconv.Itoa(kdf.Iterations), "PBKDF2")
	content := filepath.Join(t.TempDir(), "content")
	must(t, os.WriteFile(content, pfx.AuthSafe.Content, 0o600))
	return hexOf("mac", "-digest", "SHA256", "-macopt", "hexkey:"+key, "-in", content, "HMAC") == hex.EncodeToString(pfx.Mac.Digest.Digest)
}
