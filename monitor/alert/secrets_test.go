package alert

import (
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// says is a transport that fails, or answers, as it is told.
type says struct {
	err    error
	status int
	answer string
}

func (s says) RoundTrip(*http.Request) (*http.Response, error) {
	if s.err != nil {
		return nil, s.err
	}
	return &http.Response{StatusCode: s.status, Body: io.NopCloser(strings.NewReader(s.answer)), Header: http.Header{}}, nil
}

// What goes wrong tells no part of an address, in no spelling: also where an answer is cut off in the midst of it.
func TestNoPartOfASecretIsTold(t *testing.T) {
	t.Parallel()
	const token, password = "T0PS3CRETT0KEN", "hunter2/hunter2"
	login := base64.StdEncoding.EncodeToString([]byte("user:" + password))
	address := "https://user:" + url.QueryEscape(password) + "@hooks.example/services/" + token + "?key=" + url.QueryEscape(password) + "&sig=" + token
	var midst []string
	for _, secret := range []string{token, password, login, url.QueryEscape(password)} {
		for cut := 1; cut < len(secret); cut++ {
			midst = append(midst, strings.Repeat("x", 200-cut)+secret+strings.Repeat("y", 10))
		}
	}
	senders := map[string]func(Endpoint) Sender{
		"webhook":      func(e Endpoint) Sender { return &Webhook{e} },
		"alertmanager": func(e Endpoint) Sender { return &Alertmanager{e} },
		"slack":        func(e Endpoint) Sender { return &Slack{e} },
		"dingtalk":     func(e Endpoint) Sender { return &DingTalk{e, token} },
		"wecom":        func(e Endpoint) Sender { return &WeCom{e} },
	}
	secret := func(t *testing.T, err error) {
		t.Helper()
		if err == nil {
			t.Fatal("no error")
		}
		for _, part := range []string{"T0PS", "hunt", login[:6], login[6:12]} {
			if strings.Contains(err.Error(), part) {
				t.Errorf("%s is told: %v", part, err)
			}
		}
	}
	for name, sender := range senders {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			send := func(address string, s says) error {
				return sender(Endpoint{URL: address, Authorization: "Basic " + login, Transport: s}).Send(t.Context(), message(firing("billing")))
			}
			for _, text := range midst {
				secret(t, send(address, says{status: http.StatusForbidden, answer: text}))
				if name == "dingtalk" || name == "wecom" {
					secret(t, send(address, says{status: http.StatusOK, answer: `{"errcode":1,"errmsg":"` + text + `"}`}))
				}
			}
			secret(t, send(address, says{err: errors.New(`malformed answer "` + token + `" from ` + address)}))
			secret(t, send(address, says{err: errors.New(`invalid proxy address "http://proxy:hunter3@10.0.0.1:3128"`)}))
			for _, broken := range []string{"https://h:" + token + "/x", "https://h/%zz" + token, "https://h/\x7f" + token, "https://user:hunter2 2@h/"} {
				secret(t, send(broken, says{status: http.StatusOK}))
			}
		})
	}
}
