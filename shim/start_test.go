package shim

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/containerd/ttrpc"
	"golang.org/x/sys/unix"
	"google.golang.org/protobuf/proto"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/protos"
)

func dialShim(t *testing.T, address string) *ttrpc.Client {
	t.Helper()
	path, ok := strings.CutPrefix(address, "unix://")
	if !ok {
		t.Fatalf("%q is no address", address)
	}
	conn, err := net.Dial("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	return ttrpc.NewClient(conn)
}

// startOK starts the task's shim and returns what it printed.
func startOK(t *testing.T, k *task, stdin []byte, args ...string) string {
	t.Helper()
	stdout, stderr, code := k.shim(t, stdin, append(args, "start")...)
	if code != 0 || stderr != "" {
		t.Fatalf("start ends with %d and %q", code, stderr)
	}
	return stdout
}

func TestAnOldDaemonGetsThePlainAddressOfAServer(t *testing.T) {
	k := newTestTask(t, testSpec)
	k.env = []string{"TTRPC_ADDRESS=/run/t.sock"}
	address := startOK(t, k, marshal(t, pack(t, protos.TypeRuncOptions, &protos.RuncOptions{})))
	socket := k.socket(t, bundle.DefaultSocketDir)
	if address != "unix://"+socket {
		t.Fatalf("address is %q", address)
	}
	r := connect(t, address)
	if want := strings.Join([]string{"ns", k.id, testAddress, "/run/t.sock", "false", k.dir, socket}, " "); r.Version != want {
		t.Errorf("the server was told %q, want %q", r.Version, want)
	}
	if data, err := os.ReadFile(filepath.Join(k.dir, bundle.AddressFile)); err != nil || string(data) != address {
		t.Errorf("the file address has %q, %v", data, err)
	}
	for path, want := range map[string]os.FileMode{
		socket: 0o600 | os.ModeSocket, filepath.Join(k.dir, bundle.AddressFile): 0o644,
	} {
		if info, err := os.Stat(path); err != nil || info.Mode() != want {
			t.Errorf("%s: %v, want mode %v", path, err, want)
		}
	}
}

func TestTheServerHoldsNothingOfItsStarter(t *testing.T) {
	extra, err := os.CreateTemp(t.TempDir(), "leaked")
	if err != nil {
		t.Fatal(err)
	}
	defer extra.Close()
	k := newTestTask(t, testSpec)
	k.extra = []*os.File{extra}
	k.env = []string{"KEEP=me"}
	pid := int(connect(t, startOK(t, k, nil)).ShimPid)
	proc := "/proc/" + strconv.Itoa(pid)
	fds, err := os.ReadDir(proc + "/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, fd := range fds {
		target, _ := os.Readlink(proc + "/fd/" + fd.Name())
		if n, _ := strconv.Atoi(fd.Name()); n <= 2 && target != os.DevNull || strings.HasPrefix(target, "pipe:") || target == extra.Name() {
			t.Errorf("descriptor %s is %s", fd.Name(), target)
		}
	}
	if pgid, err := unix.Getpgid(pid); err != nil || pgid != pid {
		t.Errorf("process group is %d, pid %d", pgid, pid)
	}
	environ, _ := os.ReadFile(proc + "/environ")
	if s := "\x00" + string(environ); !strings.Contains(s, "\x00GOMAXPROCS=1\x00") || strings.Contains(s, "GOMAXPROCS=2") || !strings.Contains(s, "\x00KEEP=me\x00") {
		t.Errorf("environment is %q", s)
	}
	own, _ := os.ReadFile("/proc/self/oom_score_adj")
	score, _ := strconv.Atoi(strings.TrimSpace(string(own)))
	theirs, _ := os.ReadFile(proc + "/oom_score_adj")
	if got, _ := strconv.Atoi(strings.TrimSpace(string(theirs))); got != min(score+1, oomScoreMax) {
		t.Errorf("oom score is %d, the daemon's is %d", got, score)
	}
}

func TestANewDaemonGetsAResultAndIsHeard(t *testing.T) {
	for _, c := range []struct {
		annotation string
		version    int32
	}{
		{"other", versionTaskV3},
		{"io.kubernetes.cri.sandbox-id", versionTaskV2},
		{"io.containerd.runc.v2.group", versionTaskV2},
	} {
		k := newTestTask(t, fmt.Sprintf(`{"annotations":{%q:"pod1"}}`, c.annotation))
		k.env = []string{"TTRPC_ADDRESS=/not/this"}
		dir := filepath.Join(t.TempDir(), "s")
		params := &protos.BootstrapParams{
			InstanceId: k.id, Namespace: "ns", LogLevel: logLevelDebug,
			ContainerdTtrpcAddress: "unix:///run/t.sock", SocketDir: proto.String(dir),
		}
		if len(dir) > 42 { // what is left for a directory in a socket's path
			dir = filepath.Join("/tmp", k.id[len(k.id)-12:])
			defer os.RemoveAll(dir)
			params.SocketDir = proto.String(dir)
		}
		var r protos.BootstrapResult
		if err := proto.Unmarshal([]byte(startOK(t, k, marshal(t, params))), &r); err != nil {
			t.Fatal(err)
		}
		socket := k.socket(t, dir)
		if r.Version != c.version || r.Protocol != "ttrpc" || r.Address != "unix://"+socket {
			t.Errorf("%s: result is %v", c.annotation, &r)
		}
		if want := strings.Join([]string{"ns", k.id, testAddress, "/run/t.sock", "true", k.dir, socket}, " "); connect(t, r.Address).Version != want {
			t.Errorf("the server was told %q, want %q", connect(t, r.Address).Version, want)
		}
		if target, err := os.Readlink(filepath.Join(k.dir, bundle.SocketDirLink)); err != nil || target != dir {
			t.Errorf("link s leads to %q, %v", target, err)
		}
	}
}

func TestAShimThatLivesIsNotStartedTwiceAndADeadOneIsReplaced(t *testing.T) {
	k := newTestTask(t, testSpec)
	address := startOK(t, k, nil)
	first := connect(t, address).ShimPid
	if again := startOK(t, k, nil, "-debug"); again != address || connect(t, again).ShimPid != first {
		t.Errorf("a second start answers %s, a server %d", again, connect(t, again).ShimPid)
	}
	if pids := k.servers(t); len(pids) != 1 {
		t.Errorf("servers are %v", pids)
	}
	kill(t, int(first)) // its socket stays
	if again := startOK(t, k, nil); again != address || connect(t, again).ShimPid == first {
		t.Errorf("after its death start answers %s", again)
	}
}

func TestWhatCannotBeStartedLeavesNothingBehind(t *testing.T) {
	options := func(m proto.Message, name string) []byte { return marshal(t, pack(t, name, m)) }
	for _, c := range []struct {
		spec  string
		stdin []byte
		want  string
	}{
		{"", nil, "config.json"},
		{`{"annotations":`, nil, "config.json"},
		{testSpec, options(&protos.CheckpointOptions{Exit: true}, protos.TypeCheckpointOptions), `unknown message type "containerd.runc.v1.CheckpointOptions"`},
		{testSpec, []byte{0xff}, "parse standard input"},
		{testSpec, options(&protos.RuncOptions{ShimCgroup: "/wisp/is/not/there"}, protos.TypeRuncOptions), "/wisp/is/not/there"},
	} {
		k := newTestTask(t, c.spec)
		stdout, stderr, code := k.shim(t, c.stdin, "start")
		if code != exitFailure || stdout != "" || !strings.HasPrefix(stderr, RuntimeName+": ") || !strings.Contains(stderr, c.want) || strings.HasSuffix(stderr, "\n") {
			t.Errorf("start ends with %d, prints %q and %q, want %s", code, stdout, stderr, c.want)
		}
		if pids := k.servers(t); len(pids) != 0 {
			t.Errorf("%s: left are %v", c.want, pids)
		}
		for _, path := range []string{k.socket(t, bundle.DefaultSocketDir), filepath.Join(k.dir, bundle.AddressFile)} {
			if _, err := os.Lstat(path); err == nil {
				t.Errorf("%s: left is %s", c.want, path)
			}
		}
	}
}

func TestTheCommandLineIsChecked(t *testing.T) {
	k := newTestTask(t, testSpec)
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"-nonsense"}, exitUsage, "flag provided but not defined: -nonsense"},
		{[]string{"stop"}, exitUsage, `unknown action "stop"`},
		{[]string{"start", "start"}, exitUsage, `unexpected argument "start"`},
		{[]string{"-namespace", "", "start"}, exitFailure, RuntimeName + ": shim namespace cannot be empty"},
		{[]string{"-namespace", "../x", "start"}, exitFailure, "invalid argument"},
		{[]string{"-id", "", "start"}, exitFailure, "must not be empty"},
		{[]string{"-id", "../../etc", "delete"}, exitFailure, "invalid argument"},
		{[]string{"-id", "a/b"}, exitFailure, "invalid argument"},
		{nil, exitFailure, "want start, delete or -socket PATH"},
		{[]string{"-h"}, exitOK, "publish-binary"},
	} {
		stdout, stderr, code := k.shim(t, nil, c.args...)
		if code != c.code || stdout != "" || !strings.Contains(stderr, c.want) {
			t.Errorf("%q ends with %d, %q, %q, want %d, %q", c.args, code, stdout, stderr, c.code, c.want)
		}
	}
}

func TestFlagsMayStandAnywhere(t *testing.T) {
	cl, err := parseFlags([]string{"shim", "-id", "c1", "start", "-namespace=ns", "-debug", "--address", "/a", "-publish-binary", "x"}, os.Stderr)
	if err != nil || cl.id != "c1" || cl.namespace != "ns" || cl.action != "start" || !cl.debug || cl.address != "/a" {
		t.Errorf("got %+v, %v", cl, err)
	}
}

func TestInfoAnswersWithoutARuntime(t *testing.T) {
	k := newTestTask(t, testSpec)
	k.env = []string{"PATH=/nonexistent"}
	options := pack(t, protos.TypeRuncOptions, &protos.RuncOptions{Root: "/r"})
	stdout, stderr, code := k.shim(t, marshal(t, options), "-info")
	var info protos.RuntimeInfo
	if err := proto.Unmarshal([]byte(stdout), &info); err != nil || code != 0 || stderr != "" {
		t.Fatal(code, stderr, err)
	}
	if info.Name != RuntimeName || !proto.Equal(info.Options, options) || info.Features != nil || info.Version.GetVersion() == "" {
		t.Errorf("info is %v", &info)
	}
}

func TestVersionIsPrintedInContainerdsForm(t *testing.T) {
	k := newTestTask(t, testSpec)
	for _, flag := range []string{"-v", "-version"} {
		stdout, stderr, code := k.shim(t, nil, flag)
		if code != 0 || stderr != "" || !strings.Contains(stdout, ":\n  Version:  ") || !strings.Contains(stdout, "\n  Go version: go1.") || !strings.HasSuffix(stdout, "\n\n") {
			t.Errorf("%s prints %q", flag, stdout)
		}
	}
}
