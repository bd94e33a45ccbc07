package durable

// Trusted says nothing here: who may write is in access lists, which are not read.
func Trusted(string, int) error { return nil }

func openTrusted(path string, _ Owner, _ bool) (*Dir, error) { return OpenDir(path) }

func plain(string) bool { return true }

func ownAlone(Info) bool { return true }
