package stdio

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"strconv"
	"sync"
)

// limit bounds a log: size in bytes, 0 for none, and how many files there are in all.
type limit struct {
	size  int64
	files int
}

// limitFiles is how many files there are when only the size was given.
const limitFiles = 5

// parseLimit reads max-size (bytes, or with k, m or g the multiples of 1024) and max-files (1 or more). Other keys are errors: a limit that was
// misspelt would be no limit.
func parseLimit(query []pair) (limit, error) {
	l := limit{files: limitFiles}
	var err error
	for _, q := range query {
		switch q.key {
		case "max-size":
			l.size, err = parseSize(q.value)
		case "max-files":
			l.files, err = strconv.Atoi(q.value)
			if err == nil && l.files < 1 {
				err = strconv.ErrRange
			}
		default:
			err = errors.New("no such key")
		}
		if err != nil {
			return limit{}, fmt.Errorf("file URI: %s=%s: %w: %w", q.key, q.value, err, ErrInvalid)
		}
	}
	return l, nil
}

func parseSize(s string) (int64, error) {
	shift := 0
	if s != "" {
		switch s[len(s)-1] | 0x20 { // in lower case
		case 'k':
			shift = 10
		case 'm':
			shift = 20
		case 'g':
			shift = 30
		}
	}
	if shift > 0 {
		s = s[:len(s)-1]
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err == nil && (n <= 0 || n > math.MaxInt64>>shift) {
		err = strconv.ErrRange
	}
	return n << shift, err
}

// rotating is a log file that is replaced when it is full: the older ones are PATH.1 (the newest) to PATH.n. A line is never divided between two
// files, unless it is longer than a whole file. PATH exists at every moment.
type rotating struct {
	path  string
	limit limit

	// mu guards the fields below; both streams may write.
	mu   sync.Mutex
	f    *os.File
	size int64
	mid  bool // the last line is not complete
}

func openRotating(path string, l limit) (*rotating, error) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o644)
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &rotating{path: path, limit: l, f: f, size: st.Size()}, nil
}

// Write appends p, and rotates between lines.
func (r *rotating) Write(p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	done := 0
	for done < len(p) {
		n, rotate := r.fit(p[done:])
		w, err := r.f.Write(p[done : done+n])
		done += w
		r.size += int64(w)
		if w > 0 {
			r.mid = p[done-1] != '\n'
		}
		if err == nil && rotate {
			err = r.rotate()
		}
		if err != nil {
			return done, err
		}
	}
	return done, nil
}

// fit is how much of p goes into the present file, and whether a new one follows.
func (r *rotating) fit(p []byte) (n int, rotate bool) {
	room := r.limit.size - r.size
	if int64(len(p)) <= room {
		return len(p), false
	}
	if room > 0 {
		if i := bytes.LastIndexByte(p[:room], '\n'); i >= 0 {
			return i + 1, true
		}
	}
	if !r.mid && r.size > 0 {
		return 0, true
	}
	// A line has begun in this file, or is longer than a file: it is completed here, if that does not double the file.
	bound := min(int64(len(p)), max(room, 0)+r.limit.size)
	if i := bytes.IndexByte(p[:bound], '\n'); i >= 0 {
		return i + 1, true
	}
	return int(bound), r.size+bound >= 2*r.limit.size
}

// rotate shifts the older files by one and puts a new one in the place of the full one.
func (r *rotating) rotate() error {
	older := func(i int) string { return r.path + "." + strconv.Itoa(i) }
	for i := r.limit.files - 1; i > 1; i-- {
		if err := os.Rename(older(i-1), older(i)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("rotate log: %w", err)
		}
	}
	fresh := r.path + ".new"
	f, err := os.OpenFile(fresh, os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return fmt.Errorf("rotate log: %w", err)
	}
	if err := r.replace(fresh, older(1)); err != nil {
		f.Close()
		return fmt.Errorf("rotate log: %w", err)
	}
	r.f.Close() // an error of it concerns bytes that are written
	r.f, r.size, r.mid = f, 0, false
	return nil
}

// replace gives the present file its older name, beside its own, and then its own to the fresh one.
func (r *rotating) replace(fresh, older string) error {
	if r.limit.files > 1 {
		if err := os.Remove(older); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err := os.Link(r.path, older); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.Rename(fresh, r.path)
}

// Close closes the file.
func (r *rotating) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.f.Close()
}
