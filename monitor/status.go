package monitor

// Status is how a group does on a partition, in Burrow's words and with Burrow's numbers.
type Status int8

const (
	// Unknown is a partition or a commit that could not be seen, or one without a commit and nothing to judge yet: Burrow's NOTFOUND.
	Unknown Status = 0

	// OK is a group that has caught up, or makes progress.
	OK Status = 1

	// Warn is a group that makes progress, and falls behind all the same.
	Warn Status = 2

	// Stop is a group with records to read whose commit does not move, and nobody reads the partition.
	Stop Status = 4

	// Stall is the same where somebody reads the partition.
	Stall Status = 5

	// Rewind is a group whose commit went back, and that is not where it was yet.
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

// Worse is the one of two that is told of both: STOP, STALL, REWIND, WARN, OK, and then NOTFOUND.
func (s Status) Worse(than Status) Status {
	if than.severity() > s.severity() {
		return than
	}
	return s
}
