package renew

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Unit is what the files that run the renewal have to know. All paths are absolute.
type Unit struct {
	Program, Dir string
	Config       string // the manifest; "" where there is none
	Passphrase   string // the file with the passphrase of the CA's key; "" where it has none
	User         string // whose process it is; "" is root
	// Places are written besides the directory.
	Places []string
	// Shortest is the shortest lifetime under care; zero where nothing is.
	Shortest time.Duration
	// Daemon has a service that stays; else one that makes a pass and ends.
	Daemon bool
	// OnCalendar, if not empty, is when passes are made, as systemd writes it.
	OnCalendar string

	// What the sandbox has to leave open, each with who needs it; none needs nothing.
	Owners   []string // places whose files are given to somebody else
	Signals  []string // services whose hook signals another user's process
	Programs []string // that hooks run
	Network  []string // who speaks to the network
	Loopback []string // who speaks to this machine alone
	Systemd  []string // services whose hook has systemd act on a unit
	Devices  []string // keys that are kept in a device
}

// UnitFile is one of the files.
type UnitFile struct {
	Name, Text string
}

// enough is the lifetime from which on a timer is: below it a pass that fails leaves
// too little time for the next ones.
const enough = 6 * time.Hour

// WantsDaemon tells whether lifetimes are too short for a timer.
func (u Unit) WantsDaemon() bool { return u.Shortest > 0 && u.Shortest < enough }

// steps are how far passes may be apart, with what systemd and cron call that.
var unitSteps = [...]struct {
	every          time.Duration
	calendar, cron string
}{
	{24 * time.Hour, "*-*-* 03:17:00", "17 3 * * *"},
	{12 * time.Hour, "*-*-* 03/12:17:00", "17 3,15 * * *"},
	{6 * time.Hour, "*-*-* 00/6:17:00", "17 */6 * * *"},
	{2 * time.Hour, "*-*-* 00/2:17:00", "17 */2 * * *"},
	{time.Hour, "*-*-* *:17:00", "17 * * * *"},
	{30 * time.Minute, "*-*-* *:17/30:00", "17,47 * * * *"},
	{15 * time.Minute, "*-*-* *:02/15:00", "2-59/15 * * * *"},
	{5 * time.Minute, "*-*-* *:02/5:00", "2-59/5 * * * *"},
	{time.Minute, "*-*-* *:*:00", "* * * * *"},
}

// step is the longest that leaves eight passes in the third of the shortest lifetime
// in which it is due; six hours where nothing is known.
func (u Unit) step() (every time.Duration, calendar, cron string) {
	longest := 6 * time.Hour
	if u.Shortest > 0 {
		longest = u.Shortest / 3 / 8
	}
	for _, s := range unitSteps {
		if s.every <= longest {
			return s.every, s.calendar, s.cron
		}
	}
	last := unitSteps[len(unitSteps)-1]
	return last.every, last.calendar, last.cron
}

// Every is how far passes are apart.
func (u Unit) Every() time.Duration {
	every, _, _ := u.step()
	return every
}

// spread is by how much machines are apart that have the same timer.
func (u Unit) spread() time.Duration { return min(u.Every()/4, 30*time.Minute) }

// ErrUnit says that something cannot stand in such a file.
var ErrUnit = errors.New("cannot be written into such a file")

// check refuses what could not be read back as it was meant, whatever its quotes.
func (u Unit) check(cron bool) error {
	for _, path := range append([]string{u.Program, u.Dir, u.Config, u.Passphrase}, u.Places...) {
		switch {
		case path == "":
		case !strings.HasPrefix(path, "/"):
			return fmt.Errorf("the path %+q %w: it is not absolute", path, ErrUnit)
		case !utf8.ValidString(path) || strings.ContainsFunc(path, func(r rune) bool { return !unicode.IsPrint(r) }):
			return fmt.Errorf("the path %+q %w: it has a character in it that is not to be seen", path, ErrUnit)
		case strings.TrimSpace(path) != path:
			return fmt.Errorf("the path %+q %w: it ends with a space", path, ErrUnit)
		case strings.Contains(path, `\`):
			return fmt.Errorf("the path %+q %w: it has a backslash in it", path, ErrUnit)
		}
	}
	if !cron && strings.ContainsAny(u.Program, `"'`) {
		return fmt.Errorf("the path %+q %w: systemd runs no program with a quotation mark in its path", u.Program, ErrUnit)
	}
	if strings.ContainsFunc(u.User, func(r rune) bool {
		return r != '-' && r != '_' && r != '.' && (r > '~' || !unicode.IsLetter(r) && !unicode.IsDigit(r))
	}) || strings.HasPrefix(u.User, "-") {
		return fmt.Errorf("the user %+q %w: letters, digits, '-', '_' and '.' are expected", u.User, ErrUnit)
	}
	if cron && u.OnCalendar != "" || strings.ContainsFunc(u.OnCalendar, func(r rune) bool { return r < ' ' || r > '~' || r == '%' || r == '\\' }) {
		return fmt.Errorf("the time %+q %w: a calendar event as systemd writes it is expected", u.OnCalendar, ErrUnit)
	}
	return nil
}

// args are the words of a command line that renews.
func (u Unit) args(more ...string) []string {
	args := append([]string{u.Program, "renew"}, more...)
	args = append(args, "--dir", u.Dir)
	if u.Config != "" {
		args = append(args, "--config", u.Config)
	}
	return args
}

// under tells which of the paths lie in one of those directories.
func (u Unit) under(dirs ...string) []string {
	var found []string
	for _, path := range append([]string{u.Program, u.Dir, u.Config}, u.Places...) {
		for _, dir := range dirs {
			if (path == dir || strings.HasPrefix(path, dir+"/")) && !slices.Contains(found, path) {
				found = append(found, path)
			}
		}
	}
	return found
}
