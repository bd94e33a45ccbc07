package config

import (
	"testing"
	"time"
)

// A service has its own change windows, else those of the defaults; an empty list
// takes them away.
func TestWindowsOf(t *testing.T) {
	m, err := Parse("m.yaml", []byte(`apiVersion: meshpki/v1
defaults:
  windows: [{cron: "0 2 * * 2", for: 3h, zone: Europe/Berlin}]
services:
  - name: usual
  - name: own
    windows:
      - {cron: "30 22 * * mon-fri", for: 1h30m}
      - {cron: "0 0 L * *", for: 1d, zone: Local}
  - name: any
    windows: []
`))
	if err != nil {
		t.Fatal(err)
	}
	want := [][]string{{"0 2 * * 2 for 3h0m0s, Europe/Berlin"}, {"30 22 * * mon-fri for 1h30m0s, UTC", "0 0 L * * for 1d, Local"}, {}}
	for i := range m.Services {
		got := m.WindowsOf(&m.Services[i])
		if len(got) != len(want[i]) {
			t.Fatalf("%s has %d windows, want %d", m.Services[i].Name, len(got), len(want[i]))
		}
		for k, w := range got {
			if w.String() != want[i][k] {
				t.Errorf("%s has %s, want %s", m.Services[i].Name, w, want[i][k])
			}
		}
	}
	tuesday := time.Date(2026, 11, 24, 1, 30, 0, 0, time.UTC)
	if w := m.WindowsOf(&m.Services[0])[0]; !w.Open(tuesday) || w.Open(tuesday.Add(-time.Hour)) {
		t.Errorf("%s at %s", w, tuesday)
	}
	if place := m.Services[1].Windows[1].Place; place != (Place{9, 9}) {
		t.Errorf("it stands at %v", place)
	}
}

func TestParseRefusesWindows(t *testing.T) {
	const service = "services:\n  - name: a\n    windows: "
	const fields = " is no cron expression: five fields are expected (minute, hour, day of the month, month, day of the week)"
	run(t, []wrong{
		{service + "{cron: 0 2 * * 2}\n", "m.yaml:4:14: services[0].windows: keys where a list is expected", ""},
		{service + "[0 2 * * 2]\n", "m.yaml:4:15: services[0].windows[0]: one text where keys are expected", "known here: cron, for, zone"},
		{service + "[{for: 3h}]\n", "m.yaml:4:15: services[0].windows[0]: cron is missing", "for example: cron: 0 2 * * 2"},
		{service + "[{cron: 0 2 * * 2}]\n", "m.yaml:4:15: services[0].windows[0]: for is missing", "for example: for: 3h"},
		{service + "[{cron: 0 2 * *, for: 3h}]\n", `m.yaml:4:22: services[0].windows[0].cron: "0 2 * *"` + fields, ""},
		{service + "[{cron: '@weekly', for: 3h}]\n", `m.yaml:4:22: services[0].windows[0].cron: "@weekly"` + fields, ""},
		{service + "[{cron: 0 24 * * 2, for: 3h}]\n", `m.yaml:4:22: services[0].windows[0].cron: "0 24 * * 2" is no cron expression: syntax error in hour field: '24'`, ""},
		{"defaults: {windows: [{cron: 0 0 30 2 *, for: 3h}]}\n", `m.yaml:2:29: defaults.windows[0].cron: "0 0 30 2 *" names no day that ever comes`, ""},
		{service + "[{cron: 0 2 * * 2, for: 30s}]\n", "m.yaml:4:38: services[0].windows[0].for: a change window of 30s: 1m to 7d is right", ""},
		{service + "[{cron: 0 2 * * 2, for: 8d}]\n", "m.yaml:4:38: services[0].windows[0].for: a change window of 8d: 1m to 7d is right", ""},
		{service + "[{cron: 0 2 * * 2, for: 3h, zone: Europe/Berln}]\n",
			`m.yaml:4:48: services[0].windows[0].zone: "Europe/Berln" is no time zone that this machine knows: a name such as Europe/Berlin, UTC or Local is expected`, ""},
		{service + "[{cron: 0 2 * * 2, for: 3h, length: 1h}]\n", `m.yaml:4:42: services[0].windows[0]: unknown key "length"`, "known here: cron, for, zone"},
	})
}
