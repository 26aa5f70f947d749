package mount

import (
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	lowerdir = "lowerdir="
	// valueMax is the longest string that fsconfig(2) takes, in bytes.
	valueMax = 255
)

// A layer is one lower directory of an overlay.
type layer struct {
	path string // not escaped
	data bool   // holds file contents only ("::" before it)
}

// overlay mounts an overlay from options, which may be longer than the page that mount(2) takes.
func overlay(source string, o *options, place *os.File) error {
	if data := o.data(); len(data) < os.Getpagesize() {
		return plainMount(source, procPath(place), "overlay", o.flags, data)
	}
	layers, rest := split(o.rest)
	return mountLayers(source, o.flags, layers, rest, place)
}

// mountLayers mounts an overlay on place.
func mountLayers(source string, flags uintptr, layers []layer, rest []string, place *os.File) error {
	if data := join(layers, rest); len(data) < os.Getpagesize() {
		return plainMount(source, procPath(place), "overlay", flags, data)
	}
	return longOverlay(source, flags, layers, rest, place)
}

// longOverlay hands layers to the kernel one by one, which it takes since Linux 6.5. Before that, or if that
// fails, it names them by descriptor: /proc/self/fd/N is short.
func longOverlay(source string, flags uintptr, layers []layer, rest []string, place *os.File) error {
	first := newOverlay(source, flags, layers, rest, place)
	if first == nil {
		return nil
	}
	short, files, err := alias(layers)
	defer closeAll(files)
	if err != nil {
		return err
	}
	data := join(short, rest)
	if len(data) >= os.Getpagesize() {
		return fmt.Errorf("%w, and the new mount API says: %w", errTooLong, first)
	}
	if err := plainMount(source, procPath(place), "overlay", flags, data); err != nil {
		return fmt.Errorf("%w, and the new mount API says: %w", err, first)
	}
	return nil
}

// newOverlay mounts by fsopen(2) and its relatives.
func newOverlay(source string, flags uintptr, layers []layer, rest []string, place *os.File) error {
	layers, files, err := aliasLong(layers)
	defer closeAll(files)
	if err != nil {
		return err
	}
	fs, err := fsopen("overlay")
	if err != nil {
		return err
	}
	defer unix.Close(fs) //nolint:errcheck // the mount lives on
	set := func(key, value string, hasValue bool) {
		switch {
		case err != nil:
		case hasValue:
			err = unix.FsconfigSetString(fs, key, value)
		default:
			err = unix.FsconfigSetFlag(fs, key)
		}
	}
	set("source", source, true)
	for _, word := range superWords(flags) {
		set(word, "", false)
	}
	for _, l := range layers {
		key := "lowerdir+"
		if l.data {
			key = "datadir+"
		}
		set(key, l.path, true)
	}
	for _, option := range rest {
		key, value, ok := strings.Cut(option, "=")
		set(key, value, ok)
	}
	if err == nil {
		err = unix.FsconfigCreate(fs)
	}
	if err != nil {
		return withLog(fs, err)
	}
	return attachNew(fs, flags, place)
}

// split takes the lower layers out of an overlay's options.
func split(all []string) (layers []layer, rest []string) {
	for _, option := range all {
		value, ok := strings.CutPrefix(option, lowerdir)
		if !ok {
			rest = append(rest, option)
			continue
		}
		layers = splitLayers(value)
	}
	return layers, rest
}

// splitLayers reads the value of lowerdir=: paths between colons, with backslashes before colons and
// backslashes that belong to a path. After a double colon come data layers.
func splitLayers(value string) []layer {
	var (
		list []layer
		path strings.Builder
		data bool
	)
	end := func() {
		if path.Len() > 0 {
			list = append(list, layer{path: path.String(), data: data})
			path.Reset()
			data = false
		} else {
			data = true
		}
	}
	for i := 0; i < len(value); i++ {
		switch c := value[i]; {
		case c == '\\' && i+1 < len(value):
			i++
			path.WriteByte(value[i])
		case c == ':':
			end()
		default:
			path.WriteByte(c)
		}
	}
	end()
	return list
}

// join is the opposite of split.
func join(layers []layer, rest []string) string {
	if len(layers) == 0 {
		return strings.Join(rest, ",")
	}
	var b strings.Builder
	b.WriteString(lowerdir)
	escape := strings.NewReplacer(`\`, `\\`, `:`, `\:`)
	for i, l := range layers {
		switch {
		case l.data:
			b.WriteString("::")
		case i > 0:
			b.WriteByte(':')
		}
		b.WriteString(escape.Replace(l.path))
	}
	for _, option := range rest {
		b.WriteByte(',')
		b.WriteString(option)
	}
	return b.String()
}

// alias names all layers by descriptors, which must stay open until they are mounted.
func alias(layers []layer) ([]layer, []*os.File, error) { return aliasIf(layers, 0) }

// aliasLong does so for paths that fsconfig(2) would refuse.
func aliasLong(layers []layer) ([]layer, []*os.File, error) { return aliasIf(layers, valueMax) }

func aliasIf(layers []layer, longer int) ([]layer, []*os.File, error) {
	var files []*os.File
	short := make([]layer, len(layers))
	for i, l := range layers {
		short[i] = l
		if len(l.path) <= longer || strings.HasPrefix(l.path, "/proc/self/fd/") {
			continue
		}
		f, err := os.OpenFile(l.path, unix.O_PATH|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, files, fmt.Errorf("open lower layer: %w", err)
		}
		files = append(files, f)
		short[i].path = procPath(f)
	}
	return short, files, nil
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close() //nolint:errcheck // O_PATH
	}
}
