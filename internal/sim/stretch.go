package sim

import "time"

// stretched is how long fetches wait in a world that is stretched: most of what happens there is that nothing comes.
const stretched = 5 * time.Second

// stretch makes some worlds last for half an hour to an hour, with the records and faults of a minute: what clients and the engine do
// once in minutes comes up as well, such as looks at topics, commits that are made again, and whatever is kept for a while and then forgotten.
func (s *scenario) stretch(d dice) {
	if s.theme == themeSteady || !d.chance(12) {
		return
	}
	to := d.between(30*time.Minute, time.Hour)
	later := func(at time.Duration) time.Duration {
		return time.Duration(float64(at) * float64(to) / float64(s.length))
	}
	for i, f := range s.feeds {
		s.feeds[i].at = later(f.at)
	}
	for i, f := range s.faults {
		s.faults[i].at = later(f.at)
	}
	for i, o := range s.outages {
		s.outages[i] = window{later(o.from), later(o.from) + o.to - o.from}
	}
	s.grows, s.fetchWait, s.length = later(s.grows), stretched, to
}
