package groups

import (
	"strings"
	"testing"

	"github.com/sluice-go/sluice"
)

// Each member sees in the group's description what the others read, with both protocols.
func TestMembersWithOtherRoutesAreNoted(t *testing.T) {
	t.Parallel()
	for _, protocol := range []sluice.GroupProtocol{sluice.ClassicProtocol, sluice.ConsumerProtocol} {
		t.Run(string(protocol), func(t *testing.T) {
			t.Parallel() // a look comes once a minute
			k := newKit(t)
			k.name += string(protocol)
			orders, payments := k.name+"-orders", k.name+"-payments"
			k.create(2, orders, payments)
			var l ledger
			first := k.join(&l, protocol, "", orders)
			second := k.join(&l, protocol, "", orders, payments)
			k.until("both tell of it", func() bool {
				return strings.Contains(strings.Join(first.Health().Notes, ""), "one reads "+payments+", which this one does not;") &&
					strings.Contains(strings.Join(second.Health().Notes, ""), "one does not read "+payments+";")
			})
			for _, m := range []*member{first, second} {
				if h := m.Health(); !h.Ready {
					t.Errorf("%+v", h)
				}
			}
			second.leave(k)
			k.until("there is nobody else", func() bool { return len(first.Health().Notes) == 0 })
			first.leave(k)
		})
	}
}
