package mount

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// bindFlags are the flags that belong to a mount and not to its file system, so that a bind can have its own.
const bindFlags = unix.MS_RDONLY | unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC |
	unix.MS_NOATIME | unix.MS_NODIRATIME | unix.MS_RELATIME

// internalPrefix marks options that containerd's mount manager should have taken out.
const internalPrefix = "X-containerd."

// options are a mount's options, sorted by what they are for.
type options struct {
	flags       uintptr // for mount(2)
	cleared     uintptr // flags that a word takes away
	propagation uintptr // for a second call
	loop        bool    // the source is a file
	direct      bool    // and it is read past the page cache
	uids, gids  []syscall.SysProcIDMap
	rest        []string // for the file system
}

func (o *options) data() string { return strings.Join(o.rest, ",") }

// mapped tells whether the mount is to show other owners than are stored.
func (o *options) mapped() bool { return len(o.uids) > 0 }

// parse sorts options. A later word wins over an earlier one.
func parse(words []string) (*options, error) {
	o := &options{}
	var err error
	for _, w := range words {
		key, value, _ := strings.Cut(w, "=")
		switch {
		case strings.HasPrefix(w, internalPrefix):
			return nil, fmt.Errorf("internal mount option %q was not consumed by the mount manager", w)
		case w == "loop":
			o.loop = true
		case w == "direct-io":
			o.direct = true
		case key == "uidmap":
			o.uids, err = parseMap(w, value)
		case key == "gidmap":
			o.gids, err = parseMap(w, value)
		default:
			o.word(w)
		}
		if err != nil {
			return nil, err
		}
	}
	if (len(o.uids) > 0) != (len(o.gids) > 0) {
		return nil, errors.New("both uidmap and gidmap are needed, not one of them")
	}
	if o.direct && !o.loop {
		o.rest = append(o.rest, "direct-io") // somebody else's then
	}
	return o, nil
}

// word takes a word that mount(8) knows, or leaves it to the file system.
func (o *options) word(w string) {
	if p, ok := propagationWord(w); ok {
		o.propagation = p
		return
	}
	set, clear, ok := flagWord(w)
	if !ok {
		if w != "" {
			o.rest = append(o.rest, w)
		}
		return
	}
	o.flags = o.flags&^clear | set
	o.cleared = o.cleared&^set | clear
}

func propagationWord(w string) (uintptr, bool) {
	switch w {
	case "private":
		return unix.MS_PRIVATE, true
	case "rprivate":
		return unix.MS_PRIVATE | unix.MS_REC, true
	case "shared":
		return unix.MS_SHARED, true
	case "rshared":
		return unix.MS_SHARED | unix.MS_REC, true
	case "slave":
		return unix.MS_SLAVE, true
	case "rslave":
		return unix.MS_SLAVE | unix.MS_REC, true
	case "unbindable":
		return unix.MS_UNBINDABLE, true
	case "runbindable":
		return unix.MS_UNBINDABLE | unix.MS_REC, true
	}
	return 0, false
}

// flagWord tells which flags a word sets and which it clears. See mount(8), "FILESYSTEM-INDEPENDENT MOUNT OPTIONS".
func flagWord(w string) (set, clear uintptr, ok bool) {
	for _, f := range [...]struct {
		on, off string
		flag    uintptr
	}{
		{"bind", "", unix.MS_BIND},
		{"rbind", "", unix.MS_BIND | unix.MS_REC},
		{"remount", "", unix.MS_REMOUNT},
		{"ro", "rw", unix.MS_RDONLY},
		{"sync", "async", unix.MS_SYNCHRONOUS},
		{"dirsync", "", unix.MS_DIRSYNC},
		{"mand", "nomand", unix.MS_MANDLOCK},
		{"lazytime", "nolazytime", unix.MS_LAZYTIME},
		{"nosuid", "suid", unix.MS_NOSUID},
		{"nodev", "dev", unix.MS_NODEV},
		{"noexec", "exec", unix.MS_NOEXEC},
		{"nosymfollow", "symfollow", unix.MS_NOSYMFOLLOW},
		{"noatime", "atime", unix.MS_NOATIME},
		{"nodiratime", "diratime", unix.MS_NODIRATIME},
		{"relatime", "norelatime", unix.MS_RELATIME},
		{"strictatime", "nostrictatime", unix.MS_STRICTATIME},
		{"defaults", "", 0},
	} {
		switch {
		case w == "":
			return 0, 0, false
		case w == f.on:
			return f.flag, 0, true
		case w == f.off:
			return 0, f.flag, true
		}
	}
	return 0, 0, false
}

// parseMap reads the value of uidmap= and gidmap=: one or more CONTAINER:HOST:SIZE, separated by commas.
func parseMap(word, value string) ([]syscall.SysProcIDMap, error) {
	var list []syscall.SysProcIDMap
	for part := range strings.SplitSeq(value, ",") {
		numbers := strings.Split(part, ":")
		var n [3]uint64
		if len(numbers) != len(n) {
			return nil, fmt.Errorf("%q is not CONTAINER:HOST:SIZE", word)
		}
		for i := range n {
			var err error
			if n[i], err = strconv.ParseUint(numbers[i], 10, 32); err != nil {
				return nil, fmt.Errorf("%q is not CONTAINER:HOST:SIZE: %w", word, err)
			}
		}
		list = append(list, syscall.SysProcIDMap{ContainerID: int(n[0]), HostID: int(n[1]), Size: int(n[2])})
	}
	return list, nil
}
