package sluice_test

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sluice-go/sluice"
)

// endpoint answers every request for a token.
func endpoint(t *testing.T, answer http.HandlerFunc) sluice.ClientCredentials {
	t.Helper()
	s := httptest.NewServer(answer)
	t.Cleanup(s.Close)
	return sluice.ClientCredentials{URL: s.URL + "/token?key=" + url.QueryEscape(password), ID: "billing", Secret: password, Scope: "kafka orders"}
}

func say(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(text))
	}
}

func TestClientCredentials(t *testing.T) {
	for name, encode := range map[string]func(string) string{"as RFC 6749 has it": url.QueryEscape, "as they are": func(s string) string { return s }} {
		t.Run(name, func(t *testing.T) {
			c := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
				id, secret, _ := r.BasicAuth()
				if id != "billing" || secret != encode(password) {
					w.WriteHeader(http.StatusUnauthorized)
					return
				}
				if r.Method != http.MethodPost || r.FormValue("grant_type") != "client_credentials" || r.FormValue("scope") != "kafka orders" {
					t.Errorf("%s %v", r.Method, r.Form)
				}
				_, _ = w.Write([]byte(`{"access_token":"t1","token_type":"Bearer","expires_in":60}`))
			})
			began := time.Now()
			token, err := c.Token(t.Context())
			if err != nil || token.Value != "t1" || token.Expires.Before(began.Add(time.Minute)) || token.Expires.After(time.Now().Add(time.Minute)) {
				t.Fatalf("%+v, %v", token, err)
			}
		})
	}
	token, err := endpoint(t, say(200, `{"access_token":"t1"}`)).Token(t.Context())
	if err != nil || !token.Expires.IsZero() {
		t.Errorf("without an end: %v, %v", token, err)
	}
}

func TestBadAnswersOfATokenEndpoint(t *testing.T) {
	for want, answer := range map[string]http.HandlerFunc{
		"answers 401 Unauthorized, invalid_client; are client id and secret right?": say(401, `{"error":"invalid_client"}`),
		"answers 400 Bad Request, invalid_scope, no such scope":                     say(400, `{"error":"invalid_scope","error_description":"no such scope"}`),
		"answers 400 Bad Request, invalid_request":                                  say(400, `{"error":"invalid_request","error_description":"secret Tr0ub4dor\"&\\3 is bad"}`),
		"answers 503 Service Unavailable":                                           say(503, "<html>Tr0ub4dor"),
		"answers 200 OK, but with no access_token in JSON; is it a token endpoint?": say(200, "<html>Tr0ub4dor"),
		"EOF": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		c := endpoint(t, answer)
		at, _, _ := strings.Cut(c.URL, "?")
		_, err := c.Token(t.Context())
		if err == nil || err.Error() != "token endpoint "+at+": "+want {
			t.Errorf("%v, want %s", err, want)
		}
	}
}

func TestClientCredentialsThatCannotBeUsed(t *testing.T) {
	for says, c := range map[string]sluice.ClientCredentials{
		"not of the form": {URL: "auth.example/token", ID: "i", Secret: "s"},
		"give https":      {URL: "http://auth.example/token", ID: "i", Secret: "s"},
		"client id":       {URL: "https://auth.example/token", Secret: "s"},
		"client secret":   {URL: "http://localhost:8080/token", ID: "i"},
	} {
		if _, err := c.Token(t.Context()); err == nil || !strings.Contains(err.Error(), says) || !strings.Contains(c.Check().Error(), says) {
			t.Errorf("%+v: %v, want %q", c, err, says)
		}
	}
}

func TestPropertiesOfTokens(t *testing.T) {
	c := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
		id, secret, _ := r.BasicAuth()
		if id != "billing" || secret != "s3cret" || r.FormValue("scope") != "kafka" {
			w.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = w.Write([]byte(`{"access_token":"t1","expires_in":60}`))
	})
	at, _, _ := strings.Cut(c.URL, "?")
	const head, module = "security.protocol=SASL_SSL\nsasl.mechanism=OAUTHBEARER\n", "x.OAuthBearerLoginModule required"
	end := "sasl.oauthbearer.token.endpoint.url=" + at + "\n"
	for name, text := range map[string]string{
		"Kafka 4": end + "sasl.oauthbearer.client.credentials.client.id=billing\nsasl.oauthbearer.client.credentials.client.secret=s3cret\nsasl.oauthbearer.scope=kafka",
		"JAAS":    end + "sasl.jaas.config=" + module + ` clientId="billing" clientSecret="s3cret" scope="kafka";`,
		"both":    end + "sasl.oauthbearer.scope=kafka\nsasl.jaas.config=" + module + ` clientId="billing" clientSecret="s3cret" scope="other";`,
		"an empty module": end + "sasl.jaas.config=" + module + ";\nsasl.oauthbearer.client.credentials.client.id=billing\n" +
			"sasl.oauthbearer.client.credentials.client.secret=s3cret\nsasl.oauthbearer.scope=kafka\nsasl.oauthbearer.header.urlencode=true",
	} {
		cfg, err := sluice.FromProperties(strings.NewReader(head + text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if token, err := cfg.SASL.Token(t.Context()); err != nil || token.Value != "t1" || cfg.SASL.Mechanism != "OAUTHBEARER" {
			t.Errorf("%s: %v, %v", name, token, err)
		}
	}
	for name, c := range map[string]struct{ text, property, says string }{
		"no endpoint":     {head + "sasl.jaas.config=" + module + ` clientId="billing" clientSecret="hunter2";`, "sasl.jaas.config", "sasl.oauthbearer.token.endpoint.url"},
		"plain http":      {head + "sasl.oauthbearer.token.endpoint.url=http://auth.example/\nsasl.jaas.config=" + module + ` clientId="b" clientSecret="hunter2";`, "sasl.oauthbearer.token.endpoint.url", "give https"},
		"no secret":       {head + end + "sasl.oauthbearer.client.credentials.client.id=b", "sasl.oauthbearer.token.endpoint.url", "client secret are required"},
		"another login":   {"security.protocol=SASL_SSL\nsasl.mechanism=PLAIN\nsasl.username=u\nsasl.password=hunter2\n" + end, "sasl.oauthbearer.token.endpoint.url", "no effect without sasl.mechanism=OAUTHBEARER"},
		"no module":       {head + end + "sasl.jaas.config=x", "sasl.jaas.config", "not of the form"},
		"an assertion":    {"sasl.oauthbearer.assertion.file=/x", "sasl.oauthbearer.assertion.file", "give SASL.Token, in code"},
		"what brokers do": {"sasl.oauthbearer.jwks.endpoint.url=https://x", "sasl.oauthbearer.jwks.endpoint.url", "brokers judge tokens"},
	} {
		all := propertyMistakes(t, c.text)
		if len(all) != 1 || all[0].Property != c.property || !strings.Contains(all[0].Problem, c.says) || strings.Contains(all[0].Error(), "hunter2") {
			t.Errorf("%s: %v, want %s and %q", name, errors.Join(toErrors(all)...), c.property, c.says)
		}
	}
}

func toErrors(all []*sluice.ConfigError) []error {
	var errs []error
	for _, e := range all {
		errs = append(errs, e)
	}
	return errs
}

func TestATokenEndpointsRedirectIsNotFollowed(t *testing.T) {
	var came atomic.Int64
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		came.Add(1)
		_, _ = w.Write([]byte(`{"access_token":"t"}`))
	}))
	defer plain.Close()
	for _, code := range []int{301, 302, 303, 307, 308} {
		secure := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, plain.URL, code) }))
		_, err := sluice.ClientCredentials{URL: secure.URL, ID: "billing", Secret: "hunter2", HTTP: secure.Client()}.Token(t.Context())
		if came.Load() > 0 || err == nil || !strings.Contains(err.Error(), "a redirect, which is not followed") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%d: %v, %d requests came", code, err, came.Load())
		}
		secure.Close()
	}
}

func TestTheLifeOfATokenAsItIsAnswered(t *testing.T) {
	for life, want := range map[string]time.Duration{
		`"3599"`: 3599 * time.Second, `3599.5`: 3599*time.Second + 500*time.Millisecond,
		`9223372036854775807`: 87600 * time.Hour, `1e400`: 87600 * time.Hour, `null`: 0, `0`: 0, `-1`: 0,
	} {
		token, err := endpoint(t, say(200, `{"access_token":"t1","expires_in":`+life+`}`)).Token(t.Context())
		if left := time.Until(token.Expires); err != nil || token.Expires.IsZero() != (want == 0) || want > 0 && (left > want || left < want-time.Minute) {
			t.Errorf("%s: %v, %v", life, token, err)
		}
	}
}

func TestATokenEndpointsWordsDoNotTellTheSecret(t *testing.T) {
	for name, echo := range map[string]func(r *http.Request) string{
		"in base64":   func(r *http.Request) string { return r.Header.Get("Authorization") },
		"for a URL":   func(r *http.Request) string { _, secret, _ := r.BasicAuth(); return secret },
		"small":       func(r *http.Request) string { _, secret, _ := r.BasicAuth(); return strings.ToLower(secret) },
		"only itself": func(*http.Request) string { return base64.StdEncoding.EncodeToString([]byte(password)) },
	} {
		_, err := endpoint(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadRequest)
			_ = json.NewEncoder(w).Encode(map[string]string{"error": "invalid_request", "error_description": "bad " + echo(r)})
		}).Token(t.Context())
		if err == nil || !strings.HasSuffix(err.Error(), "answers 400 Bad Request, invalid_request") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
