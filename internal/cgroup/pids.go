package cgroup

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// Pids lists the processes in the cgroup and in those below it. Cgroups that go away meanwhile are no error: a cgroup that is gone has no processes.
func (c *Cgroup) Pids() ([]int, error) {
	dir, err := c.need(c.main())
	if err != nil {
		return nil, err
	}
	var found []int
	r := &reader{}
	defer r.close()
	err = walk(dir, func(dir string) error {
		list, err := r.pids(dir)
		if err != nil {
			return err
		}
		found = append(found, list...)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list processes: %w", err)
	}
	return found, nil
}

// others lists the processes for those who mean to stop or kill them, and fails when this process is among them, or the machine's first.
func (c *Cgroup) others() ([]int, error) {
	found, err := c.Pids()
	if err == nil && (slices.Contains(found, os.Getpid()) || slices.Contains(found, 1)) {
		err = fmt.Errorf("cgroup %s: %w", c.at(c.main()), ErrShared)
	}
	return found, err
}

// pids reads the processes of one cgroup. In a threaded cgroup of v2 they cannot be read, for they belong to the cgroup above that is not threaded and lists
// them: if the container's own is such a one, its threads are all there is.
func (r *reader) pids(dir string) ([]int, error) {
	if err := r.cd(dir); err != nil {
		return nil, err
	}
	data, err := r.read("cgroup.procs")
	if errors.Is(err, unix.EOPNOTSUPP) {
		data, err = r.read("cgroup.threads")
	}
	if err != nil {
		return nil, fmt.Errorf("read processes of %s: %w", dir, err)
	}
	list := make([]int, 0, bytes.Count(data, []byte("\n")))
	for line := range bytes.Lines(data) {
		if pid := int(number(bytes.TrimSpace(line))); pid > 0 { // 0 is a process that this pid namespace does not see
			list = append(list, pid)
		}
	}
	return list, nil
}

// walk calls visit for dir and every cgroup below it, parents first. One that is gone is passed over.
func walk(dir string, visit func(dir string) error) error {
	if err := visit(dir); err != nil && !isGone(err) {
		return err
	}
	// A cgroup has a link for each of its children, beside its name and its own dot. Most have none, and are not listed.
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil || st.Nlink == 2 {
		return nil
	}
	names, err := os.ReadDir(dir)
	if err != nil && !isGone(err) {
		return fmt.Errorf("list %s: %w", dir, err)
	}
	for _, n := range names {
		if !n.IsDir() {
			continue
		}
		if err := walk(dir+"/"+n.Name(), visit); err != nil {
			return err
		}
	}
	return nil
}
