package sim

import "github.com/sluice-go/sluice"

// shape decides which kind of route it is, and what becomes of records that fail for long. It has dice of its own, as more has.
func (s *scenario) shape(d dice) {
	if s.theme == themeSteady || s.commit.before {
		return
	}
	if s.batch == 0 && s.timeout == 0 && d.chance(15) {
		s.stream, s.ordering, s.workers = true, sluice.ByPartition, int(s.most()) // a partition has its own
	}
	if d.chance(25) {
		s.stick(d)
	}
}
