package layers

const modulePath = "github.com/wisp-shim/wisp"

// Budgets. A change that needs more says why in its commit message.
const (
	// maxShimPackages is how many packages the shim's binary links, the standard library's included.
	maxShimPackages = 158
	// maxShimBytes is the size of the shim's binary, built as `make build` does.
	maxShimBytes = 6_000_000
	// maxMainLines, maxFileLines and maxFuncLines bound main.go, any file and any function, in lines.
	maxMainLines = 40
	maxFileLines = 400
	maxFuncLines = 60
)

// A layer says which of our own packages a package may import.
type layer struct {
	name string
	may  []string
	why  string
}

// layers lists every package of ours but the root and fakes (xxxtest, which may import what they stand for). A
// package imports lower layers only, never a sibling: docs/architecture.md. Tests may import more.
func layers() []layer {
	shimParts := []string{"protos", "bundle", "reaper", "io", "runc", "proc", "internal/bell", "internal/cgroup", "internal/detach", "internal/mount"}
	manager := []string{"protos", "bundle", "internal/launch"}
	const (
		bottom = "it is at the bottom: anything may import it"
		beside = "it is a manager's: another process than the shim, which it knows by the wire and the bundle alone"
	)
	return []layer{
		{"protos", nil, bottom},
		{"protos/gen", nil, "it is a tool that writes protos"},
		{"bundle", nil, bottom},
		{"reaper", []string{"internal/bell"}, "it knows children and their signal"},
		{"io", nil, bottom},
		{"internal/bell", nil, bottom},
		{"internal/cgroup", nil, bottom},
		{"internal/detach", nil, bottom},
		{"internal/mount", nil, bottom},
		{"internal/leak", nil, bottom + ", and only tests do"},
		{"internal/layers", nil, "it holds tests only"},
		{"runc", []string{"bundle", "reaper"}, "it drives the runtime and knows neither state nor wire"},
		{"proc", []string{"bundle", "reaper", "io", "runc", "internal/cgroup", "internal/mount"}, "it knows tasks, and nothing of the wire"},
		{"shim", shimParts, "it is the wire on top of all that"},
		{"cmd/shim", []string{"shim"}, "it is flags and an exit code"},
		{"internal/launch", []string{"protos", "bundle"}, beside},
		{"runtime", manager, beside},
		{"cmd/shimctl", append(manager, "runtime"), beside},
	}
}

// A ban is an import that is forbidden, with all below it, unless it is excepted.
type ban struct {
	path   string
	why    string
	except []string
}

// unlinked must not be linked into the shim's binary, by whatever way.
func unlinked() []ban {
	const (
		heavy = "it weighs more than it gives: the shim's memory and size are budgets"
		templ = "reflection on method names switches the linker's dead code elimination off"
	)
	return []ban{
		{path: "net/http", why: heavy},
		{path: "text/template", why: templ},
		{path: "html/template", why: templ},
		{path: "os/exec", why: "package reaper is the only one to start and await processes"},
		{path: "os/user", why: heavy},
		{path: "regexp", why: heavy},
		{path: "log/slog", why: heavy},
		{path: "crypto/tls", why: heavy},
		{path: "crypto/x509", why: heavy},
		{path: "golang.org/x/net", why: heavy},
		{path: "github.com/containerd/containerd", why: "its messages are our own (docs/decisions/0003)"},
		{path: "github.com/opencontainers", why: "the runtime is another program"},
		{path: "google.golang.org/grpc", why: "ttrpc is the only wire; its codes and status are all it takes of grpc", except: []string{
			"google.golang.org/grpc/codes",
			"google.golang.org/grpc/connectivity",
			"google.golang.org/grpc/grpclog",
			"google.golang.org/grpc/grpclog/internal",
			"google.golang.org/grpc/internal",
			"google.golang.org/grpc/internal/status",
			"google.golang.org/grpc/serviceconfig",
			"google.golang.org/grpc/status",
		}},
	}
}

// unimported must not be imported by our packages that the shim links, though some library may link it.
func unimported() []ban {
	return []ban{
		{path: "log", why: "the shim has a log of its own that never blocks"},
		{path: "go", why: "it is for tools"},
		{path: "math/rand", why: "nothing here is random: use math/rand/v2 if it must"},
		{path: "github.com/sirupsen/logrus", why: "the shim has a log of its own that never blocks"},
	}
}

// belowTheWire must not be linked by anything up to package proc.
func belowTheWire() []ban {
	const why = "below package shim there are plain values"
	return []ban{
		{path: "github.com/containerd/ttrpc", why: why},
		{path: "google.golang.org/protobuf/proto", why: why},
		{path: "google.golang.org/grpc", why: why},
	}
}

// variables are the package variables that something changes, and what: "directory.name".
func variables() map[string]string {
	return map[string]string{
		"shim.version":        "the linker sets it: `make build`",
		"cmd/shimctl.version": "the linker sets it: `make build`",
	}
}
