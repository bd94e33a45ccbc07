package durable

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
)

// A tray holds files of a directory that are made for a moment: those that many writers
// make at the same time stand in one file, of which one write and one wait for the disk
// is for all who have come. It has its blocks beforehand, so that it is waited for without
// what else is written. Its process holds a lock on it; what a dead one has left in it,
// Recover lays out under the files' own names.
const (
	trayDir   = "inhand"
	trayMagic = "meshpki tray v1\n"
	trayHead  = len(trayMagic) + 8 // with the tray's size
	trayFirst = 128 << 10          // of the first one, so that the first who come do not wait for it
	traySize  = 512 << 10          // of those that follow
	trayMode  = 0o600
	trayFrame = 8 // a frame's length, and how many files it has; no sector ends in them
	// A file in a frame begins with the lengths of its name and of what is in it.
	trayFileHead = 6
)

// errTrayDamaged says that a tray is not what was written.
var errTrayDamaged = errors.New("is damaged: it cannot be known what was in hand when its process ended; move it away to go on without that")

type tray struct {
	of    *Convoy
	file  *os.File
	path  string
	size  int64
	queue *Queue[*held]

	mu     sync.Mutex
	live   map[string]*held
	next   int64 // where the next frame goes
	full   bool
	failed error
}

// held is a file in a tray.
type held struct {
	name string
	data []byte
	flag int64 // where it is marked as gone
}

// size is how much room it takes in a frame, besides its mark.
func (h *held) size() int64 { return int64(trayFileHead + len(h.name) + len(h.data)) }

// errTrayFull sends a file into another tray.
var errTrayFull = errors.New("the tray is full")

// newTray makes a tray of that size for files of a directory. Under its name it is whole,
// and locked.
func newTray(dir string, size int64) (t *tray, err error) {
	in := filepath.Join(dir, trayDir)
	if err := MkdirAll(in, 0o700); err != nil {
		return nil, err
	}
	name := Suffix()
	tmp := filepath.Join(in, ".new-"+name)
	f, err := os.OpenFile(tmp, os.O_RDWR|os.O_CREATE|os.O_EXCL, trayMode)
	if err != nil {
		return nil, err
	}
	t = &tray{file: f, path: filepath.Join(in, name), size: size, queue: NewQueue[*held](), live: map[string]*held{}, next: int64(trayHead)}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp), f.Close())
		}
	}()
	if ok, err := tryLock(f); err != nil || !ok {
		return nil, errors.Join(err, ErrLocked)
	}
	data := make([]byte, size)
	binary.BigEndian.PutUint64(data[copy(data, trayMagic):], uint64(size))
	if _, err := f.Write(data); err != nil {
		return nil, err
	}
	if err := errors.Join(Chmod(f, trayMode), f.Sync()); err != nil {
		return nil, err
	}
	if err := os.Rename(tmp, t.path); err != nil {
		return nil, err
	}
	return t, SyncName(t.path)
}

// hold puts a file into the tray. When it returns, that would survive a crash.
func (t *tray) hold(name string, data []byte) error {
	return t.queue.Wait(context.Background(), t.of, &held{name: name, data: data}, t.serve)
}

// serve writes what waits, as far as there is room for it.
func (t *tray) serve() error {
	const enough = 192
	if t.next > int64(trayHead) { // the very first goes ahead
		t.of.Gather(t.queue.Len, 0, enough)
	}
	all, answer := t.queue.Take(t.fitting)
	if t.full {
		answer(errTrayFull)
	} else {
		answer(t.write(all))
	}
	return nil
}

// fitting is how many of those who wait there is room for; where there is none for the
// first, the tray is full, and all of them have to go elsewhere. The turn is held.
func (t *tray) fitting(waiting []*held) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	n, end := 0, t.next+trayFrame+sha256.Size+trayFrame // and what aligns the frame
	for ; n < len(waiting); n++ {
		if end += waiting[n].size() + 1; end > t.size {
			break
		}
	}
	if t.full = t.full || n == 0; t.full {
		return len(waiting)
	}
	return n
}

// write writes a frame: its length, how many files it has, for each a byte that is set
// once the file is gone, then what is in them, and the sum of that. There is room for it,
// and the turn is held.
func (t *tray) write(all []*held) error {
	if t.failed != nil {
		return t.failed
	}
	size := 0
	for _, h := range all {
		size += int(h.size())
	}
	begin := trayFrame + len(all)
	frame := make([]byte, begin, aligned(begin+size+sha256.Size))
	binary.BigEndian.PutUint32(frame, uint32(size))
	binary.BigEndian.PutUint32(frame[4:], uint32(len(all)))
	for _, h := range all {
		frame = binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(frame, uint16(len(h.name))), uint32(len(h.data)))
		frame = append(append(frame, h.name...), h.data...)
	}
	sum := sha256.Sum256(frame[begin:])
	frame = append(frame, sum[:]...)
	frame = append(frame, make([]byte, aligned(len(frame))-len(frame))...)
	at := t.next
	_, err := t.file.WriteAt(frame, at)
	if err == nil {
		err = SyncData(t.file)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err != nil {
		t.failed = err
		return err
	}
	t.next = at + int64(len(frame))
	for i, h := range all {
		h.flag = at + trayFrame + int64(i)
		if was := t.live[h.name]; was != nil {
			err = errors.Join(err, t.mark(was))
		}
		t.live[h.name] = h
	}
	return err
}

// aligned is where the frame behind one of that length begins.
func aligned(length int) int { return (length + trayFrame - 1) / trayFrame * trayFrame }

// mark marks a file as gone; nobody waits for that.
func (t *tray) mark(h *held) error {
	_, err := t.file.WriteAt([]byte{1}, h.flag)
	return err
}

// drop takes a file out of the tray; false where it is not in it.
func (t *tray) drop(name string) (bool, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.live[name]
	if h == nil {
		return false, nil
	}
	delete(t.live, name)
	return true, t.mark(h)
}

// find gives what is in a file of the tray.
func (t *tray) find(name string) ([]byte, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	h := t.live[name]
	if h == nil {
		return nil, false
	}
	return h.data, true
}

// spent tells whether nothing more will be in the tray.
func (t *tray) spent() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.full && len(t.live) == 0
}

// left are the files that are still in it.
func (t *tray) left() (all []*held) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, h := range t.live {
		all = append(all, h)
	}
	return all
}

// end takes the tray away.
func (t *tray) end() error { return errors.Join(os.Remove(t.path), t.file.Close()) }

// parseTray gives what is in the files of a tray that are not gone. What stands last in it
// and is not whole was never held: who wanted that has not been told so.
func parseTray(data []byte) (map[string][]byte, error) {
	if len(data) < trayHead || string(data[:len(trayMagic)]) != trayMagic || binary.BigEndian.Uint64(data[len(trayMagic):]) != uint64(len(data)) {
		return nil, errTrayDamaged
	}
	live, torn := map[string][]byte{}, false
	for rest := data[trayHead:]; len(rest) >= trayFrame; {
		size, count := int64(binary.BigEndian.Uint32(rest)), int64(binary.BigEndian.Uint32(rest[4:]))
		if size == 0 && count == 0 {
			break
		}
		end := trayFrame + count + size
		if torn || count == 0 || end+sha256.Size > int64(len(rest)) {
			return nil, errTrayDamaged // nothing is written behind what is not whole
		}
		flags, body := rest[trayFrame:trayFrame+count], rest[trayFrame+count:end]
		if torn = sha256.Sum256(body) != [sha256.Size]byte(rest[end:end+sha256.Size]); !torn && !parseFrame(flags, body, live) {
			return nil, errTrayDamaged
		}
		rest = rest[min(len(rest), aligned(int(end)+sha256.Size)):]
	}
	return live, nil
}

// parseFrame takes the files of a frame into live; false where it is none.
func parseFrame(flags, body []byte, live map[string][]byte) bool {
	for _, gone := range flags {
		if len(body) < trayFileHead {
			return false
		}
		name, size := int64(binary.BigEndian.Uint16(body)), int64(binary.BigEndian.Uint32(body[2:]))
		if trayFileHead+name+size > int64(len(body)) {
			return false
		}
		called, data := string(body[trayFileHead:trayFileHead+name]), body[trayFileHead+name:trayFileHead+name+size]
		if delete(live, called); gone == 0 {
			live[called] = data
		}
		body = body[trayFileHead+name+size:]
	}
	return len(body) == 0
}

// damaged says which tray is.
func damaged(path string, err error) error { return fmt.Errorf("%s %w", path, err) }
