package command

// ownerOf is not asked for here: neither systemd nor cron is.
func ownerOf(string) string { return "" }

// openFiles: nobody waits for the disk together here.
func openFiles() int { return 0 }
