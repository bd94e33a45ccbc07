package renew

import "golang.org/x/sys/unix"

// usersOf are the real, effective and saved user of a process.
func usersOf(pid int) ([]uint32, error) {
	p, err := unix.SysctlKinfoProc("kern.proc.pid", pid)
	if err != nil {
		return nil, err
	}
	return []uint32{p.Eproc.Pcred.P_ruid, p.Eproc.Ucred.Uid, p.Eproc.Pcred.P_svuid}, nil
}
