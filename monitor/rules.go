package monitor

import "time"

// Rules say how a group is judged. The zero value is the default.
type Rules struct {
	// AllowedLag is the lag, in records, up to which a group counts as caught up. Default 0.
	AllowedLag int64

	// FirstSight is how long a group without members may leave records unread before it counts as stopped, as long as it is watched for no
	// longer than that: nobody knows yet whether it is a job that runs once an hour. Default 90 minutes; at least Window.
	FirstSight time.Duration

	// Window is the time that a group is judged by, and how long it may leave records unread without progress. Default 10 minutes.
	Window time.Duration
}

func (r Rules) withDefaults() Rules {
	if r.Window == 0 {
		r.Window = 10 * time.Minute
	}
	if r.FirstSight == 0 {
		r.FirstSight = max(90*time.Minute, r.Window)
	}
	return r
}

// readers is who reads a partition for a group.
type readers int8

const (
	noMembers      readers = iota // the group has none: it is stopped, or reads without being a member
	noReader                      // the group has members that want the topic, and none of them has this partition
	aReader                       // a member, or all of them while they share out the partitions
	unknownReaders                // the group could not be described, or its members say nothing that we understand
	givenUp                       // the group has members, and none of them wants the topic any more
)

// judge says how a group does that was seen just now. lag is the time lag at its end.
func (r Rules) judge(w *window, who readers, lag TimeLag) Status {
	if len(w.slots) == 0 {
		return Unknown
	}
	switch {
	case w.stuck == 0, who == givenUp:
		return OK
	case who == noMembers || who == noReader:
		if w.lasted(w.stuck) >= r.patience(w, who) {
			return Stop
		}
	case w.lasted(max(w.stuck, w.joined)) >= r.patience(w, who): // who has just come is not to blame for the time before
		return Stall
	}
	switch {
	case w.turned != 0:
		return Rewind
	case r.fallsBehind(w, lag):
		return Warn
	default:
		return OK
	}
}

// patience is how long a group may leave records unread.
func (r Rules) patience(w *window, who readers) time.Duration {
	if who != noMembers {
		habit := time.Duration(0)
		if who == aReader {
			habit, _ = w.habit(true)
		}
		return max(r.Window, 2*habit)
	}
	if w.lasted(w.watched) < r.FirstSight {
		return r.FirstSight
	}
	habit, alone := w.habit(false)
	if habit == 0 {
		return max(r.Window, min(2*alone, r.FirstSight))
	}
	return max(r.Window, 2*habit)
}

// fallsBehind says whether the lag has grown all through the window: the lowest lag of each third is higher than that of the third before,
// by more than a hundredth of what the group handles, so that it is no noise; and the group is more than a moment behind.
func (r Rules) fallsBehind(w *window, lag TimeLag) bool {
	lows, ok := w.lows(r)
	if !ok || lows[0] <= r.AllowedLag || lows[0] >= lows[1] || lows[1] >= lows[2] {
		return false
	}
	handled := w.slots[len(w.slots)-1].commit - w.slots[0].commit
	return lows[2]-lows[0] > handled/100 && lag.Behind > r.Window/slots
}
