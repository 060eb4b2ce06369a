package sluice

// Used is how many bytes of a producer's buffer are taken, and how many records wait for room.
func (p *Producer) Used() (bytes int64, waiting int) {
	p.outbox.mu.Lock()
	defer p.outbox.mu.Unlock()
	return p.outbox.used, len(p.outbox.waiters)
}

// Watched is how many contexts a producer watches.
func (p *Producer) Watched() int {
	p.outbox.mu.Lock()
	defer p.outbox.mu.Unlock()
	return len(p.outbox.watches)
}
