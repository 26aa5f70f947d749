package proc

import "time"

// watchOOM starts the goroutine that tells of OOM kills while the task runs. Without a memory cgroup there is nothing to watch.
func (t *Task) watchOOM() {
	if t.cgroup == nil {
		return
	}
	watch, err := t.cgroup.WatchOOM()
	if err != nil {
		t.warn("watch OOM kills", "error", err)
		return
	}
	t.oom = watch
	t.work.Add(1)
	go t.runOOM()
}

// runOOM ends when the watch is closed or its cgroup is gone.
func (t *Task) runOOM() {
	defer t.work.Done()
	t.oom.Run(t.checkOOM)
}

// checkOOM reads the kernel's count of OOM kills and tells of new ones. It runs when the kernel notifies and once more after init's reap, so that
// no kill is missed and its event goes out before the exit (field report F6).
func (t *Task) checkOOM() {
	if t.cgroup == nil {
		return
	}
	kills, err := t.oomKills()
	if err != nil {
		return // the cgroup is gone, or has no memory controller
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if kills <= t.oomSeen || t.init.told {
		return
	}
	t.oomSeen = kills
	t.init.oom = true
	t.emitLocked(Event{Kind: EventOOM, At: time.Now()})
}

// oomKills is the kernel's count, from the watch if there is one: that has its file open.
func (t *Task) oomKills() (uint64, error) {
	if t.oom != nil {
		if kills, err := t.oom.Kills(); err == nil {
			return kills, nil
		}
	}
	return t.cgroup.OOMKills()
}

// endOOM is a goroutine of Delete, which does not wait for it: it runs while the runtime does. The watch is not ended with init, for the announcement
// of an exit is to find the processor free.
func (t *Task) endOOM() {
	defer t.work.Done()
	t.oom.Close()
}
