// Shimctl runs a container under a shim without a daemon, and looks at shims that run. Begin with verbs.go, the table of what it can do.
package main

import "os"

func main() {
	p := &program{stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr}
	os.Exit(p.main(os.Args[1:]))
}
