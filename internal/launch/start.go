package launch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/wisp-shim/wisp/bundle"
	"github.com/wisp-shim/wisp/protos"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
)

const (
	// holdLimit is how long a start that has exited may leave its output open in another process. containerd itself would wait for ever.
	holdLimit = 5 * time.Second
	// dialLimit bounds one connect to the shim's socket; start returns when the socket listens, so that nothing is waited for.
	dialLimit = 10 * time.Second
)

// BinaryFile is where a bundle says which shim serves it.
const BinaryFile = "shim-binary-path"

// ErrOutputHeld is returned by Start when the shim it left behind keeps start's standard output or error open: containerd would hang there.
var ErrOutputHeld = errors.New("the shim holds start's output open")

// Config says which shim is to be started, for which task. Binary, Namespace, ID and Bundle are required.
type Config struct {
	Binary        string     // path of the shim's binary, or a name to be found in PATH
	PublishBinary string     // what -publish-binary names; empty: this very program
	Namespace     string     // the manager's namespace
	ID            string     // the task's id, which is the base name of Bundle too
	Bundle        string     // absolute path of the bundle, which is the working directory of start and delete
	Address       string     // the manager's grpc socket: a part of the shim socket's name
	TTRPCAddress  string     // path of the socket that serves the events; empty: none
	SocketDir     string     // where the shim puts its socket, 42 bytes at most; empty: its default. Not told to a Legacy shim
	Options       *anypb.Any // options of the runtime, usually a containerd.runc.v1.Options
	Env           []string   // more environment for start, KEY=VALUE; it wins over what is inherited
	Debug         bool       // -debug
	Legacy        bool       // the protocol before containerd 2.3: options on standard input and an address, or JSON, as the answer
}

// Start runs the shim's start in the bundle, as containerd does, reads the answer, records it in the bundle (bootstrap.json and
// shim-binary-path, as containerd 2 would) and connects. The log fifo must be there already: see OpenLog. On an error it may have left a shim behind, which Delete removes.
func Start(ctx context.Context, c Config) (*Shim, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	input, err := c.startInput()
	if err != nil {
		return nil, err
	}
	cmd := c.command(ctx, "start")
	cmd.Env = append(cmd.Env, c.Env...)
	cmd.Stdin = bytes.NewReader(input)
	output, err := cmd.CombinedOutput()
	if errors.Is(err, exec.ErrWaitDelay) {
		return nil, fmt.Errorf("start shim %s: %w", c.Binary, ErrOutputHeld)
	}
	if err != nil {
		return nil, fmt.Errorf("start shim %s: %w", c.Binary, withOutput(err, output))
	}
	answer, err := parseAnswer(output, c.Legacy)
	if err != nil {
		return nil, fmt.Errorf("start shim %s: %w", c.Binary, err)
	}
	if err := bundle.WriteFile(filepath.Join(c.Bundle, BinaryFile), []byte(c.Binary), 0o600); err != nil {
		return nil, fmt.Errorf("record shim: %w", err)
	}
	if err := answer.write(c.Bundle); err != nil {
		return nil, err
	}
	return c.dial(ctx, answer)
}

// Attach connects to the shim that runs already for the bundle, whoever started it.
func Attach(ctx context.Context, c Config) (*Shim, error) {
	answer, err := ReadAnswer(c.Bundle)
	if err != nil {
		return nil, err
	}
	return c.dial(ctx, answer)
}

func (c Config) dial(ctx context.Context, answer Answer) (*Shim, error) {
	shim, err := Dial(ctx, answer)
	if err != nil {
		return nil, err
	}
	shim.config = c
	return shim, nil
}

// Delete runs the shim's delete, which takes away what is left of a task, and returns what it says of the task's end.
func Delete(ctx context.Context, c Config) (*protos.DeleteResponse, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	cmd := c.command(ctx, "delete")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("delete shim %s: %w", c.Binary, withOutput(err, stderr.Bytes()))
	}
	var response protos.DeleteResponse
	if err := proto.Unmarshal(stdout.Bytes(), &response); err != nil {
		return nil, fmt.Errorf("read answer of delete of %s: %w", c.Binary, err)
	}
	return &response, nil
}

// command makes the command of an action, killed when ctx ends. Its process group is its own, so that a ^C meant for us is not for the shim.
func (c Config) command(ctx context.Context, action string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, c.Binary, c.args(action)...)
	cmd.Dir = c.Bundle
	cmd.Env = append(os.Environ(), c.env()...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.WaitDelay = holdLimit
	return cmd
}

// args is containerd's command line for an action; only delete is told the bundle.
func (c Config) args(action string) []string {
	publish := c.PublishBinary
	if publish == "" {
		publish, _ = os.Executable()
	}
	args := []string{"-namespace", c.Namespace, "-address", c.Address, "-publish-binary", publish, "-id", c.ID}
	if action == "delete" {
		args = append(args, "-bundle", c.Bundle)
	}
	if c.Debug {
		args = append(args, "-debug")
	}
	return append(args, action)
}

// env is what containerd adds to its own environment for every action.
func (c Config) env() []string {
	return []string{
		"GOMAXPROCS=2",
		"MAX_SHIM_VERSION=2",
		"TTRPC_ADDRESS=" + c.TTRPCAddress,
		"GRPC_ADDRESS=" + c.Address,
		"NAMESPACE=" + c.Namespace,
	}
}

// startInput is what start reads: the options alone (nothing, if there are none) or, from containerd 2.3 on, BootstrapParams.
func (c Config) startInput() ([]byte, error) {
	if c.Legacy {
		if c.Options == nil {
			return nil, nil
		}
		return marshal(c.Options)
	}
	params := &protos.BootstrapParams{
		InstanceId:             c.ID,
		Namespace:              c.Namespace,
		ContainerdVersion:      "v2.4.0",
		ContainerdTtrpcAddress: c.TTRPCAddress,
		ContainerdGrpcAddress:  c.Address,
		ContainerdBinary:       c.PublishBinary,
	}
	if c.Debug {
		params.LogLevel = -4
	}
	if c.SocketDir != "" {
		params.SocketDir = &c.SocketDir
	}
	if c.Options != nil {
		params.Extensions = []*protos.BootstrapExtension{{Value: c.Options}}
	}
	return marshal(params)
}

// check tells what is missing in a Config before anything is run.
func (c Config) check() error {
	switch {
	case c.Binary == "":
		return errors.New("check shim configuration: no binary")
	case !filepath.IsAbs(c.Bundle):
		return fmt.Errorf("check shim configuration: bundle %q is not an absolute path", c.Bundle)
	case filepath.Base(c.Bundle) != c.ID:
		return fmt.Errorf("check shim configuration: bundle %s does not end in the id %q", c.Bundle, c.ID)
	}
	return nil
}

func marshal(m proto.Message) ([]byte, error) {
	data, err := proto.Marshal(m)
	if err != nil {
		return nil, fmt.Errorf("encode start's input: %w", err)
	}
	return data, nil
}

// withOutput adds what a failed command printed to its error.
func withOutput(err error, output []byte) error {
	text := strings.TrimSpace(string(output))
	if text == "" {
		return err
	}
	return fmt.Errorf("%w: %s", err, text)
}
