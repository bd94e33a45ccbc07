package renew

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// hookEnviron is the whole environment of a hook's program: a fixed PATH, the facts,
// and what env names of meshpki's own. Lists have a line an item.
func hookEnviron(f HookFacts, env []string) []string {
	list := func(items []string) string { return strings.Join(items, "\n") }
	out := append(systemEnviron(f),
		"PATH="+HookPath,
		"MESHPKI_HOOK_SERVICE="+f.Service,
		"MESHPKI_HOOK_NAMESPACE="+f.Namespace,
		"MESHPKI_HOOK_PLACES="+list(f.Places),
		"MESHPKI_HOOK_FILES="+list(f.Files),
		"MESHPKI_HOOK_SERIAL="+f.Serial,
		"MESHPKI_HOOK_PREVIOUS_SERIAL="+f.PreviousSerial,
		"MESHPKI_HOOK_REASON="+f.Reason,
		"MESHPKI_HOOK_NOT_AFTER="+f.NotAfter.UTC().Format(time.RFC3339),
	)
	for _, name := range env {
		if f.Lookup == nil {
			break
		}
		if value, ok := f.Lookup(name); ok {
			out = append(out, name+"="+value)
		}
	}
	return out
}

// ownSecrets are what meshpki may have been given to sign with, or to reach those
// who do. A file of secrets is named by MESHPKI_PASSPHRASE_FILE and its like, and by
// CREDENTIALS_DIRECTORY.
var ownSecrets = []string{
	"CREDENTIALS_DIRECTORY", "VAULT_TOKEN", "VAULT_CLIENT_KEY", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
	"AWS_CONTAINER_AUTHORIZATION_TOKEN",
}

// validateVariable refuses what is no variable's name, what a hook has of its own,
// and our secrets.
func validateVariable(name string) error {
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_"
	upper := strings.ToUpper(name)
	switch {
	case name == "" || strings.Trim(name, letters+"0123456789") != "" || !strings.ContainsRune(letters, rune(name[0])):
		return fmt.Errorf("%q is no name of a variable: letters, digits and '_' only, a letter or '_' first", name)
	case upper == "PATH":
		return errors.New("PATH is fixed for a hook: " + HookPath)
	case strings.HasPrefix(upper, "MESHPKI_HOOK_"):
		return fmt.Errorf("%s is set by meshpki itself", name)
	case upper == "MESHPKI_DIR" || upper == "MESHPKI_CONFIG":
	case strings.HasPrefix(upper, "MESHPKI_"), slices.Contains(ownSecrets, upper):
		return fmt.Errorf("%s is, or leads to, a secret of meshpki's own: no hook is given it", name)
	}
	return nil
}
