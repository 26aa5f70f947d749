package runc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// words is what the runtime has logged during a call.
type words struct {
	message string // of the last error; empty if there is none
	err     error  // why there is none, if the log could not be read
}

// fileSize is the size of a file, 0 if it is not there.
func fileSize(path string) int64 {
	if path == "" {
		return 0
	}
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0
	}
	return st.Size
}

// readLog reads what a log holds from an offset on. What stands before is of
// earlier calls, whose errors are not this one's. Calls that run at once with one
// log can still take each other's.
func readLog(path string, from int64) words {
	if path == "" {
		return words{}
	}
	f, err := os.Open(path)
	if err != nil {
		return words{err: err}
	}
	defer f.Close() //nolint:errcheck // only read
	data, err := readEnd(f, from)
	if err != nil {
		return words{err: err}
	}
	return lastError(data)
}

// lastError finds the last error in a log of one JSON object a line. Lines that are
// none are passed over; if there is nothing else, that is the error.
func lastError(log []byte) words {
	var w words
	for line := range bytes.Lines(log) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		var entry struct {
			Level string `json:"level"`
			Msg   string `json:"msg"`
		}
		if err := json.Unmarshal(line, &entry); err != nil {
			w.err = fmt.Errorf("parse log: %w", err)
			continue
		}
		if msg := strings.TrimSpace(entry.Msg); entry.Level == "error" && msg != "" {
			w.message = msg
		}
	}
	if w.message != "" {
		w.err = nil
	}
	return w
}
