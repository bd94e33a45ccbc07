package renew

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

func unit() Unit {
	return Unit{Program: "/usr/local/bin/meshpki", Dir: "/var/lib/meshpki", Config: "/etc/meshpki/meshpki.yaml", Shortest: 30 * 24 * time.Hour}
}

// text is the only, or the first, of the files.
func text(t *testing.T, files []UnitFile, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return files[0].Text
}

func wantLine(t *testing.T, text, line string, want bool) {
	t.Helper()
	if has := slices.Contains(strings.Split(text, "\n"), line); has != want {
		t.Errorf("the line %q is there: %t, want %t, in\n%s", line, has, want, text)
	}
}

func TestUnitsLeaveOpenWhatIsNeeded(t *testing.T) {
	u := unit()
	files, err := u.SystemdUnits()
	closed := text(t, files, err)
	for _, line := range []string{"CapabilityBoundingSet=", "ProtectHome=yes", "PrivateTmp=yes", "PrivateDevices=yes", "PrivateNetwork=yes",
		"ProtectProc=invisible", "ReadWritePaths=/var/lib/meshpki", "LimitCORE=0", "ProtectSystem=strict"} {
		wantLine(t, closed, line, true)
	}
	for _, test := range []struct {
		name, open string
		closed     string // the line that it opens
		change     func(*Unit)
	}{
		{"owners", "CapabilityBoundingSet=CAP_CHOWN CAP_DAC_OVERRIDE CAP_FOWNER", "CapabilityBoundingSet=", func(u *Unit) { u.Owners = []string{"/x"} }},
		{"signals", "CapabilityBoundingSet=CAP_KILL", "ProtectProc=invisible", func(u *Unit) { u.Signals = []string{"a.b"} }},
		{"a device", "PrivateDevices=no", "PrivateDevices=yes", func(u *Unit) { u.Devices = []string{"issuing (tpmkms)"} }},
		{"the network", "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6", "PrivateNetwork=yes", func(u *Unit) { u.Network = []string{"a.b"} }},
		{"this machine", "IPAddressAllow=localhost", "PrivateNetwork=yes", func(u *Unit) { u.Loopback = []string{"a.b"} }},
		{"a home", "ProtectHome=read-only", "ProtectHome=yes", func(u *Unit) { u.Places = []string{"/home/me/tls"} }},
		{"a root's home", "ProtectHome=read-only", "ProtectHome=yes", func(u *Unit) { u.Config = "/root/meshpki.yaml" }},
		{"a temporary place", "PrivateTmp=no", "PrivateTmp=yes", func(u *Unit) { u.Dir = "/var/tmp/pki" }},
		{"a user", "PrivateUsers=yes", "", func(u *Unit) { u.User = "meshpki" }},
		{"a passphrase", "LoadCredential=passphrase:/etc/my secret", "", func(u *Unit) { u.Passphrase = "/etc/my secret" }},
	} {
		u := unit()
		test.change(&u)
		files, err := u.SystemdUnits()
		got := text(t, files, err)
		wantLine(t, got, test.open, true)
		if test.closed != "" {
			wantLine(t, closed, test.closed, true)
			wantLine(t, got, test.closed, false)
		}
	}
}

func TestUnitsQuote(t *testing.T) {
	u := unit()
	u.Program, u.Dir = `/opt/my $bin/100%/q`, `/srv/it's $5 "100%"/pki`
	files, err := u.SystemdUnits()
	got := text(t, files, err)
	wantLine(t, got, `ExecStart="/opt/my $bin/100%%/q" renew --dir "/srv/it's $$5 \"100%%\"/pki" --config /etc/meshpki/meshpki.yaml`, true)
	wantLine(t, got, `ReadWritePaths="/srv/it's $5 \"100%%\"/pki"`, true)
	files, err = u.Cron()
	got = text(t, files, err)
	if want := `17 3 * * * root '/opt/my $bin/100\%/q' renew --jitter 30m0s --dir '/srv/it'"'"'s $5 "100\%"/pki' --config `; !strings.Contains(got, "\n"+want) {
		t.Errorf("%q is not in\n%s", want, got)
	}
}

func TestUnitsRefuse(t *testing.T) {
	for name, change := range map[string]func(*Unit){
		"a line feed":          func(u *Unit) { u.Dir = "/srv/x\nExecStartPre=/bin/sh" },
		"a carriage return":    func(u *Unit) { u.Config = "/srv/x\r" },
		"a control character":  func(u *Unit) { u.Places = []string{"/srv/\x1b[31m"} },
		"the other direction":  func(u *Unit) { u.Places = []string{"/srv/\u202e"} },
		"no UTF-8":             func(u *Unit) { u.Program = "/bin/\xff" },
		"a backslash":          func(u *Unit) { u.Passphrase = `/etc/x\` },
		"a space at the end":   func(u *Unit) { u.Passphrase = "/etc/x " },
		"no path of a program": func(u *Unit) { u.Program = `relative"` },
		"a relative path":      func(u *Unit) { u.Dir = "pki" },
		"a user with options":  func(u *Unit) { u.User = "-x" },
		"a user with a line":   func(u *Unit) { u.User = "x\nUser=root" },
		"a user with a space":  func(u *Unit) { u.User = "x root" },
		"a time with a line":   func(u *Unit) { u.OnCalendar = "daily\n[Service]" },
		"a time with specifer": func(u *Unit) { u.OnCalendar = "%h" },
	} {
		u := unit()
		change(&u)
		if files, err := u.SystemdUnits(); !errors.Is(err, ErrUnit) {
			t.Errorf("%s: systemd: %v, error %v", name, files, err)
		}
		if files, err := u.Cron(); !errors.Is(err, ErrUnit) {
			t.Errorf("%s: cron: %v, error %v", name, files, err)
		}
	}
}

// What only a comment shows can be nothing else.
func TestUnitsComments(t *testing.T) {
	u := unit()
	u.Programs = []string{"/bin/x\nUser=root", "/bin/y\\", "/bin/z\x1b[31m"}
	files, err := u.SystemdUnits()
	got := text(t, files, err)
	if strings.Contains(got, "\nUser=root") || strings.Contains(got, `\`) || strings.Contains(got, "\x1b") {
		t.Errorf("a hook's program got out of its comment:\n%s", got)
	}
}

// From day to day there is time for many passes to fail.
func TestUnitsEvery(t *testing.T) {
	for _, test := range []struct {
		life, every time.Duration
		daemon      bool
	}{
		{0, 6 * time.Hour, false},
		{365 * 24 * time.Hour, 24 * time.Hour, false},
		{30 * 24 * time.Hour, 24 * time.Hour, false},
		{7 * 24 * time.Hour, 6 * time.Hour, false},
		{24 * time.Hour, time.Hour, false},
		{6 * time.Hour, 15 * time.Minute, false},
		{5 * time.Hour, 5 * time.Minute, true},
		{time.Hour, time.Minute, true},
		{5 * time.Minute, time.Minute, true},
	} {
		u := unit()
		u.Shortest = test.life
		if every := u.Every(); every != test.every || u.WantsDaemon() != test.daemon {
			t.Errorf("a life of %s: a pass every %s, a daemon %t; want %s, %t", test.life, every, u.WantsDaemon(), test.every, test.daemon)
		}
		if test.life >= enough && test.every > test.life/3/8 {
			t.Errorf("a life of %s: %s is too rare", test.life, test.every)
		}
	}
}

func FuzzUnits(f *testing.F) {
	f.Add("/var/lib/meshpki", "meshpki", "daily")
	f.Add("/a b%\"'$\\", "x\ny", "*:0/15")
	f.Fuzz(func(t *testing.T, path, user, when string) {
		u := unit()
		u.Dir, u.User, u.OnCalendar, u.Places = path, user, when, []string{path}
		plain := unit()
		plain.User, plain.OnCalendar, plain.Places = "u", "daily", []string{"/p"}
		got, err := u.SystemdUnits()
		want, _ := plain.SystemdUnits()
		if err != nil {
			return
		}
		for i := range got {
			a, b := keysOf(got[i].Text), keysOf(want[i].Text)
			a = slices.DeleteFunc(a, func(k string) bool { return k == "User" || k == "PrivateUsers" })
			b = slices.DeleteFunc(b, func(k string) bool { return k == "User" || k == "PrivateUsers" })
			if !slices.Equal(a, b) {
				t.Errorf("%q, %q, %q give other settings:\n%s", path, user, when, got[i].Text)
			}
		}
	})
}

// keysOf lists the settings of a unit.
func keysOf(text string) (keys []string) {
	for line := range strings.SplitSeq(text, "\n") {
		if key, _, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			keys = append(keys, key)
		}
	}
	return keys
}
