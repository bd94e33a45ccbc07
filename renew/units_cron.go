package renew

import (
	"fmt"
	"strings"
	"time"
)

// Cron is a file for /etc/cron.d, whose name is meshpki: cron takes none with a dot.
func (u Unit) Cron() ([]UnitFile, error) {
	if err := u.check(true); err != nil {
		return nil, err
	}
	_, _, when := u.step()
	args := u.args("--jitter", u.spread().Round(time.Second).String())
	if u.Passphrase != "" {
		args = append(args, "--passphrase-file", u.Passphrase)
	}
	words := make([]string, len(args))
	for i, a := range args {
		words[i] = cronWord(a)
	}
	user := u.User
	if user == "" {
		user = "root"
	}
	var b strings.Builder
	comment(&b, "/etc/cron.d/meshpki, made by meshpki units cron.")
	comment(&b, fmt.Sprintf("A pass every %s: the shortest lifetime under care is %s. With nothing to do it says nothing, and "+
		"so sends no mail; what fails is mailed, and the exit code is 5. It waits for a part of --jitter first. No lock is "+
		"needed around it: meshpki locks each service by itself, and lets go of it when it dies.", inWords(u.Every()), inWords(u.Shortest)))
	comment(&b, "cron catches up with nothing that it missed while the machine was off: the next pass does.")
	if u.WantsDaemon() {
		comment(&b, "Lifetimes under 6 hours are better kept by meshpki renew --daemon.")
	}
	b.WriteString("SHELL=/bin/sh\nMAILTO=root\n")
	fmt.Fprintf(&b, "%s %s %s\n", when, user, strings.Join(words, " "))
	return []UnitFile{{"meshpki", b.String()}}, nil
}

// cronWord quotes a word for the shell, and then for cron, which takes % for the end
// of the line.
func cronWord(s string) string {
	if strings.Trim(s, plainBytes) != "" {
		s = "'" + strings.ReplaceAll(s, "'", `'"'"'`) + "'"
	}
	return strings.ReplaceAll(s, "%", `\%`)
}

// plainBytes mean themselves in a shell and in a unit.
const plainBytes = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:=@,+"

// comment writes a paragraph as lines that begin with #.
func comment(b *strings.Builder, text string) {
	at := 0
	for word := range strings.FieldsSeq(text) {
		switch {
		case at == 0:
			b.WriteString("# ")
			at = 2
		case at+1+len(word) > 80:
			b.WriteString("\n# ")
			at = 2
		default:
			b.WriteByte(' ')
			at++
		}
		b.WriteString(word)
		at += len(word)
	}
	b.WriteByte('\n')
}

// inWords says a duration for a comment.
func inWords(d time.Duration) string {
	switch {
	case d == 0:
		return "not known yet"
	case d%(24*time.Hour) == 0 && d > 24*time.Hour:
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	case d%time.Hour == 0:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d min", d/time.Minute)
}
