package main

import (
	"context"
	"fmt"
	"time"
)

// growthExecs is how many execs each contender runs at each size.
const growthExecs = 40

// benchGrowth brings up more and more tasks, and looks at how long the next one takes, how long an exec takes, and at the memory of
// each. The contenders take turns, so that all see the same machine: with 300 of each alive.
func benchGrowth(ctx context.Context, l *lab) (err error) {
	sizes := []int{1, 20, 100, 300}
	if l.quick {
		sizes = []int{1, 20}
	}
	all := map[string][]*box{}
	defer func() {
		if derr := disperse(ctx, all); err == nil {
			err = derr
		}
	}()
	for _, size := range sizes {
		when := fmt.Sprintf("%d alive", size)
		if err := l.growTo(ctx, all, size, "bring-up, "+when); err != nil {
			return err
		}
		if err := l.execAmong(ctx, all, "exec, "+when); err != nil {
			return err
		}
		if err := sleep(ctx, settle); err != nil {
			return err
		}
		for name, boxes := range all {
			for _, b := range boxes {
				u, err := usageOf(b.server.Pid)
				if err != nil {
					return err
				}
				l.add("PSS, "+when+" of each", name, u.pss)
			}
		}
	}
	return nil
}

// growTo brings up tasks until each contender has size of them.
func (l *lab) growTo(ctx context.Context, all map[string][]*box, size int, figure string) error {
	for n := len(all[l.contenders[0].name]); n < size; n++ {
		for i := range l.contenders {
			c := l.contenders[(n+i)%len(l.contenders)]
			b, err := l.newBox(c, false, idle...)
			if err != nil {
				return err
			}
			all[c.name] = append(all[c.name], b)
			begun := time.Now()
			if err := b.up(ctx); err != nil {
				return err
			}
			l.add(figure, c.name, ms(time.Since(begun)))
		}
	}
	l.tail(figure)
	return nil
}

// execAmong runs /bin/true in one task of each contender after the other.
func (l *lab) execAmong(ctx context.Context, all map[string][]*box, figure string) error {
	for n := range growthExecs {
		for i := range l.contenders {
			c := l.contenders[(n+i)%len(l.contenders)]
			boxes := all[c.name]
			begun := time.Now()
			if err := boxes[n%len(boxes)].execTrue(ctx, fmt.Sprintf("g%d-%d", len(boxes), n)); err != nil {
				return err
			}
			l.add(figure, c.name, ms(time.Since(begun)))
		}
	}
	l.tail(figure)
	return nil
}

// tail makes a figure of the 95th percentile of another.
func (l *lab) tail(figure string) {
	for _, c := range l.contenders {
		l.add(figure+": p95", c.name, l.quantile(figure, c.name, 0.95))
	}
}
