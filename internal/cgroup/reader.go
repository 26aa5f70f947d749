package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"strconv"

	"golang.org/x/sys/unix"
)

// readRoom holds any of the kernel's files but those with a line for each disk or process, for which it grows.
const readRoom = 4096

// reader reads the files of one directory after the other with one buffer. Opening relative to a directory's fd saves the kernel a walk, and us the joining
// of strings: Stats opens some thirty files. The zero value is ready; close it.
type reader struct {
	dir  int // an fd plus one, so that zero is none
	room []byte
}

// cd makes dir the directory that read reads from.
func (r *reader) cd(dir string) error {
	r.close()
	fd, err := open(unix.AT_FDCWD, dir, unix.O_PATH|unix.O_DIRECTORY)
	if err != nil {
		return fmt.Errorf("open %s: %w", dir, err)
	}
	r.dir = fd + 1
	return nil
}

func (r *reader) close() {
	if r.dir > 0 {
		_ = unix.Close(r.dir - 1)
	}
	r.dir = 0
}

// read returns a file's content, which is valid until the next read.
func (r *reader) read(name string) ([]byte, error) {
	fd, err := open(r.dir-1, name, unix.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer unix.Close(fd)
	if r.room == nil {
		r.room = make([]byte, readRoom)
	}
	n := 0
	for {
		if n == len(r.room) {
			r.room = append(r.room, make([]byte, len(r.room))...)
		}
		m, err := unix.Read(fd, r.room[n:])
		switch {
		case err == unix.EINTR:
		case err != nil:
			return nil, err
		case m == 0:
			return r.room[:n], nil
		default:
			n += m
		}
	}
}

// value reads a file with one number. What is not there or not a number is 0; "max" is unlimited.
func (r *reader) value(name string, unlimited uint64) uint64 {
	data, err := r.read(name)
	if err != nil {
		return 0
	}
	data = bytes.TrimSpace(data)
	if string(data) == "max" {
		return unlimited
	}
	return number(data)
}

// number is the decimal in text; negative and malformed ones are 0.
func number(text []byte) uint64 {
	v, err := strconv.ParseUint(string(text), 10, 64)
	if err != nil && !errors.Is(err, strconv.ErrRange) {
		return 0
	}
	return v
}

// pairs calls each with the "key value" lines of data.
func pairs(data []byte, each func(key []byte, value uint64)) {
	for line := range bytes.Lines(data) {
		key, value, ok := bytes.Cut(bytes.TrimSpace(line), []byte(" "))
		if ok {
			each(key, number(value))
		}
	}
}

// number32 is number, with "max" and what is larger as the largest.
func number32(text []byte) uint64 {
	if string(text) == "max" {
		return math.MaxUint32
	}
	return min(number(text), math.MaxUint32)
}

func open(dir int, name string, flags int) (int, error) {
	for {
		fd, err := unix.Openat(dir, name, flags|unix.O_CLOEXEC, 0)
		if err != unix.EINTR {
			return fd, err
		}
	}
}

// slurp returns the content of one file, for those who read no other.
func slurp(dir, name string) (string, error) {
	r := reader{dir: unix.AT_FDCWD + 1, room: make([]byte, 256)}
	data, err := r.read(dir + "/" + name)
	if err != nil {
		return "", fmt.Errorf("read %s/%s: %w", dir, name, err)
	}
	return string(data), nil
}

// put writes text to an existing file.
func put(dir, name, text string) error {
	fd, err := open(unix.AT_FDCWD, dir+"/"+name, unix.O_WRONLY)
	if err != nil {
		return fmt.Errorf("open %s/%s: %w", dir, name, err)
	}
	defer unix.Close(fd)
	for {
		_, err = unix.Write(fd, []byte(text))
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return fmt.Errorf("write %q to %s/%s: %w", text, dir, name, err)
		}
		return nil
	}
}

// isGone tells whether an error says that a cgroup, or a process, is not there any more: ENODEV is what an open file of a removed cgroup answers,
// ESRCH one of a process that was reaped.
func isGone(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.ESRCH)
}
