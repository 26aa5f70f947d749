package bundle

import (
	"errors"
	"os"
	"reflect"
	"strings"
	"testing"
)

func specDir(t testing.TB, config string) Dir {
	t.Helper()
	dir := Dir(t.TempDir())
	if err := os.WriteFile(dir.File(ConfigFile), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestSpecIsDecoded(t *testing.T) {
	const config = `{"ociVersion":"1.2.0","process":{"terminal":true,"consoleSize":{"height":24,"width":80},"args":["sh"]},
		"root":{"path":"rootfs","readonly":true},"annotations":{"io.kubernetes.cri.sandbox-id":"pod"},
		"linux":{"namespaces":[{"type":"pid"},{"type":"network","path":"/n"}]},"unknown":[1,{}]}`
	got, err := specDir(t, config).ReadSpec()
	must(t, err)
	want := &Spec{
		Annotations: map[string]string{"io.kubernetes.cri.sandbox-id": "pod"},
		Root:        "rootfs", Terminal: true, ConsoleSize: &Size{Height: 24, Width: 80},
		Namespaces: []Namespace{{Type: "pid"}, {Type: "network", Path: "/n"}},
	}
	want.read = got.read
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestAPidNamespaceIsSharedUnlessItIsNew(t *testing.T) {
	for linux, shared := range map[string]bool{
		`{}`:                          true,
		`{"linux":null}`:              true,
		`{"linux":{}}`:                true,
		namespaces(``):                true,
		namespaces(`"ipc"`):           true,
		namespaces(`"pid"`):           false,
		namespaces(`"pid","path":""`): false,
		namespaces(`"pid","path":"/proc/1/ns/pid"`):       true,
		namespaces(`"mount"},{"type":"pid"},{"type":"x"`): false,
	} {
		spec, err := specDir(t, linux).ReadSpec()
		must(t, err)
		if spec.SharedPID != shared {
			t.Errorf("%s: shared is %v", linux, spec.SharedPID)
		}
	}
}

func namespaces(list string) string {
	if list == "" {
		return `{"linux":{"namespaces":[]}}`
	}
	return `{"linux":{"namespaces":[{"type":` + list + `}]}}`
}

func TestABadSpecIsNamed(t *testing.T) {
	if _, err := Dir(t.TempDir()).ReadSpec(); !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "/config.json") {
		t.Errorf("no file: %v", err)
	}
	for config, want := range map[string]string{
		``:                             "unexpected end of JSON input at byte 0",
		`{"process": {`:                "unexpected end of JSON input at byte 13",
		`{"annotations": }`:            "invalid character '}' looking for beginning of value at byte 17",
		`{"annotations":{"a":1}}`:      "at byte 21",
		`{"process":{"terminal":"y"}}`: "at byte 26",
		`[]`:                           "at byte 1",
	} {
		_, err := specDir(t, config).ReadSpec()
		if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "/config.json") {
			t.Errorf("%s: %v, want %q", config, err, want)
		}
	}
}

func FuzzReadSpec(f *testing.F) {
	f.Add(`{"linux":{"namespaces":[{"type":"pid"}]}}`)
	f.Add(`{"process":null,"linux":{"namespaces":[null]}}`)
	f.Fuzz(func(t *testing.T, config string) {
		spec, err := specDir(t, config).ReadSpec()
		if (spec == nil) == (err == nil) || err != nil && !errors.Is(err, ErrInvalid) {
			t.Errorf("%q: %v, %v", config, spec, err)
		}
	})
}

// A spec that is known already is read again when its file was touched, and only then.
func TestAKnownSpecIsReadAgainWhenTheFileChanges(t *testing.T) {
	dir := Dir(t.TempDir())
	write := func(hostname string) {
		t.Helper()
		if err := WriteFile(dir.File(ConfigFile), []byte(`{"annotations":{"a":"`+hostname+`"}}`), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("x")
	known, err := dir.RereadSpec(nil)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := dir.RereadSpec(known); err != nil || again != known {
		t.Errorf("an untouched file: %p, %v, want %p", again, err, known)
	}
	write("y") // of the same size
	if again, err := dir.RereadSpec(known); err != nil || again.Annotations["a"] != "y" {
		t.Errorf("a new file: %+v, %v", again, err)
	}
	if err := os.Remove(dir.File(ConfigFile)); err != nil {
		t.Fatal(err)
	}
	if _, err := dir.RereadSpec(known); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a file that is gone: %v", err)
	}
}
