package command

import (
	"context"
	"io"
	"log/slog"
	"time"

	"github.com/meshpki/meshpki/cmd/meshpki/ui"
	"github.com/meshpki/meshpki/renew"
)

// journal writes the events of a daemon as lines of a log. It is the only logger
// there is: the domain tells of events.
type journal struct{ handler slog.Handler }

// newJournal writes text, or JSON, to w.
func newJournal(w io.Writer, form string) *journal {
	if form == "json" {
		return &journal{slog.NewJSONHandler(safeJSON{w}, nil)}
	}
	return &journal{slog.NewTextHandler(w, nil)} // it quotes what is not printable
}

// safeJSON escapes what a terminal must not get. A line is one write.
type safeJSON struct{ w io.Writer }

func (s safeJSON) Write(line []byte) (int, error) {
	if _, err := s.w.Write(ui.EscapeJSON(line)); err != nil {
		return 0, err
	}
	return len(line), nil
}

// said is what an event is called in the log, where it went well and where not.
var said = map[renew.EventKind][2]string{
	renew.EventRenewed:   {"renewed", "renewed"},
	renew.EventDelivered: {"delivered again", "delivered again"},
	renew.EventServed:    {"served", "served"},
	renew.EventStep:      {"hook step done", ""},
	renew.EventConfirm:   {"seen to be served", ""},
	renew.EventFailed:    {"failed", "failed"},
	renew.EventAltered:   {"not as ordered, which is tolerated", ""},
	renew.EventLooked:    {"looked at everything", "could not look at everything"},
	renew.EventReady:     {"ready", "ready"},
	renew.EventReloading: {"reloading", "reloading"},
	renew.EventReloaded:  {"reloaded", "not reloaded"},
	renew.EventClock:     {"the clock jumped", "the clock jumped"},
	renew.EventReport:    {"pass recorded", "the pass could not be recorded"},
	renew.EventStopping:  {"stopping", "stopping"},
}

// event writes a line. One that cannot be written is lost: there is nobody to tell.
func (j *journal) event(e renew.Event) {
	level, text := slog.LevelInfo, said[e.Kind][0]
	switch {
	case e.Err != nil && (e.Kind == renew.EventStep || e.Kind == renew.EventConfirm):
		return // that the service has failed is told of as well, and why
	case e.Kind == renew.EventFailed:
		level, e.Reason = slog.LevelError, ""
	case e.Err != nil:
		level, text = slog.LevelError, said[e.Kind][1]
	case e.Kind == renew.EventClock, e.Kind == renew.EventAltered:
		level = slog.LevelWarn
	}
	r := slog.NewRecord(e.At.UTC(), level, text, 0)
	for _, a := range []struct{ name, value string }{{"service", e.Target}, {"reason", e.Reason}, {"serial", e.Serial}} {
		if a.value != "" {
			r.AddAttrs(slog.String(a.name, a.value))
		}
	}
	if e.Err != nil {
		r.AddAttrs(slog.String("error", plain(e.Err)))
	}
	_ = j.handler.Handle(context.Background(), r)
}

// problem writes of something else that went wrong.
func (j *journal) problem(at time.Time, what string, err error) {
	r := slog.NewRecord(at.UTC(), slog.LevelError, "failed", 0)
	r.AddAttrs(slog.String("what", what), slog.String("error", plain(err)))
	_ = j.handler.Handle(context.Background(), r)
}

// note writes of what is neither an event nor a problem.
func (j *journal) note(at time.Time, what, value string) {
	r := slog.NewRecord(at.UTC(), slog.LevelInfo, what, 0)
	r.AddAttrs(slog.String("address", value))
	_ = j.handler.Handle(context.Background(), r)
}
