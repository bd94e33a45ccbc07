package command

import "testing"

// TestFleetingMount reads mounts as the kubelet makes them.
func TestFleetingMount(t *testing.T) {
	const mounts = `22 1 0:20 / / rw,relatime - overlay overlay rw,lowerdir=/a
30 22 254:1 /var/lib/kubelet/pods/1d/volumes/kubernetes.io~empty-dir/state /state rw - ext4 /dev/vda1 rw
31 22 0:40 / /run/secrets/kubernetes.io/serviceaccount ro - tmpfs tmpfs rw
32 22 254:2 / /data rw,relatime - ext4 /dev/vdb rw
33 32 0:41 / /data/with\040space rw - tmpfs tmpfs rw
nonsense
`
	for path, want := range map[string]bool{
		"/state": true, "/state/pki": true, "/": true, "/etc/meshpki": true, "/data": false, "/data/pki": false, "/database": true,
		"/data/with space/pki": true, "/run/secrets/kubernetes.io/serviceaccount/token": true,
	} {
		if got := fleetingMount(mounts, path); got != want {
			t.Errorf("%s: %t, want %t", path, got, want)
		}
	}
	if fleetingMount("22 1 254:1 / / rw - ext4 /dev/vda1 rw\n", "/var/lib/meshpki") {
		t.Error("a machine's own disk lasts")
	}
}
