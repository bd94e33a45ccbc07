package renew

import (
	"errors"
	"os"
	"strconv"
	"strings"
)

// usersOf are the real, effective and saved user of a process (proc_pid_status(5)):
// one that runs a set-user-ID program has the rights of both.
func usersOf(pid int) ([]uint32, error) {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return nil, err
	}
	for line := range strings.Lines(string(status)) {
		fields := strings.Fields(line)
		if len(fields) < 4 || fields[0] != "Uid:" {
			continue
		}
		var out []uint32
		for _, field := range fields[1:4] {
			n, err := strconv.ParseUint(field, 10, 32)
			if err != nil {
				return nil, err
			}
			out = append(out, uint32(n))
		}
		return out, nil
	}
	return nil, errors.New("its status does not say whose it is")
}
