package sim

import "time"

// pause pauses a partition of a process for a while; -1 all of the topic.
func (p *process) pause(partition int32, lasts time.Duration) {
	w := p.w
	var named []int32
	if partition >= 0 {
		named = append(named, partition)
	}
	if err := p.app.Pause(topic, named...); err != nil {
		w.trace.notef(p.name, "is not paused: %v", err) // it does not run yet
		return
	}
	stops := func(n int32) bool { return partition < 0 || n == partition }
	w.mu.Lock()
	for n := range w.scenario.most() {
		if _, ok := p.paused[n]; !ok && stops(n) {
			p.paused[n] = time.Now()
		}
	}
	w.mu.Unlock()
	w.after(lasts, func() {
		w.mu.Lock()
		for n := range w.scenario.most() {
			if stops(n) {
				delete(p.paused, n)
				p.resumed[n] = time.Now()
			}
		}
		w.mu.Unlock()
		w.trace.notef(p.name, "resumes (%d)", partition)
		if err := p.app.Resume(topic, named...); err != nil {
			w.failf("pause: %s cannot resume: %v", p.name, err)
		}
	})
}
