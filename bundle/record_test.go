package bundle

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"
)

var allOptions = Options{
	NoPivotRoot: true, NoNewKeyring: true, ShimCgroup: "/shims", IoUid: 1000, IoGid: 1001, BinaryName: "crun", Root: "/r",
	SystemdCgroup: true, CriuImagePath: "/i", CriuWorkPath: "/w", TaskApiAddress: "ttrpc+unix:///a", TaskApiVersion: 3,
}

// goldenOptions is what encoding/json makes of containerd's generated Options
// (api v1.12.0, types/runc/options) with the same values.
const goldenOptions = `{"no_pivot_root":true,"no_new_keyring":true,"shim_cgroup":"/shims","io_uid":1000,"io_gid":1001,` +
	`"binary_name":"crun","root":"/r","systemd_cgroup":true,"criu_image_path":"/i","criu_work_path":"/w",` +
	`"task_api_address":"ttrpc+unix:///a","task_api_version":3}`

func TestOptionsAreWrittenAsContainerdWritesThem(t *testing.T) {
	dir := Dir(t.TempDir())
	if _, err := dir.ReadOptions(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for want, options := range map[string]Options{goldenOptions: allOptions, "{}": {}} {
		must(t, dir.WriteOptions(options))
		if got := read(t, dir.File(OptionsFile)); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		if made, err := json.Marshal(options); err != nil || string(made) != want {
			t.Errorf("encoding/json makes %s, %v", made, err)
		}
		if got, err := dir.ReadOptions(); err != nil || got != options {
			t.Errorf("read back %+v, %v", got, err)
		}
	}
	odd := Options{Root: "/a\"b\\c\n<&>\u2028\xff"}
	if made, err := json.Marshal(odd); err != nil || string(made) != string(odd.json()) {
		t.Errorf("got  %s\nwant %s, %v", odd.json(), made, err)
	}
	// criu_path went in containerd 2.0: 1.x still writes it.
	must(t, WriteFile(dir.File(OptionsFile), []byte(`{"root":"/x","criu_path":"/usr/sbin/criu"}`), 0o600))
	if got, err := dir.ReadOptions(); err != nil || got.Root != "/x" {
		t.Errorf("1.x's file: %+v, %v", got, err)
	}
}

func TestEveryOptionHasAGolden(t *testing.T) {
	v := reflect.ValueOf(allOptions)
	for i := range v.NumField() {
		if v.Field(i).IsZero() {
			t.Errorf("%s is not in the golden output", v.Type().Field(i).Name)
		}
	}
}

func TestTheRuntimeIsReadAsWritten(t *testing.T) {
	dir := Dir(t.TempDir())
	if _, err := dir.ReadRuntime(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	for _, want := range []string{"", "crun", "/opt/a b/runc"} {
		must(t, dir.WriteRuntime(want))
		if got, err := dir.ReadRuntime(); err != nil || got != want {
			t.Errorf("got %q, %v; want %q", got, err, want)
		}
	}
}

func TestTheExitRecordIsItsDraftRenamed(t *testing.T) {
	dir := Dir(t.TempDir())
	must(t, os.WriteFile(dir.File(exitDraft), bytes.Repeat([]byte("of a shim that was killed"), exitRoom), 0o644))
	for range 2 {
		must(t, dir.PrepareExit())
		must(t, dir.DropExit())
		must(t, dir.DropExit())
	}
	must(t, dir.PrepareExit())
	if _, err := dir.ReadExit(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the draft counts as a record: %v", err)
	}
	want := Exit{Pid: 1, Status: 3, ExitedAt: time.Date(2026, 11, 24, 6, 30, 0, 0, time.UTC)}
	must(t, dir.WriteExit(want))
	if got, err := dir.ReadExit(); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	left, err := os.ReadDir(string(dir))
	if err != nil || len(left) != 1 {
		t.Fatalf("the bundle holds %v, %v", left, err)
	}
	if info, err := left[0].Info(); err != nil || info.Mode() != 0o600 {
		t.Errorf("its mode is %v, %v", info.Mode(), err)
	}
}

func TestTheExitRecordIsWhatEncodingJSONMakesOfIt(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 123456789, time.FixedZone("", 3600))
	for _, e := range []Exit{{}, {Pid: math.MaxInt64, Status: 255, Signal: 64, Core: true, OOM: true, ExitedAt: at}} {
		got := e.appendJSON(nil)
		if len(got) > exitRoom {
			t.Errorf("it takes %d bytes", len(got))
		}
		e.ExitedAt = e.ExitedAt.UTC()
		if want, err := json.Marshal(e); err != nil || string(got) != string(want) {
			t.Errorf("got  %s\nwant %s, %v", got, want, err)
		}
	}
}

func TestTheExitRecordKeepsItsNamesAndItsMoment(t *testing.T) {
	dir := Dir(t.TempDir())
	if _, err := dir.ReadExit(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	at := time.Date(2026, 11, 24, 6, 30, 0, 123456789, time.UTC)
	want := Exit{Pid: 4711, Status: 137, Signal: 9, Core: true, OOM: true, ExitedAt: at}
	must(t, dir.WriteExit(want))
	const golden = `{"pid":4711,"status":137,"signal":9,"core_dumped":true,"oom_killed":true,"exited_at":"2026-11-24T06:30:00.123456789Z"}`
	if got := read(t, dir.File(ExitFile)); got != golden {
		t.Errorf("got  %s\nwant %s", got, golden)
	}
	if got, err := dir.ReadExit(); err != nil || got != want {
		t.Errorf("got %+v, %v", got, err)
	}
	must(t, os.WriteFile(dir.File(ExitFile), []byte("{"), 0o600))
	if _, err := dir.ReadExit(); err == nil || !strings.HasPrefix(err.Error(), "parse exit.json: ") {
		t.Errorf("broken: %v", err)
	}
}
