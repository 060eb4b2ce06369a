package monitor

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func TestWhoReadsAPartition(t *testing.T) {
	t.Parallel()
	mine, free, foreign := place{"orders", 0}, place{"orders", 1}, place{"old", 0}
	member := describedMember{topics: []string{"orders"}, understood: true, has: []place{mine}}
	pattern, strange := member, describedMember{}
	pattern.pattern = true
	for name, test := range map[string]struct {
		listed              string // the state as the list of groups has it
		description         description
		mine, free, foreign readers
	}{
		"a stable group": {"Stable", description{known: true, state: "Stable", members: []describedMember{member}}, aReader, noReader, givenUp},
		"one that shares out its partitions": {
			"Stable", description{known: true, state: "PreparingRebalance", members: []describedMember{{topics: []string{"orders"}, understood: true}}},
			aReader, aReader, aReader,
		},
		"one that reads what fits a pattern": {
			"Stable", description{known: true, state: "Stable", members: []describedMember{pattern}}, aReader, noReader, noReader,
		},
		"one with a member that speaks otherwise": {
			"Stable", description{known: true, state: "Stable", members: []describedMember{member, strange}}, aReader, unknownReaders, unknownReaders,
		},
		"an empty group":                        {"Empty", description{known: true, state: "Empty"}, noMembers, noMembers, noMembers},
		"one that cannot be described":          {"Stable", description{}, unknownReaders, unknownReaders, unknownReaders},
		"an empty one that cannot be described": {"Empty", description{}, noMembers, noMembers, noMembers},
	} {
		team := newTeam(&groupAnswer{listed: kmsg.ListGroupsResponseGroup{GroupState: test.listed}, description: test.description})
		for at, want := range map[place]readers{mine: test.mine, free: test.free, foreign: test.foreign} {
			if got := team.readers(at); got != want {
				t.Errorf("%s: %v is read by %d, want %d", name, at, got, want)
			}
		}
	}
}

// A member may say anything of itself.
func FuzzClassicMember(f *testing.F) {
	wants := kmsg.ConsumerMemberMetadata{Topics: []string{"orders"}}
	has := kmsg.ConsumerMemberAssignment{Topics: []kmsg.ConsumerMemberAssignmentTopic{{Topic: "orders", Partitions: []int32{0}}}}
	f.Add(wants.AppendTo(nil), has.AppendTo(nil))
	f.Add([]byte{0, 1, 0xff}, []byte(nil))
	f.Fuzz(func(t *testing.T, wants, has []byte) {
		m := kmsg.DescribeGroupsResponseGroupMember{MemberID: "m", ProtocolMetadata: wants, MemberAssignment: has}
		if d := classicMember(&m, "consumer"); d.ID != "m" || !d.understood && len(d.has) > 0 || d.Partitions != len(d.has) {
			t.Errorf("%+v", d)
		}
	})
}
