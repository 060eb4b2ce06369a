package alert

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

var firedAt = time.Date(2026, 11, 28, 6, 0, 0, 0, time.UTC)

func firing(group string) Alert {
	return Alert{
		Labels: map[string]string{LabelName: "GroupStalled", LabelSeverity: SeverityCritical, LabelGroup: group, LabelTopic: "orders"},
		Annotations: map[string]string{
			AnnotationSummary: group + " stands still on partition 4 of orders; 7 records wait", AnnotationAction: "Look for a bad record.",
		},
		State: Firing, Since: firedAt.Add(-time.Minute), FiredAt: firedAt,
	}
}

func resolved(group string) Alert {
	a := firing(group)
	a.State, a.ResolvedAt = Resolved, firedAt.Add(90*time.Second)
	return a
}

func message(alerts ...Alert) Message {
	return Message{Receiver: "ops", Alerts: alerts, At: time.UnixMilli(1_790_000_000_000)}
}

// posted is what a server was sent.
type posted struct {
	path, query, authorization string
	body                       []byte
}

// listen answers all posts alike, and keeps the last one.
func listen(t *testing.T, status int, answer string, header ...string) (endpoint Endpoint, last *posted) {
	t.Helper()
	last = &posted{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		*last = posted{r.URL.Path, r.URL.RawQuery, r.Header.Get("Authorization"), body}
		for i := 0; i+1 < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, answer)
	}))
	t.Cleanup(server.Close)
	return Endpoint{URL: server.URL + "/services/T0PS3CRET/B0", Transport: server.Client().Transport}, last
}

func TestWhatIsPosted(t *testing.T) {
	t.Parallel()
	const fine = `{"errcode":0,"errmsg":"ok"}`
	both := message(firing("billing"), resolved("<!channel> & [x](http://y)"))
	for name, test := range map[string]struct {
		sender func(Endpoint) Sender
		path   string
		want   []string // in the body
		not    []string
	}{
		"alertmanager": {func(e Endpoint) Sender { return &Alertmanager{e} }, "/services/T0PS3CRET/B0/api/v2/alerts", []string{
			`[{"labels":{"alertname":"GroupStalled","group":"billing","severity":"critical","topic":"orders"},`,
			`"startsAt":"2026-11-28T06:00:00Z","endsAt":"2026-09-21T`, `"endsAt":"2026-11-28T06:01:30Z"}]`,
		}, nil},
		"webhook": {func(e Endpoint) Sender { return &Webhook{e} }, "", []string{
			`"version":"4"`, `"status":"firing"`, `"receiver":"ops"`, `"commonLabels":{"alertname":"GroupStalled","severity":"critical","topic":"orders"}`,
			`"endsAt":"0001-01-01T00:00:00Z"`, `"endsAt":"2026-11-28T06:01:30Z"`, `"fingerprint":"` + both.Alerts[0].Fingerprint() + `"`,
		}, nil},
		"slack": {func(e Endpoint) Sender { return &Slack{e} }, "", []string{
			`"text":"Kafka: 1 firing, 1 resolved"`, `"color":"danger"`, `"color":"good"`, "Look for a bad record.", "resolved after 1m30s",
			`\u0026lt;!channel\u0026gt; \u0026amp;`,
		}, []string{"<!channel>", `\u003c!channel`}},
		"dingtalk": {func(e Endpoint) Sender { return &DingTalk{e, ""} }, "", []string{
			`"msgtype":"markdown"`, `"title":"Kafka: 1 firing, 1 resolved"`, "＜!channel＞", "［x］(http",
		}, []string{"<!channel>", "[x]", `\u003c!channel`}},
		"wecom": {func(e Endpoint) Sender { return &WeCom{e} }, "", []string{`"msgtype":"markdown"`, `"content":"**Kafka: 1 firing`}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			endpoint, last := listen(t, http.StatusOK, fine)
			endpoint.Authorization = "Bearer s3cr3t-token"
			if err := test.sender(endpoint).Send(t.Context(), both); err != nil {
				t.Fatal(err)
			}
			if test.path == "" {
				test.path = "/services/T0PS3CRET/B0"
			}
			if !json.Valid(last.body) || last.path != test.path || last.authorization != "Bearer s3cr3t-token" {
				t.Errorf("%+v", last)
			}
			for _, want := range test.want {
				if !strings.Contains(string(last.body), want) {
					t.Errorf("%s is missing in %s", want, last.body)
				}
			}
			for _, not := range test.not {
				if strings.Contains(string(last.body), not) {
					t.Errorf("%s is in %s", not, last.body)
				}
			}
		})
	}
}

// The signature is HMAC-SHA256 of the time in milliseconds, a new line and the secret, by the secret.
func TestDingTalkSigns(t *testing.T) {
	t.Parallel()
	endpoint, last := listen(t, http.StatusOK, `{"errcode":0}`)
	endpoint.URL += "?access_token=t0ken"
	if err := (&DingTalk{endpoint, "SECdeadbeef"}).Send(t.Context(), message(firing("billing"))); err != nil {
		t.Fatal(err)
	}
	// printf '1790000000000\nSECdeadbeef' | openssl dgst -sha256 -hmac SECdeadbeef -binary | base64
	const want = "access_token=t0ken&sign=M59yWGNF7qaGFea15RFR7I4PlqXLpwjVbaicwCHGxME%3D&timestamp=1790000000000"
	if last.query != want {
		t.Errorf("the query is %s", last.query)
	}
}

// Neither an error nor a printed sender tells more than scheme and host.
func TestSecretsAreNotTold(t *testing.T) {
	t.Parallel()
	const echo = `{"errcode":310000,"errmsg":"no /services/T0PS3CRET/B0 with t0ken-t0ken, SECdeadbeef, s3cr3t-token"}`
	for name, test := range map[string]struct {
		status int
		answer string
		spoil  func(*Endpoint)
		want   string
	}{
		"refused":      {http.StatusForbidden, echo, nil, "it answers 403: "},
		"refused, 200": {http.StatusOK, echo, nil, "it refuses with 310000: no *** with ***, ***, ***"},
		"no robot":     {http.StatusOK, `<html>`, nil, "its answer is none of a robot"},
		"redirect":     {http.StatusFound, echo, nil, "it redirects (302)"},
		"nobody":       {http.StatusOK, "", func(e *Endpoint) { e.URL = "http://127.0.0.1:1/services/T0PS3CRET?access_token=t0ken-t0ken" }, "connection refused"},
		"no URL":       {http.StatusOK, "", func(e *Endpoint) { e.URL = "http://h/%zzT0PS3CRET" }, "has a URL that is none"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			endpoint, _ := listen(t, test.status, test.answer, "Location", "http://127.0.0.1:1/T0PS3CRET")
			endpoint.URL += "?access_token=t0ken-t0ken"
			endpoint.Authorization = "Bearer s3cr3t-token"
			if test.spoil != nil {
				test.spoil(&endpoint)
			}
			d := &DingTalk{endpoint, "SECdeadbeef"}
			err := d.Send(t.Context(), message(firing("billing")))
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Fatalf("got %v, want %q", err, test.want)
			}
			told, jsonErr := json.Marshal(d)
			if jsonErr != nil {
				t.Fatal(jsonErr)
			}
			for _, text := range []string{err.Error(), fmt.Sprint(d), fmt.Sprintf("%+v %#v", d, d), fmt.Sprintf("%+v %#v", *d, *d), string(told)} {
				for _, secret := range []string{"T0PS3CRET", "t0ken", "SECdeadbeef", "s3cr3t"} {
					if strings.Contains(text, secret) {
						t.Errorf("%s is told: %s", secret, text)
					}
				}
			}
		})
	}
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]time.Duration{
		"": 0, "7": 7 * time.Second, "-1": 0, "99999999999": longestAsk, "soon": 0, time.Now().Add(time.Hour).UTC().Format(http.TimeFormat): longestAsk,
	} {
		endpoint, _ := listen(t, http.StatusTooManyRequests, "slow down", "Retry-After", header)
		err := (&Webhook{endpoint}).Send(t.Context(), message(firing("billing")))
		if d := backoff(0, err); err == nil || want > 0 && d != want || want == 0 && d > firstRetry {
			t.Errorf("%q: %v, waits %v", header, err, d)
		}
	}
}

// A server that never answers costs its own time-out.
func TestAServerThatHangs(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	defer server.Close()
	defer close(release)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := (&Webhook{Endpoint{URL: server.URL, Transport: server.Client().Transport}}).Send(ctx, message(firing("billing")))
	if err == nil || !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// A thousand alerts fit what each receiver takes, and say how many they are.
func TestManyAlerts(t *testing.T) {
	t.Parallel()
	all := make([]Alert, 1000)
	for i := range all {
		all[i] = firing(fmt.Sprintf("组-%d-%s", i, strings.Repeat("x", 700)))
	}
	for name, test := range map[string]struct {
		sender func(Endpoint) Sender
		most   int
		want   string
	}{
		"dingtalk": {func(e Endpoint) Sender { return &DingTalk{e, ""} }, 20_000, "… and 980 more"},
		"wecom":    {func(e Endpoint) Sender { return &WeCom{e} }, 4_096 + 64, " more"},
		"slack":    {func(e Endpoint) Sender { return &Slack{e} }, 100_000, "980 more are not"},
	} {
		endpoint, last := listen(t, http.StatusOK, `{"errcode":0}`)
		if err := test.sender(endpoint).Send(t.Context(), message(all...)); err != nil {
			t.Fatal(err)
		}
		if len(last.body) > test.most || !strings.Contains(string(last.body), test.want) || !utf8.Valid(last.body) {
			t.Errorf("%s: %d bytes: …%s", name, len(last.body), last.body[max(len(last.body)-200, 0):])
		}
	}
}
