package kafka

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

func TestParseLogin(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]Login{
		"app:pw":                    {"app", "pw", mechanisms},
		"app:p:w":                   {"app", "p:w", mechanisms},
		"app:pw:PLAIN":              {"app", "pw", []string{"PLAIN"}},
		"app:p:w:scram-sha-512":     {"app", "p:w", []string{"SCRAM-SHA-512"}},
		"app:PLAIN":                 {"app", "PLAIN", mechanisms},
		"app: p w":                  {"app", " p w", mechanisms},
		"app:SCRAM-SHA-256:":        {"app", "SCRAM-SHA-256:", mechanisms},
		"app:x:SCRAM-SHA-256:PLAIN": {"app", "x:SCRAM-SHA-256", []string{"PLAIN"}},
	} {
		got, err := ParseLogin(in)
		if err != nil || got.User != want.User || got.Password != want.Password || !slices.Equal(got.Mechanisms, want.Mechanisms) {
			t.Errorf("%q is %s with %q, %v", in, got, got.Password, err)
		}
	}
	for _, in := range []string{"", "app", "app:", ":hunter2", "app::PLAIN", "app:hunter2:SCRAM-SHA-1", "app:hunter2:OAUTHBEARER", "bob:x:scram-Hunter2"} {
		if got, err := ParseLogin(in); err == nil || strings.Contains(strings.ToLower(err.Error()), "hunter2") || strings.Contains(err.Error(), "app") {
			t.Errorf("%q is %s, %v", in, got, err)
		}
	}
}

func TestReadLogins(t *testing.T) {
	t.Parallel()
	logins, err := ReadLogins(strings.NewReader("# ours\r\napp:hunter2\r\n\nother:hunter2:PLAIN"))
	if err != nil || len(logins) != 2 || logins[0].Password != "hunter2" {
		t.Errorf("%v, %v", logins, err)
	}
	if told := fmt.Sprintf("%v %+v %#v %s", logins, logins, logins, logins[0]); strings.Contains(told, "hunter2") {
		t.Errorf("it tells a password: %s", told)
	}
	if _, err := ReadLogins(strings.NewReader("app:hunter2\nhunter2\n")); err == nil || err.Error() != "line 2: give user:password or user:password:mechanism" {
		t.Errorf("it says %v", err)
	}
}
