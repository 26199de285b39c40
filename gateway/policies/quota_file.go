package policies

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/weir-run/weir/dsl"
	"github.com/weir-run/weir/engine"
)

// quotaState is what a quota has counted, in memory and on disk.
//
// The file is a picture of all rows that count, written whole beside the old one,
// synced, and put in its place by a rename: at every moment there is one that is
// complete. That is once in saveEvery if something was counted, and at the end. A
// crash forgets what was counted since: callers get so much more, once. A log with
// each request would lose less and cost each request a write; a quota of a day is
// not worth that.
type quotaState struct {
	path   string // "": it is not kept
	labels []string
	tables []*counts
	salt   [16]byte

	stop    chan struct{}
	saver   sync.WaitGroup
	broken  int64 // files that could not be read
	failed  atomic.Int64
	unsaved trouble
}

const saveEvery = 10 * time.Second

// quotaPlan is the limits of a tariff, and what they are called on disk: that
// stays the same when a quota is raised.
type quotaPlan struct {
	label  string
	limits []allowance
}

// openQuota takes up what is on disk. A file that is damaged is put aside, as
// NAME.broken, and all begins anew.
func openQuota(log *slog.Logger, path string, plans []quotaPlan, memory dsl.Size) *limiters {
	q := &quotaState{path: path, stop: make(chan struct{}), unsaved: trouble{log: log, begins: "a quota cannot be written to its file", ends: "the quota is written to its file again"}}
	_, _ = rand.Read(q.salt[:]) // it never fails
	data, err := q.read()
	if err == nil {
		copy(q.salt[:], data[len(quotaMagic):])
	}
	l := &limiters{observe: q.observe, close: q.close}
	for _, p := range plans {
		c := newCounts(p.limits, memory, q.salt)
		q.labels, q.tables, l.all = append(q.labels, p.label), append(q.tables, c), append(l.all, engine.Limiter(c))
	}
	if err == nil {
		err = q.restore(data[len(quotaMagic)+len(q.salt):], time.Now())
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		q.broken++
		log.Error("the file of a quota cannot be read: it is put aside, and counting begins anew", slog.String("file", path), slog.String("aside", path+".broken"), slog.String("error", err.Error()))
		_ = os.Rename(path, path+".broken") // it is written anew in any case
	}
	if path != "" {
		q.saver.Go(q.saveOften)
	}
	return l
}

// A file is the magic, the salt, then for each table its label, the number of
// words in a row and of rows, and the rows; and the CRC of all that.
const quotaMagic = "weir quota 1\n"

var (
	errBroken  = errors.New("it is no file of a quota, or not all of one")
	castagnoli = crc32.MakeTable(crc32.Castagnoli)
)

// read gives the file without its checksum.
func (q *quotaState) read() ([]byte, error) {
	if q.path == "" {
		return nil, fs.ErrNotExist
	}
	data, err := os.ReadFile(q.path)
	if err != nil {
		return nil, err
	}
	end := len(data) - 4
	if end < len(quotaMagic)+len(q.salt) || !bytes.HasPrefix(data, []byte(quotaMagic)) || crc32.Checksum(data[:end], castagnoli) != binary.LittleEndian.Uint32(data[end:]) {
		return nil, errBroken
	}
	return data[:end], nil
}

// restore fills the tables. What is of a plan that is no more, or of other
// periods, is left out.
func (q *quotaState) restore(data []byte, now time.Time) error {
	for len(data) > 0 {
		var label string
		var words, rows int
		for _, n := range []*int{nil, &words, &rows} {
			if len(data) < 4 {
				return errBroken
			}
			v := int(binary.LittleEndian.Uint32(data))
			data = data[4:]
			if n != nil {
				*n = v
			} else if v > len(data) {
				return errBroken
			} else {
				label, data = string(data[:v]), data[v:]
			}
		}
		if size := int64(words) * int64(rows) * 8; words < 2 || words > 1<<10 || size > int64(len(data)) {
			return errBroken
		}
		var c *counts
		if i := slices.Index(q.labels, label); i >= 0 && q.tables[i].stride == words {
			c = q.tables[i]
		}
		r := make(row, words)
		for range rows {
			for i := range r {
				r[i], data = int64(binary.LittleEndian.Uint64(data)), data[8:]
			}
			if c != nil {
				c.restore(r, now)
			}
		}
	}
	return nil
}

func (c *counts) restore(r row, now time.Time) {
	hash, periods := uint64(r[0]), c.periods(now)
	for i := range c.limits {
		if own := r[1+perAllowance*i:]; own[atUsed] < 0 || own[atBefore] < 0 {
			return
		}
	}
	if c.held(r, now, periods) > 0 {
		s := c.lock(hash)
		copy(c.place(s, hash, func(r row) int64 { return c.held(r, now, periods) })[1:], r[1:])
		s.mu.Unlock()
	}
}

// picture is the file of this moment.
func (q *quotaState) picture(now time.Time) []byte {
	b := append([]byte(quotaMagic), q.salt[:]...)
	for i, c := range q.tables {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(q.labels[i])))
		b = append(b, q.labels[i]...)
		b = binary.LittleEndian.AppendUint32(b, uint32(c.stride))
		count, rows := len(b), 0
		b = binary.LittleEndian.AppendUint32(b, 0)
		periods := c.periods(now)
		for k := range c.shards {
			s := &c.shards[k]
			s.mu.Lock()
			for j := 0; j < len(s.words); j += c.stride {
				if r := row(s.words[j : j+c.stride]); c.held(r, now, periods) > 0 {
					rows++
					for _, word := range r {
						b = binary.LittleEndian.AppendUint64(b, uint64(word))
					}
				}
			}
			s.mu.Unlock()
		}
		binary.LittleEndian.PutUint32(b[count:], uint32(rows))
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func (q *quotaState) saveOften() {
	t := time.NewTicker(saveEvery)
	defer t.Stop()
	for {
		select {
		case <-t.C:
			q.save()
		case <-q.stop:
			q.save()
			return
		}
	}
}

// save writes the file if something was counted since. What fails is tried again
// the next time.
func (q *quotaState) save() {
	changed := false
	for _, c := range q.tables {
		changed = c.changed.Swap(false) || changed
	}
	if !changed {
		return
	}
	err := replaceFile(q.path, q.picture(time.Now()))
	if q.unsaved.note(time.Now(), err); err != nil {
		q.failed.Add(1)
		q.tables[0].changed.Store(true)
	}
}

// replaceFile puts a file in the place of another, at once and for good: after a
// crash there is the one or the other.
func replaceFile(path string, data []byte) (err error) {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%s: %w", path, errors.Join(err, os.Remove(f.Name())))
		}
	}()
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return err
	}
	if d, err := os.Open(dir); err == nil { // else the name is written when the system does
		_ = d.Sync()
		_ = d.Close()
	}
	return nil
}

func (q *quotaState) close() {
	close(q.stop)
	q.saver.Wait()
}

func (q *quotaState) observe(show func(name string, total bool, value int64)) {
	var sum tally
	for _, c := range q.tables {
		sum.count(c.table)
	}
	sum.show(show)
	show("broken", true, q.broken)
	show("unsaved", true, q.failed.Load())
}
