package renew

import (
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"
)

// Names of the units.
const (
	onceService   = "meshpki-renew.service"
	onceTimer     = "meshpki-renew.timer"
	daemonService = "meshpki.service"
)

// SystemdUnits are the units of a systemd of version 247 or later: a service and its
// timer or, for a daemon, one service.
func (u Unit) SystemdUnits() ([]UnitFile, error) {
	if err := u.check(false); err != nil {
		return nil, err
	}
	if u.Daemon {
		return []UnitFile{{daemonService, u.service()}}, nil
	}
	return []UnitFile{{onceService, u.service()}, {onceTimer, u.timer()}}, nil
}

// unitText is a unit in the making.
type unitText struct{ strings.Builder }

func (t *unitText) set(key, value string) { fmt.Fprintf(t, "%s=%s\n", key, value) }

func (t *unitText) comment(text string) { comment(&t.Builder, text) }

// yes are settings that are switched on.
func (t *unitText) yes(keys ...string) {
	for _, k := range keys {
		t.set(k, "yes")
	}
}

func (u Unit) service() string {
	t := &unitText{}
	if u.Daemon {
		t.comment(daemonService + ", made by meshpki units systemd --daemon.")
	} else {
		t.comment(onceService + ", made by meshpki units systemd. " + onceTimer + " starts it.")
	}
	t.comment("Have failures told, by OnFailure=: services do not notice a renewal that fails until it is too late.")
	t.WriteString("[Unit]\nDescription=Renew certificates that are due (meshpki)\n")
	t.set("Documentation", "https://github.com/meshpki/meshpki/blob/main/docs/running.md")
	if len(u.Network) > 0 {
		t.set("Wants", "network-online.target")
		t.set("After", "time-sync.target network-online.target")
	} else {
		t.set("After", "time-sync.target")
	}
	t.WriteString("\n[Service]\n")
	u.start(t)
	u.identity(t)
	u.files(t)
	u.network(t)
	u.kernel(t)
	if u.Daemon {
		t.WriteString("\n[Install]\nWantedBy=multi-user.target\n")
	}
	return t.String()
}

// start says what is run, and how it is told from one that hangs.
func (u Unit) start(t *unitText) {
	if !u.Daemon {
		t.set("Type", "oneshot")
		t.set("ExecStart", execLine(u.args()))
		t.comment("A pass ends by itself: its hooks have limits. This one is for what nobody thought of.")
		t.set("TimeoutStartSec", "1h")
		return
	}
	t.set("Type", "notify")
	t.set("NotifyAccess", "main")
	t.set("ExecStart", execLine(u.args("--daemon")))
	t.comment("A reload fails where the manifest is wrong, and the daemon keeps the one that it has.")
	t.set("ExecReload", execLine(u.args("--dry-run")))
	t.set("ExecReload", "/bin/kill -HUP $MAINPID")
	t.set("WatchdogSec", "3min")
	t.set("Restart", "on-failure")
	t.set("RestartSec", "10s")
	t.comment("A swap in hand is finished or undone before it ends.")
	t.set("TimeoutStopSec", "2min")
}

// identity says whose process it is, and what it may do besides.
func (u Unit) identity(t *unitText) {
	t.WriteByte('\n')
	var caps []string
	if len(u.Owners) > 0 {
		t.comment("It runs as root with three capabilities, and no others, since files are given to other users: " +
			list(u.Owners) + ". CAP_CHOWN gives them, CAP_FOWNER sets their modes, CAP_DAC_OVERRIDE writes in the directories of their owners.")
		caps = append(caps, "CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER")
	}
	if len(u.Signals) > 0 && u.User == "" {
		t.comment("CAP_KILL signals the processes of other users: " + list(u.Signals) + ".")
		caps = append(caps, "CAP_KILL")
	}
	if u.User != "" {
		t.set("User", u.User)
	} else if len(caps) == 0 {
		t.comment("It runs as root, to whom all of its files belong, without any of root's capabilities.")
	}
	t.set("CapabilityBoundingSet", strings.Join(caps, " "))
	t.set("AmbientCapabilities", "")
	t.yes("NoNewPrivileges")
	if len(u.Systemd) > 0 && u.User != "" {
		t.comment("The hooks of " + list(u.Systemd) + " have systemd act on a unit, over D-Bus: the user " + u.User +
			" needs a rule of polkit for org.freedesktop.systemd1.manage-units.")
	}
	if len(u.Programs) > 0 {
		t.comment("Hooks run programs, in this very sandbox: " + list(u.Programs) + ". One that needs more is better " +
			"started by systemd: systemctl: {unit: NAME} in the hook.")
	}
	if u.Passphrase != "" {
		t.comment("The passphrase of the CA's key is read by systemd, and handed over in memory.")
		t.set("LoadCredential", "passphrase:"+percent(u.Passphrase))
		t.set("Environment", "MESHPKI_PASSPHRASE_FILE=%d/passphrase")
	}
}

// files says what can be written and seen.
func (u Unit) files(t *unitText) {
	t.WriteByte('\n')
	t.set("ProtectSystem", "strict")
	for _, path := range append([]string{u.Dir}, u.Places...) {
		t.set("ReadWritePaths", pathWord(path))
	}
	if in := u.under("/home", "/root", "/run/user"); len(in) > 0 {
		t.comment("Not ProtectHome=yes: it would hide " + list(in) + ".")
		t.set("ProtectHome", "read-only")
	} else {
		t.yes("ProtectHome")
	}
	if in := u.under("/tmp", "/var/tmp"); len(in) > 0 {
		t.comment("Not PrivateTmp=yes: it would hide " + list(in) + ".")
		t.set("PrivateTmp", "no")
	} else {
		t.yes("PrivateTmp")
	}
	if len(u.Devices) > 0 {
		t.comment("Not PrivateDevices=yes: a CA's key is kept in a device: " + list(u.Devices) + ". DeviceAllow= can name it.")
		t.set("PrivateDevices", "no")
	} else {
		t.yes("PrivateDevices")
		t.set("DevicePolicy", "closed")
	}
	t.yes("PrivateMounts")
	t.set("UMask", "0077")
	t.comment("No key ends in a core dump.")
	t.set("LimitCORE", "0")
}

// network says with whom it may speak.
func (u Unit) network(t *unitText) {
	t.WriteByte('\n')
	if len(u.Network) > 0 {
		t.comment("The network is needed by " + list(u.Network) + ".")
		t.set("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6")
		return
	}
	if len(u.Loopback) > 0 {
		t.comment("Of the network only this very machine is needed, by " + list(u.Loopback) + ".")
		t.set("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6")
		t.set("IPAddressDeny", "any")
		t.set("IPAddressAllow", "localhost")
		return
	}
	t.comment("It needs no network. AF_UNIX is for systemd, and for sockets of hooks.")
	t.set("RestrictAddressFamilies", "AF_UNIX")
	t.yes("PrivateNetwork")
	t.set("IPAddressDeny", "any")
}

// kernel is the rest of what a program like this has no use for.
func (u Unit) kernel(t *unitText) {
	t.WriteByte('\n')
	t.yes("ProtectClock", "ProtectControlGroups", "ProtectHostname", "ProtectKernelLogs", "ProtectKernelModules", "ProtectKernelTunables",
		"RestrictNamespaces", "RestrictRealtime", "RestrictSUIDSGID", "LockPersonality", "MemoryDenyWriteExecute", "RemoveIPC")
	t.set("KeyringMode", "private")
	if len(u.Signals) > 0 {
		t.comment("Not ProtectProc=invisible: hooks look whose process it is that they signal: " + list(u.Signals) + ".")
	} else {
		t.set("ProtectProc", "invisible")
		t.set("ProcSubset", "pid")
	}
	if u.User != "" && len(u.Signals)+len(u.Devices)+len(u.Programs)+len(u.Systemd) == 0 {
		t.yes("PrivateUsers")
	}
	t.set("SystemCallArchitectures", "native")
	t.set("SystemCallFilter", "@system-service")
	if len(u.Owners) > 0 {
		t.comment("Of what is privileged only the calls that give files away.")
	}
	t.set("SystemCallFilter", "~@privileged @resources")
	if len(u.Owners) > 0 {
		t.set("SystemCallFilter", "@chown")
	}
	t.set("SystemCallErrorNumber", "EPERM")
}

func (u Unit) timer() string {
	t := &unitText{}
	t.comment(onceTimer + ", made by meshpki units systemd.")
	_, when, _ := u.step()
	if u.OnCalendar != "" {
		when = u.OnCalendar
	} else {
		t.comment(fmt.Sprintf("A pass every %s: the shortest lifetime under care is %s, and eight passes or more may fail in the third of "+
			"it in which it is due.", inWords(u.Every()), inWords(u.Shortest)))
	}
	if u.WantsDaemon() {
		t.comment("Lifetimes under 6 hours are better kept by a daemon: meshpki units systemd --daemon.")
	}
	t.WriteString("[Unit]\nDescription=Renew certificates that are due (meshpki)\n")
	t.WriteString("\n[Timer]\n")
	t.set("OnCalendar", when)
	t.comment("Each machine at its own time, and the same one each day.")
	t.set("RandomizedDelaySec", fmt.Sprintf("%ds", u.spread()/time.Second))
	t.set("FixedRandomDelay", "yes")
	t.set("AccuracySec", "1s")
	t.comment("What was missed while the machine was off is made up for.")
	t.set("Persistent", "yes")
	t.WriteString("\n[Install]\nWantedBy=timers.target\n")
	return t.String()
}

// percent keeps systemd from taking a % for one of its specifiers.
func percent(s string) string { return strings.ReplaceAll(s, "%", "%%") }

// pathWord quotes a path of a list of paths.
func pathWord(s string) string {
	if strings.Trim(s, plainBytes) == "" {
		return s
	}
	return `"` + strings.ReplaceAll(percent(s), `"`, `\"`) + `"`
}

// execLine quotes the words of a command line. In the program's own, a dollar sign is
// no variable; in all others it would be.
func execLine(args []string) string {
	words := make([]string, len(args))
	for i, a := range args {
		if words[i] = pathWord(a); i > 0 {
			words[i] = strings.ReplaceAll(words[i], "$", "$$")
		}
	}
	return strings.Join(words, " ")
}

// list names what a setting is for, the first few of it, so that nothing in a name
// could be more than a comment.
func list(names []string) string {
	const most = 5
	names = slices.Clone(names)
	for i, n := range names {
		names[i] = strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) || r == '\\' {
				return '?'
			}
			return r
		}, n)
	}
	if len(names) > most {
		return strings.Join(names[:most], ", ") + fmt.Sprintf(" and %d more", len(names)-most)
	}
	return strings.Join(names, ", ")
}
