package command

// ownerOf is not asked for here: neither systemd nor cron is.
func ownerOf(string) string { return "" }
