package command

import (
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/meshpki/meshpki/backends"
	"github.com/meshpki/meshpki/inspect"
	"github.com/meshpki/meshpki/internal/pemfile"
)

// What is looked at: a file, a directory, standard input, a server, a place.

// sourceHelp is what SOURCE means in a help text.
const sourceHelp = "A SOURCE is a file (PEM with any text around, DER, PKCS#7, PKCS#12, JKS, JCEKS, a SPIFFE bundle, a Kubernetes Secret " +
	"in YAML), a directory, whose files are all read but those in hidden directories, - for standard input, a server (host:port, " +
	"tls://host:port, https://host, or smtp://, imap://, pop3://, ldap://, postgres://, mysql://), or k8s://namespace/secret."

// mostSource is how much is read of a file or a stream.
const mostSource = 80 << 20

// errTooLarge is a source of more than mostSource.
var errTooLarge = fmt.Errorf("larger than %d MiB", mostSource>>20)

// source is one thing to be read.
type source struct {
	name string
	// walked tells a file that was found in a directory: it may well hold nothing of ours.
	walked bool
}

// passesOver tells whether an error says no more than that a file of a directory holds
// nothing of ours.
func (s source) passesOver(err error) bool {
	return s.walked && (errors.Is(err, inspect.ErrNothingFound) || errors.Is(err, pemfile.ErrEmpty) || errors.Is(err, errNoCertificate))
}

// sources puts the files of a directory in its place, in the order of their names.
func (c *call) sources(args []string) (list []source, failed []error) {
	for _, arg := range args {
		info, err := os.Stat(arg)
		if err != nil || !info.IsDir() {
			list = append(list, source{name: arg})
			continue
		}
		files, err := filesIn(arg)
		if err != nil {
			failed = append(failed, err)
		}
		if len(files) == 0 && err == nil {
			failed = append(failed, fmt.Errorf("%s: there is no file in it, or in a directory of it that is not hidden", arg))
		}
		for _, f := range files {
			list = append(list, source{f, true})
		}
	}
	return list, failed
}

// filesIn lists the regular files under a directory, and links to such. Hidden
// directories are passed over: what they hold is an earlier version, or the target of
// the links that are read.
func filesIn(dir string) (files []string, err error) {
	err = filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != dir && strings.HasPrefix(d.Name(), "."):
			return filepath.SkipDir
		case d.Type().IsRegular():
			files = append(files, name)
		case d.Type()&fs.ModeSymlink != 0:
			if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
				files = append(files, name)
			}
		}
		return nil
	})
	return files, err
}

// objects reads a source and finds what is in it; of a directory, in all its files.
func (c *call) objects(name string) ([]inspect.Object, error) {
	list, failed := c.sources([]string{name})
	if len(failed) > 0 {
		return nil, failed[0]
	}
	var all []inspect.Object
	for _, s := range list {
		objects, err := c.look(s)
		switch {
		case s.passesOver(err):
		case err != nil:
			return nil, err
		default:
			all = append(all, objects...)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: %w in any of its files", name, inspect.ErrNothingFound)
	}
	return all, nil
}

// objectsOfFile finds what is in one file, or in standard input, and nowhere else.
func (c *call) objectsOfFile(name string) ([]inspect.Object, error) {
	data, err := c.readSource(name)
	if err != nil {
		return nil, err
	}
	return c.parse(name, data)
}

// look reads one source that is no directory.
func (c *call) look(s source) ([]inspect.Object, error) {
	objects, _, _, err := c.lookAt(s)
	return objects, err
}

// lookAt is look for who wants more of it: served is what else a server shows, data
// the bytes of a file.
func (c *call) lookAt(s source) (objects []inspect.Object, served *inspect.Served, data []byte, err error) {
	name := s.name
	if rest, found := strings.CutPrefix(name, "k8s://"); found && !s.walked {
		objects, err = c.stored("k8s", rest)
		return objects, nil, nil, err
	}
	if !s.walked {
		if e, ok, err := endpointOf(name); ok {
			if err != nil {
				return nil, nil, nil, err
			}
			objects, served, err = c.served(e)
			return objects, served, nil, err
		}
	}
	if data, err = c.readSource(name); err != nil {
		return nil, nil, nil, err
	}
	objects, err = c.parse(name, data)
	return objects, nil, data, err
}

// served asks a server for its chain.
func (c *call) served(e inspect.Endpoint) (objects []inspect.Object, served *inspect.Served, err error) {
	served, err = inspect.Probe(c.Context.Context, inspect.ProbeOptions{Endpoint: e, ServerName: c.optional("server-name")})
	if err != nil {
		return nil, nil, err
	}
	for i, cert := range served.Chain {
		objects = append(objects, inspect.Object{Kind: inspect.KindCertificate, Index: i + 1, DER: cert.Raw, Certificate: cert})
	}
	return objects, served, nil
}

// endpointOf tells a server from a file: by its scheme or, where there is no such
// file, by its port.
func endpointOf(name string) (e inspect.Endpoint, ok bool, err error) {
	if strings.Contains(name, "://") {
		if e, err = inspect.ParseEndpoint(name); err != nil {
			err = usagef("%v", err)
		}
		return e, true, err
	}
	if e, err = inspect.ParseEndpoint(name); err != nil {
		return e, false, nil //nolint:nilerr // a file, then
	}
	_, err = os.Lstat(name)
	return e, errors.Is(err, fs.ErrNotExist), nil
}

// parse finds what is in the bytes of a source.
func (c *call) parse(name string, data []byte) ([]inspect.Object, error) {
	password, err := c.keystorePassword()
	if err != nil {
		return nil, err
	}
	objects, err := inspect.ParseOptions{Password: password}.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return objects, nil
}

// keystorePassword is what opens keystores; nil where nobody said. It is read once,
// for however many sources.
func (c *call) keystorePassword() ([]byte, error) {
	c.passwordOnce.Do(func() { c.password, c.passwordErr = c.readKeystorePassword() })
	return c.password, c.passwordErr
}

func (c *call) readKeystorePassword() ([]byte, error) {
	name := c.optional("keystore-password-file")
	if name == "" {
		name = c.env.Getenv("MESHPKI_KEYSTORE_PASSWORD_FILE")
	}
	if name == "" {
		return nil, nil
	}
	return c.readSecret(name)
}

// stored reads what a place keeps.
func (c *call) stored(scheme, rest string) ([]inspect.Object, error) {
	ref := scheme + "://" + rest
	read := c.env.Registry.Sources[scheme]
	if read == nil {
		return nil, &backends.RefError{Ref: ref, Problem: "is a source that this build does not read"}
	}
	values, err := read(c.Context.Context, rest, c.options())
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ref, err)
	}
	var all []inspect.Object
	for _, v := range values {
		objects, err := c.parse(ref, v.Data)
		if errors.Is(err, inspect.ErrNothingFound) {
			continue // a password, a configuration
		}
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			o.Index, o.Line = len(all)+1, 0
			o.Within = strings.TrimRight(v.Name+": "+o.Within, ": ")
			all = append(all, o)
		}
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: %w", ref, inspect.ErrNothingFound)
	}
	return all, nil
}

// readSource reads a file, or standard input for "-".
func (c *call) readSource(name string) ([]byte, error) {
	if name == "-" {
		return readAtMost(c.env.Stdin, "standard input", -1)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, fmt.Errorf("%s is a directory; name the files in it", name)
	case info.Size() > mostSource:
		return nil, fmt.Errorf("%s: %w", name, errTooLarge)
	case !info.Mode().IsRegular():
		return readAtMost(f, name, -1)
	}
	return readAtMost(f, name, int(info.Size()))
}

// readAtMost reads all of r; size is what it should be, or -1.
func readAtMost(r io.Reader, name string, size int) (data []byte, err error) {
	limited := io.LimitReader(r, mostSource+1)
	if size >= 0 {
		data = make([]byte, size, size+1) // room to see the end in
		n, err := io.ReadFull(limited, data)
		if data = data[:n]; err != nil && !errors.Is(err, io.ErrUnexpectedEOF) && !errors.Is(err, io.EOF) {
			return nil, fmt.Errorf("read %s: %w", name, bare(err))
		}
	} else if data, err = io.ReadAll(limited); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, bare(err))
	}
	switch {
	case len(data) > mostSource:
		return nil, fmt.Errorf("%s: %w", name, errTooLarge)
	case !slices.ContainsFunc(data, func(b byte) bool { return b != ' ' && b != '\t' && b != '\n' && b != '\r' }):
		return nil, fmt.Errorf("%s: %w", name, pemfile.ErrEmpty)
	}
	return data, nil
}

// bare drops the operation and the path from an error that has both in front of it.
func bare(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
}

// unreadable is the error of an object that was found and could not be read.
func unreadable(name string, o inspect.Object) error {
	at := name
	if o.Line > 0 {
		at = fmt.Sprintf("%s:%d", name, o.Line)
	}
	if o.Within != "" {
		at += " (" + o.Within + ")"
	}
	return fmt.Errorf("%s: %w", at, o.Err)
}

// certificates reads sources in which there must be certificates, all of them sound:
// one that cannot be read may be the very one that matters.
func (c *call) certificates(names []string) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for _, name := range names {
		objects, err := c.objects(name)
		if err != nil {
			return nil, err
		}
		for _, o := range objects {
			if o.Err != nil {
				return nil, unreadable(name, o)
			}
		}
		certs := inspect.Certificates(objects)
		if len(certs) == 0 {
			return nil, fmt.Errorf("%s: %w", name, errNoCertificate)
		}
		all = append(all, certs...)
	}
	return all, nil
}

// errNoCertificate is a source in which there is no certificate to be judged.
var errNoCertificate = errors.New("there is no certificate in it")

// allOf tells every error but the last, and gives the last to be told: each
// source has its own sentence.
func (c *call) allOf(failed []error) error {
	if len(failed) == 0 {
		return nil
	}
	for _, err := range failed[:len(failed)-1] {
		tell(c.env, err)
	}
	return failed[len(failed)-1]
}
