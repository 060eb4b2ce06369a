package monitor

// losses counts the records that were deleted before a group had handled them. The zero value is ready to use.
type losses struct {
	lost    int64 // so far
	counted int64 // the offset up to which they are counted
	suspect int64 // 1 above the commit that was found below its log's start in the last round; 0 for none
}

// see notes a commit, and where its log begins. Records below the start may have been handled, and not committed yet: they are lost when
// the commit is still there in the next round.
func (l *losses) see(commit, start int64) {
	if commit >= start {
		l.suspect = 0
		return
	}
	if from := max(commit, l.counted); l.suspect == commit+1 && start > from {
		l.lost += start - from
		l.counted = start
	}
	l.suspect = commit + 1
}
