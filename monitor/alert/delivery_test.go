package alert

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sluice-go/sluice/monitor"
)

// many are groups that stall.
func many(prefix string, n int) (all []monitor.Group) {
	for i := range n {
		all = append(all, doing(fmt.Sprintf("%s-%05d", prefix, i), monitor.Stall))
	}
	return all
}

// postbox is an Alertmanager's transport: it knows until when each alert fires, as Alertmanager does.
type postbox struct {
	mu      sync.Mutex
	ends    map[string]time.Time // by group
	longest int                  // message
}

func (p *postbox) RoundTrip(r *http.Request) (*http.Response, error) {
	var all []postableAlert
	if err := json.NewDecoder(r.Body).Decode(&all); err != nil {
		return nil, err
	}
	time.Sleep(100 * time.Millisecond)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.longest = max(p.longest, len(all))
	for _, a := range all {
		p.ends[a.Labels[LabelGroup]] = a.EndsAt
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader("")), Header: http.Header{}}, nil
}

// fire counts the alerts that fire, as far as it knows.
func (p *postbox) fire() (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, end := range p.ends {
		if end.After(time.Now()) {
			n++
		}
	}
	return n
}

// An Alertmanager hears of each of thousands of alerts before it takes it for resolved, of new ones at once, and of what is over.
func TestThousandsOfAlertsDoNotStarve(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const n = 3_000
		p := &postbox{ends: map[string]time.Time{}}
		s := set(t, Config{Rules: stalled(0, -1), Receivers: []Receiver{
			{Name: "am", Sender: &Alertmanager{Endpoint{URL: "http://127.0.0.1:1", Transport: p}}},
		}})
		groups := many("g", n)
		s.show(time.Minute, groups...)
		for range 36 {
			s.show(10*time.Second, groups...)
			if got := p.fire(); got != n {
				t.Fatalf("%d fire", got)
			}
		}
		late := doing("z-late", monitor.Stall)
		s.show(10*time.Second, append(groups, late)...)
		if got := p.fire(); got != n+1 {
			t.Errorf("%d fire: what is new comes first", got)
		}
		s.show(20*time.Second, groups[1:]...)
		if got := p.fire(); got != n-1 {
			t.Errorf("%d fire: two are over", got)
		}
		if p.longest > batch {
			t.Errorf("%d in a message", p.longest)
		}
	})
}

// What is new and what is over goes before what is repeated, and what was repeated longest ago before the rest.
func TestWhatIsDueFirst(t *testing.T) {
	t.Parallel()
	a, err := New(Config{Rules: stalled(0, -1), Receivers: receiver(&phone{})})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	a.Observe(&monitor.Snapshot{Round: 1, At: now, Groups: many("old", batch+50)})
	first, more := a.due(a.outlets[0], now, batch)
	if len(first) != batch || !more {
		t.Fatalf("%d, %v", len(first), more)
	}
	a.told(a.outlets[0], first, false)
	rest, more := a.due(a.outlets[0], now, batch)
	if len(rest) != 50 || more {
		t.Fatalf("%d, %v", len(rest), more)
	}
	a.told(a.outlets[0], rest, false)
	a.Observe(&monitor.Snapshot{Round: 2, At: now, Groups: append(many("old", batch+49), doing("z", monitor.Stall))})
	next, more := a.due(a.outlets[0], time.Now().Add(4*time.Hour), batch)
	got := map[string]State{}
	for _, one := range next {
		got[one.Labels[LabelGroup]] = one.State
	}
	if got["z"] != Firing || got[fmt.Sprintf("old-%05d", batch+49)] != Resolved || got["old-00000"] != Firing || got["old-00210"] != "" || !more {
		t.Errorf("%d, %v: %v", len(next), more, got)
	}
}

// One alert that a receiver does not take keeps no other from it, is named in the log, and tried again an hour later.
func TestAnAlertThatIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		p := &phone{began: time.Now(), bad: "poison"}
		s := set(t, Config{Rules: stalled(0, -1), Receivers: receiver(p), Logger: slog.New(slog.NewTextHandler(&log, nil))})
		groups := append(many("g", 100), append(many("poison", 3), many("z", 50)...)...)
		s.show(time.Minute, groups...)
		if got := len(p.heard()); got != 150 {
			t.Errorf("%d of 150 are told", got)
		}
		status := s.Receivers()[0]
		if status.Refused != 3 || status.Err != nil || status.Failed != 0 || p.asked > 50 {
			t.Errorf("%+v, in %d messages", status, p.asked)
		}
		for i := range 3 {
			if want := fmt.Sprintf("group=poison-%05d", i); strings.Count(log.String(), want) != 1 {
				t.Errorf("%s is not in the log once:\n%s", want, log.String())
			}
		}
		asked := p.asked
		s.show(50*time.Minute, groups...)
		if p.asked != asked {
			t.Errorf("asked %d times more", p.asked-asked)
		}
		p.bad = ""
		s.show(10*time.Minute, groups...)
		if got := len(p.heard()); got != 153 {
			t.Errorf("%d of 153 are told", got)
		}
		p.bad = "poison"
		s.show(time.Minute, good)
		if got := len(p.heard()); got != 153+150 {
			t.Errorf("%d are told", got)
		}
		if got := s.states(); len(got) != 0 {
			t.Errorf("left: %v", got)
		}
	})
}

// A receiver that refuses everything is one that fails: nothing is left out, and it is told all when it is mended.
func TestAReceiverThatRefusesEverything(t *testing.T) {
	t.Parallel()
	for _, n := range []int{1, 5, batch} {
		t.Run(strconv.Itoa(n), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &phone{began: time.Now(), bad: "g"}
				s := set(t, Config{Rules: stalled(0, -1), Receivers: receiver(p)})
				s.show(time.Hour, many("g", n)...)
				status := s.Receivers()[0]
				if status.Refused != 0 || status.Err == nil || status.Failed < 60 || int64(p.asked) > status.Failed*fruitless {
					t.Errorf("%+v, in %d messages", status, p.asked)
				}
				p.bad = "-"
				s.show(2*time.Minute, many("g", n)...)
				if got := len(p.heard()); got != n {
					t.Errorf("%d are told", got)
				}
			})
		})
	}
}

// Only what a message says is a reason to tell its parts by themselves: not who says it, nor how often.
func TestWhatIsARefusal(t *testing.T) {
	t.Parallel()
	for code, want := range map[int]bool{400: true, 413: true, 422: true, 401: false, 403: false, 404: false, 429: false, 500: false, 503: false} {
		endpoint, _ := listen(t, code, "no")
		o := newOutlet(&Alerter{}, Receiver{Name: "r", Sender: &Webhook{endpoint}, Timeout: time.Minute})
		_, refused, err := o.deliver(context.Background(), []Alert{firing("a"), firing("b")})
		if want != (len(refused) == 2 && err == nil) {
			t.Errorf("%d: %v, %v", code, refused, err)
		}
	}
}

// What a condition finds makes labels that Alertmanager takes, and cannot make another alert of it.
func TestLabelsOfFindings(t *testing.T) {
	t.Parallel()
	f := Finding{Group: "g", Value: math.NaN(), Labels: map[string]string{
		"my-label": "a", "1st": "b", "": "c", "empty": "", "alertname": "Other", "größe": "d", "ok_1": "e", "topic": "x",
	}}
	a := Rule{Name: "R"}.withDefaults().alert(f, map[string]string{"cluster": ""})
	want := map[string]string{
		"alertname": "R", "severity": SeverityWarning, "group": "g", "my_label": "a", "_1st": "b", "gr__e": "d", "ok_1": "e",
	}
	if fmt.Sprint(a.Labels) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", a.Labels, want)
	}
	for _, v := range []float64{math.NaN(), math.Inf(1), math.Inf(-1)} {
		f.Value = v
		if _, err := json.Marshal(Rule{Name: "R"}.alert(f, nil)); err != nil {
			t.Error(err)
		}
	}
}

// A thousand alerts at once are one message in a chat.
func TestAChatIsNotFlooded(t *testing.T) {
	t.Parallel()
	for name, sender := range map[string]func(Endpoint) Sender{
		"slack":    func(e Endpoint) Sender { return &Slack{e} },
		"dingtalk": func(e Endpoint) Sender { return &DingTalk{e, ""} },
		"wecom":    func(e Endpoint) Sender { return &WeCom{e} },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				chat := says{status: http.StatusOK, answer: `{"errcode":0}`}
				s := set(t, Config{Rules: stalled(0, -1), Receivers: receiver(sender(Endpoint{URL: "http://127.0.0.1:1", Transport: chat}))})
				s.show(time.Minute, many("g", 1000)...)
				if status := s.Receivers()[0]; status.Sent != 1 || status.Err != nil {
					t.Errorf("%+v", status)
				}
			})
		})
	}
}
