package mount

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// mountTable is the mounts of the calling thread's namespace: proc_pid_mountinfo(5).
const mountTable = "/proc/thread-self/mountinfo"

// lineStart is how much of a line is looked at, in bytes: two paths in octal escapes at their worst, and what
// stands between them. What follows may be much longer (an overlay's layers) and is skipped.
const lineStart = 40 << 10

// An entry is one mount.
type entry struct {
	path   string // where it is mounted; unescaped
	fstype string
}

// mountsUnder lists the mounts at and under dir, in the order in which they were mounted.
func mountsUnder(dir string) ([]entry, error) {
	f, err := os.Open(mountTable)
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	defer f.Close() //nolint:errcheck // read only
	list, err := parseTable(f, dir)
	if err != nil {
		return nil, fmt.Errorf("list mounts: %w", err)
	}
	return list, nil
}

func parseTable(r io.Reader, dir string) ([]entry, error) {
	lines := bufio.NewReaderSize(r, lineStart)
	var list []entry
	for {
		line, rest, err := lines.ReadLine()
		if errors.Is(err, io.EOF) {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		// id parent major:minor root mountpoint options [optional ...] - type source super-options
		if e, ok := parseLine(string(line), dir); ok {
			list = append(list, e)
		}
		for rest && err == nil {
			_, rest, err = lines.ReadLine()
		}
	}
}

// parseLine reads a line about a mount at or under dir.
func parseLine(line, dir string) (entry, bool) {
	fields := strings.SplitN(line, " ", 6)
	if len(fields) < 6 {
		return entry{}, false
	}
	path := unescape(fields[4])
	if !under(path, dir) {
		return entry{}, false
	}
	_, tail, _ := strings.Cut(fields[5], " - ")
	fstype, _, _ := strings.Cut(tail, " ")
	return entry{path: path, fstype: fstype}, true
}

func under(path, dir string) bool {
	return path == dir || strings.HasPrefix(path, strings.TrimSuffix(dir, "/")+"/")
}

// unescape replaces \ooo, by which the kernel writes blanks, tabs, newlines and backslashes.
func unescape(s string) string {
	if !strings.Contains(s, `\`) {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, ok := octal(s[i+1 : i+4]); ok {
				b.WriteByte(c)
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

func octal(digits string) (byte, bool) {
	n := 0
	for _, d := range []byte(digits) {
		if d < '0' || d > '7' {
			return 0, false
		}
		n = n<<3 | int(d-'0')
	}
	return byte(n), n <= 0xff
}
