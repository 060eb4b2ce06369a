package monitor

// Status is how a group does on a partition, in Burrow's words and with Burrow's numbers.
type Status int8

const (
	// Unknown: the partition or the group's commit could not be seen, or there is no commit and nothing to judge yet. Burrow's NOTFOUND.
	Unknown Status = 0

	// OK: the group has caught up, or makes progress.
	OK Status = 1

	// Warn: the group makes progress and falls behind all the same.
	Warn Status = 2

	// Stop: there are records, the commit does not move, and nobody reads the partition.
	Stop Status = 4

	// Stall: there are records, somebody reads the partition, and the commit does not move.
	Stall Status = 5

	// Rewind: the commit went back, and the group is not where it was yet.
	Rewind Status = 6
)

// String is Burrow's word.
func (s Status) String() string {
	switch s {
	case OK:
		return "OK"
	case Warn:
		return "WARN"
	case Stop:
		return "STOP"
	case Stall:
		return "STALL"
	case Rewind:
		return "REWIND"
	default:
		return "NOTFOUND"
	}
}

// severity orders what is told of a group with partitions of different status.
func (s Status) severity() int {
	switch s {
	case Stop:
		return 5
	case Stall:
		return 4
	case Rewind:
		return 3
	case Warn:
		return 2
	case OK:
		return 1
	default:
		return 0
	}
}

// worse is the one of two that is told of both.
func worse(a, b Status) Status {
	if b.severity() > a.severity() {
		return b
	}
	return a
}
