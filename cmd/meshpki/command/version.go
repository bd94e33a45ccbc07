package command

import (
	"context"
	"crypto/fips140"
	"runtime"
	"runtime/debug"

	"github.com/meshpki/meshpki/cmd/meshpki/ui"
)

func versionCommand() *command {
	return &command{
		name:     "version",
		summary:  "print version, commit, Go version and FIPS mode",
		about:    "Prints what this binary is: its version, the commit it was built from, the Go it was built with, and whether it runs in FIPS 140-3 mode (GODEBUG=fips140=on).",
		examples: []example{{"what is this?", "meshpki version"}},
		exits:    exitsOf(codeDone, codeUsage),
		flags:    common(),
		run: func(_ context.Context, c *call) error {
			if _, err := c.arguments(0, 0, ""); err != nil {
				return err
			}
			return c.say(c.env.version())
		},
	}
}

// version is what is known of this binary: from the linker, else from the build.
func (env *Env) version() ui.Version {
	v := ui.Version{Version: env.Version, Commit: env.Commit, Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH, FIPS: fips140.Enabled()}
	if info, ok := debug.ReadBuildInfo(); ok {
		if v.Version == "" && info.Main.Version != "(devel)" {
			v.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" && v.Commit == "" {
				v.Commit = s.Value
			}
		}
	}
	v.Version, v.Commit = orElse(v.Version, "devel"), orElse(v.Commit, "unknown")
	return v
}
