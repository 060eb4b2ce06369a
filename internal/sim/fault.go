package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// fault is something that is done to a world.
type fault struct {
	at    time.Duration
	what  what
	slot  int
	lasts time.Duration
	key   kmsg.Key
	err   *kerr.Error
	count int // of answers, at most

	partition int32 // of a pause; -1 all
	by        int64 // of a move: from the group's commit
}

type what string

const (
	crash        what = "crash"        // and another process after a while
	zombie       what = "zombie"       // the network stands still for a while
	drop         what = "drop"         // its connections end, and can be made again
	restart      what = "restart"      // stopped, and started again
	scaleOut     what = "scale out"    // a slot more
	scaleIn      what = "scale in"     // a slot less
	answer       what = "error"        // brokers answer with an error
	leaders      what = "leaders"      // other brokers lead
	coordinators what = "coordinators" // other brokers coordinate
	grow         what = "grow"         // a partition more
	truncate     what = "truncate"     // retention passes the commit
	move         what = "seek"         // a partition is moved by hand
	pause        what = "pause"        // partitions are paused for a while
	lose         what = "answer lost"  // connections end just before a request is answered
	usurp        what = "usurped"      // as a zombie, and its successor has come under its id
	stall        what = "stall"        // it gets no processor while it has polled records in its hand, and is thrown out of the group
)

func (f fault) String() string {
	switch f.what { //nolint:exhaustive // the others have nothing of their own
	case move:
		return fmt.Sprintf("%s (partition %d, by %+d)", f.what, f.slot, f.by)
	case pause:
		return fmt.Sprintf("%s (%d, partition %d, %v)", f.what, f.slot, f.partition, f.lasts)
	case answer:
		return fmt.Sprintf("%v: %s to %d requests within %v", f.err.Message, f.key.Name(), f.count, f.lasts)
	case lose:
		return fmt.Sprintf("%s (%s)", f.what, f.key.Name())
	}
	return fmt.Sprintf("%s (%d, %v)", f.what, f.slot, f.lasts)
}

// answers are the errors that brokers may give to each request that we use.
var answers = []struct {
	key  kmsg.Key
	errs []*kerr.Error
}{
	{kmsg.Fetch, []*kerr.Error{kerr.NotLeaderForPartition, kerr.UnknownServerError, kerr.TopicAuthorizationFailed, kerr.UnknownLeaderEpoch}},
	{kmsg.OffsetCommit, []*kerr.Error{
		kerr.RequestTimedOut, kerr.UnknownServerError, kerr.NotCoordinator, kerr.CoordinatorLoadInProgress,
		kerr.RebalanceInProgress, kerr.IllegalGeneration, kerr.UnknownMemberID, kerr.TopicAuthorizationFailed,
	}},
	{kmsg.OffsetFetch, []*kerr.Error{kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.UnknownServerError, kerr.GroupAuthorizationFailed}},
	{kmsg.JoinGroup, []*kerr.Error{kerr.NotCoordinator, kerr.CoordinatorNotAvailable, kerr.UnknownMemberID, kerr.UnknownServerError}},
	{kmsg.SyncGroup, []*kerr.Error{kerr.IllegalGeneration, kerr.RebalanceInProgress, kerr.UnknownMemberID, kerr.NotCoordinator}},
	{kmsg.Heartbeat, []*kerr.Error{kerr.UnknownMemberID, kerr.IllegalGeneration, kerr.RebalanceInProgress, kerr.NotCoordinator, kerr.UnknownServerError}},
	{kmsg.ConsumerGroupHeartbeat, []*kerr.Error{
		kerr.UnknownMemberID, kerr.FencedMemberEpoch, kerr.NotCoordinator, kerr.CoordinatorLoadInProgress, kerr.UnknownServerError,
	}},
	{kmsg.FindCoordinator, []*kerr.Error{kerr.CoordinatorNotAvailable, kerr.UnknownServerError}},
	{kmsg.Metadata, []*kerr.Error{kerr.LeaderNotAvailable}},
	{kmsg.ListOffsets, []*kerr.Error{kerr.NotLeaderForPartition, kerr.UnknownServerError}},
	{kmsg.Produce, []*kerr.Error{kerr.NotLeaderForPartition, kerr.RequestTimedOut, kerr.NotEnoughReplicas, kerr.MessageTooLarge, kerr.TopicAuthorizationFailed}},
	{kmsg.InitProducerID, []*kerr.Error{kerr.CoordinatorLoadInProgress, kerr.CoordinatorNotAvailable}},
}

// schedule decides what is done, and when.
func (s *scenario) schedule(d dice) {
	slots := s.slots
	kinds := map[theme][]what{
		themeCrash:   {crash, crash, zombie, zombie, restart, scaleOut, drop, stall, stall},
		themeScale:   {scaleOut, scaleIn, restart, restart, scaleOut},
		themeBrokers: {answer, answer, answer, answer, leaders, coordinators, drop, scaleOut, restart, stall},
		themeWork:    {restart, scaleOut, scaleIn, crash, answer},
		themeSteady:  {scaleOut, scaleIn, restart},
		themeMixed:   {crash, zombie, drop, restart, scaleOut, scaleIn, answer, answer, leaders, coordinators, stall},
	}[s.theme]
	for range 2 + d.IntN(6) {
		f := fault{at: d.between(2*time.Second, s.length), what: pick(d, kinds...), slot: d.IntN(slots)}
		switch f.what {
		case crash:
			f.lasts = d.between(time.Second, 15*time.Second)
		case zombie:
			f.lasts = d.between(time.Second, 3*s.session)
		case stall:
			f.lasts = d.between(4*time.Second, 8*time.Second) // longer than it takes to hear of it, and to join again
		case scaleOut:
			slots++
		case answer:
			a := pick(d, answers...)
			for s.protocol.without(a.key) {
				a = pick(d, answers...)
			}
			f.key, f.err = a.key, pick(d, a.errs...)
			f.lasts = d.between(time.Second, 8*time.Second)
			f.count = pick(d, 1, 2, 5, 30) // never without end: some are asked again at once, and that takes no virtual time
		case drop, restart, scaleIn, leaders, coordinators, grow, truncate, move, pause, lose, usurp:
		}
		s.faults = append(s.faults, f)
	}
	if s.grows > 0 {
		s.faults = append(s.faults, fault{at: s.grows, what: grow})
	}
	if s.truncate {
		for range 1 + d.IntN(3) {
			s.faults = append(s.faults, fault{at: d.between(2*time.Second, s.length), what: truncate, slot: d.IntN(int(s.partitions))})
		}
	}
	slices.SortStableFunc(s.faults, func(a, b fault) int { return int(a.at - b.at) })
}

// without tells whether the protocol has no use for a request.
func (p protocol) without(key kmsg.Key) bool {
	switch key { //nolint:exhaustive // the others have all
	case kmsg.JoinGroup, kmsg.SyncGroup, kmsg.Heartbeat:
		return p == consumer
	case kmsg.ConsumerGroupHeartbeat:
		return p != consumer
	}
	return false
}

// calm is when the last fault and the last outage are over.
func (s *scenario) calm() time.Duration {
	last := time.Duration(0)
	for _, f := range s.faults {
		last = max(last, f.at+f.lasts+time.Second)
		if f.what == usurp {
			last = max(last, f.at+f.lasts+usurped+s.drain+s.commitTimeout)
		}
	}
	for _, o := range s.outages {
		last = max(last, o.to)
	}
	return last
}
