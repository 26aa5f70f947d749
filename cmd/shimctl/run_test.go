package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

// TestRun proves run's properties with every shim. Each case ends with the check that nothing is left behind.
func TestRun(t *testing.T) {
	for name, f := range fixtures(t) {
		t.Run(name, func(t *testing.T) {
			t.Run("OutputPassesUntouched", f.outputPassesUntouched)
			t.Run("ExitCodeIsTheContainers", f.exitCodeIsTheContainers)
			t.Run("FailuresHaveTheirCodes", f.failuresHaveTheirCodes)
			t.Run("InputIsPiped", f.inputIsPiped)
			t.Run("FlagsReachTheContainer", f.flagsReachTheContainer)
			t.Run("BundleIsAdoptedUntouched", f.bundleIsAdoptedUntouched)
			t.Run("EventsAreShown", f.eventsAreShown)
			t.Run("SignalsAreForwarded", f.signalsAreForwarded)
			t.Run("ThirdTermKills", f.thirdTermKills)
			t.Run("AbortedSetupLeavesNothing", f.abortedSetupLeavesNothing)
			t.Run("BrokenPipeEndsTheContainer", f.brokenPipeEndsTheContainer)
			t.Run("SlowReaderGetsAll", f.slowReaderGetsAll)
			t.Run("TerminalHasOurSize", f.terminalHasOurSize)
			t.Run("HangUpEndsTheContainer", f.hangUpEndsTheContainer)
			t.Run("IDInUseIsLeftAlone", f.idInUseIsLeftAlone)
			t.Run("DeadShimIsCleanedUp", f.deadShimIsCleanedUp)
			t.Run("LostContainerIsFoundAgain", f.lostContainerIsFoundAgain)
		})
	}
}

func (f *fixture) outputPassesUntouched(t *testing.T) {
	r := f.run(t, "--id", "out", f.rootfs, "sh", "-c", `printf 'a\000\377\r\nb'; printf 'to stderr\r' >&2`)
	if r.code != 0 || r.stdout != "a\x00\xff\r\nb" || r.stderr != "to stderr\r" {
		t.Errorf("got %d, %q, %q", r.code, r.stdout, r.stderr)
	}
	if socket := f.socket("out"); exists(socket) {
		t.Errorf("left behind: %s", socket)
	}
}

func (f *fixture) exitCodeIsTheContainers(t *testing.T) {
	for _, code := range []int{0, 1, 42, 127, 137, 255} {
		if r := f.run(t, f.rootfs, "sh", "-c", "exit "+strconv.Itoa(code)); r.code != code || r.stderr != "" {
			t.Errorf("exit code %d, want %d; standard error %q", r.code, code, r.stderr)
		}
	}
}

// Our failures, the runtime's and the command's have codes as with docker, and each says what is wrong, after our prefix.
func (f *fixture) failuresHaveTheirCodes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	must(t, os.WriteFile(file, nil, 0o600))
	for _, c := range []struct {
		code int
		says string
		args []string
	}{
		{127, "executable file not found", []string{f.rootfs, "nosuch"}},
		{127, "no such file or directory", []string{f.rootfs, "/nosuch"}},
		{126, "permission denied", []string{f.rootfs, "/plain"}},
		{126, "is a directory", []string{f.rootfs, "/bin"}},
		{125, "no such file or directory", []string{"/nosuch", "true"}},
		{125, "not a directory", []string{file, "true"}},
		{125, "want ROOTFS and COMMAND", []string{f.rootfs}},
		{125, "flag provided but not defined", []string{"--nosuch", f.rootfs, "true"}},
		{125, "find runtime", []string{"--runtime", "/nosuch/runc", f.rootfs, "true"}},
		{125, "find shim", []string{"--shim", "/nosuch/shim", f.rootfs, "true"}},
		{125, "start shim", []string{"--shim", "/bin/false", f.rootfs, "true"}},
		{125, "OCI runtime create failed", []string{"--runtime", "/bin/false", f.rootfs, "true"}},
		{125, `"../x"`, []string{"--id", "../x", f.rootfs, "true"}},
		{125, "config.json", []string{"--bundle", filepath.Dir(file)}},
	} {
		r := f.run(t, c.args...)
		if r.code != c.code || !strings.HasPrefix(r.stderr, "shimctl: ") || !strings.Contains(r.stderr, c.says) || r.stdout != "" {
			t.Errorf("%q: code %d, want %d with %q; got %q", c.args, r.code, c.code, c.says, r.stderr)
		}
	}
}

// What is piped in comes out again, and its end is the end of the container's input.
func (f *fixture) inputIsPiped(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	data := make([]byte, 8<<20)
	generator := rand.New(rand.NewPCG(seed, 0))
	for i := range data {
		data[i] = byte(generator.Uint32())
	}
	cmd := f.command(t, f.rootfs, "cat")
	cmd.Stdin = bytes.NewReader(data)
	r := f.finish(t, cmd)
	if r.code != 0 || r.stdout != string(data) || r.stderr != "" {
		t.Errorf("code %d, %d bytes of %d, standard error %q", r.code, len(r.stdout), len(data), r.stderr)
	}
	cmd = f.command(t, f.rootfs, "true") // does not read what it is given
	cmd.Stdin = bytes.NewReader(data)
	if r := f.finish(t, cmd); r.code != 0 || r.stderr != "" {
		t.Errorf("unread input: code %d, standard error %q", r.code, r.stderr)
	}
}

func (f *fixture) flagsReachTheContainer(t *testing.T) {
	r := f.run(t, "--env", "WORD=hello", "--cwd", "/bin", "--user", "12:34", "--hostname", "box", f.rootfs,
		"sh", "-c", "echo $WORD; pwd; id -u; id -g; hostname")
	if want := "hello\n/bin\n12\n34\nbox\n"; r.code != 0 || r.stdout != want {
		t.Errorf("got %d, %q, %q; want %q", r.code, r.stdout, r.stderr, want)
	}
	if r := f.run(t, "--net", "host", f.rootfs, "cat", "/sys/class/net/lo/operstate"); r.code != 0 {
		t.Errorf("with the host's network: %d, %q", r.code, r.stderr)
	}
}

// A user's bundle is run as it says, relative paths included, and nothing in it changes.
func (f *fixture) bundleIsAdoptedUntouched(t *testing.T) {
	dir := t.TempDir()
	rootfs, err := filepath.Rel(dir, f.rootfs)
	must(t, err)
	must(t, os.Mkdir(filepath.Join(dir, "data"), 0o755))
	must(t, os.WriteFile(filepath.Join(dir, "data/word"), []byte("bound"), 0o644))
	config := `{"ociVersion":"1.0.2","root":{"path":"` + rootfs + `"},
		"process":{"user":{"uid":0,"gid":0},"args":["cat","/plain","/mnt/word"],"env":["PATH=/bin"],"cwd":"/"},
		"mounts":[{"destination":"/proc","type":"proc","source":"proc"},{"destination":"/dev","type":"tmpfs","source":"tmpfs"},{"destination":"/mnt","source":"data","options":["bind","ro"]}],
		"linux":{"cgroupsPath":"/wisp/` + f.namespace + `/b","namespaces":[{"type":"pid"},{"type":"mount"}]}}`
	must(t, os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600))
	r := f.run(t, "--bundle", dir)
	if r.code != 0 || r.stdout != "not a programbound" {
		t.Errorf("got %d, %q, %q", r.code, r.stdout, r.stderr)
	}
	entries, err := os.ReadDir(dir)
	must(t, err)
	after, err := os.ReadFile(filepath.Join(dir, "config.json"))
	must(t, err)
	if len(entries) != 2 || string(after) != config {
		t.Errorf("the bundle was changed: %v, %s", entries, after)
	}
}

func (f *fixture) eventsAreShown(t *testing.T) {
	r := f.run(t, "--events", f.rootfs, "sh", "-c", "exit 3")
	var topics []string
	for line := range strings.Lines(r.stderr) {
		topics = append(topics, strings.Fields(line)[1])
	}
	want := []string{"/tasks/create", "/tasks/start", "/tasks/exit", "/tasks/delete"}
	if !f.clean { // it forgets the last when it leaves, or sends them in the other order: see launch's TestWholeLife
		topics, want = topics[:min(2, len(topics))], want[:2]
	}
	if r.code != 3 || !slices.Equal(topics, want) {
		t.Errorf("code %d, events:\n%s", r.code, r.stderr)
	}
}

// Each signal that is sent to shimctl reaches the container's process.
func (f *fixture) signalsAreForwarded(t *testing.T) {
	names := map[syscall.Signal]string{
		syscall.SIGINT: "INT", syscall.SIGTERM: "TERM", syscall.SIGHUP: "HUP", syscall.SIGQUIT: "QUIT",
		syscall.SIGUSR1: "USR1", syscall.SIGUSR2: "USR2", syscall.SIGWINCH: "WINCH",
	}
	text := "n=0; "
	for _, name := range names {
		text += "trap 'n=$((n+1)); echo " + name + "' " + name + "; "
	}
	cmd := f.command(t, f.rootfs, "sh", "-c",
		text+"echo ready; while [ $n -lt "+strconv.Itoa(len(names))+" ]; do sleep 0.01; done; exit 7")
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(stdout)
	lines.Scan()
	for sig, name := range names {
		must(t, cmd.Process.Signal(sig))
		if lines.Scan(); lines.Text() != name {
			t.Errorf("signal %v gave %q", sig, lines.Text())
		}
	}
	if code := f.wait(t, cmd); code != 7 {
		t.Errorf("code %d, want 7", code)
	}
}

// A container that does not end of SIGTERM is killed at the third.
func (f *fixture) thirdTermKills(t *testing.T) {
	cmd := f.command(t, f.rootfs, "sh", "-c", "trap 'echo TERM' TERM; echo ready; while :; do sleep 0.01; done")
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewScanner(stdout)
	for _, want := range []string{"ready", "TERM", "TERM"} {
		if lines.Scan(); lines.Text() != want {
			t.Errorf("line %q, want %q", lines.Text(), want)
		}
		must(t, cmd.Process.Signal(syscall.SIGTERM))
	}
	if code := f.wait(t, cmd); code != 137 {
		t.Errorf("code %d, want 137", code)
	}
}

// A signal that comes before the container runs ends all, whatever the step: here while the runtime creates.
func (f *fixture) abortedSetupLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	slow := filepath.Join(dir, "slow-runc")
	text := "#!/bin/sh\ncase \"$*\" in *' create '*) echo >" + dir + "/there; cat " + dir + "/gate;; esac\nexec runc \"$@\"\n"
	must(t, os.WriteFile(slow, []byte(text), 0o755))
	for _, name := range []string{"there", "gate"} {
		must(t, syscall.Mkfifo(filepath.Join(dir, name), 0o600))
	}
	cmd := f.command(t, "--runtime", slow, f.rootfs, "sleep", "100")
	must(t, cmd.Start())
	_, err := os.ReadFile(filepath.Join(dir, "there"))
	must(t, err)
	must(t, cmd.Process.Signal(syscall.SIGTERM))
	must(t, os.WriteFile(filepath.Join(dir, "gate"), nil, 0))
	if code := f.wait(t, cmd); code != 143 {
		t.Errorf("code %d, want 143", code)
	}
}

// When nobody reads our output any more, the container ends, as a command in a pipeline would.
func (f *fixture) brokenPipeEndsTheContainer(t *testing.T) {
	cmd := f.command(t, f.rootfs, "yes")
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	_, err = io.ReadFull(stdout, make([]byte, 100))
	must(t, err)
	must(t, stdout.Close())
	if code := f.wait(t, cmd); code != exitBrokenPipe {
		t.Errorf("code %d, want %d", code, exitBrokenPipe)
	}
}

// A container that has ended is waited for until all that it wrote is read, however late the reader begins.
func (f *fixture) slowReaderGetsAll(t *testing.T) {
	cmd := f.command(t, f.rootfs, "sh", "-c", "yes 0123456789abcde | head -c 4194304")
	stdout, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	got := sha256.New()
	n, err := io.Copy(got, stdout)
	must(t, err)
	want := sha256.Sum256(bytes.Repeat([]byte("0123456789abcde\n"), 4194304/16))
	if code := f.wait(t, cmd); code != 0 || n != 4194304 || !bytes.Equal(got.Sum(nil), want[:]) {
		t.Errorf("code %d, %d bytes", code, n)
	}
}
