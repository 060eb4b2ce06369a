package kafka

import (
	"bufio"
	"bytes"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
)

var mechanisms = []string{"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"}

// Login is a user that the embedded broker lets in.
type Login struct {
	User       string
	Password   string   // never printed
	Mechanisms []string // one of PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512, or all three
}

// String hides the password.
func (l Login) String() string { return l.User + " (" + strings.Join(l.Mechanisms, ", ") + ")" }

// GoString hides the password.
func (l Login) GoString() string { return l.String() }

// LogValue hides the password.
func (l Login) LogValue() slog.Value { return slog.StringValue(l.String()) }

// ParseLogin reads user:password or user:password:mechanism. A password may hold colons. Its error does not repeat what was
// given.
func ParseLogin(s string) (Login, error) {
	user, rest, found := strings.Cut(s, ":")
	if !found || user == "" || rest == "" {
		return Login{}, errors.New("give user:password or user:password:mechanism")
	}
	login := Login{User: user, Password: rest, Mechanisms: mechanisms}
	if i := strings.LastIndexByte(rest, ':'); i >= 0 {
		switch name := strings.ToUpper(rest[i+1:]); {
		case slices.Contains(mechanisms, name):
			login.Password, login.Mechanisms = rest[:i], []string{name}
		case strings.HasPrefix(name, "SCRAM-"), name == "OAUTHBEARER", name == "GSSAPI":
			return Login{}, fmt.Errorf("the mechanism is none of %s", strings.Join(mechanisms, ", "))
		}
	}
	if login.Password == "" {
		return Login{}, errors.New("an empty password")
	}
	return login, nil
}

// ReadLogins reads logins, one a line; lines that are empty or begin with # are left out.
func ReadLogins(r io.Reader) ([]Login, error) {
	var logins []Login
	lines := bufio.NewScanner(r)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSuffix(lines.Text(), "\r")
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		login, err := ParseLogin(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		logins = append(logins, login)
	}
	return logins, lines.Err()
}

func loginOptions(logins []Login) []kfake.Opt {
	if len(logins) == 0 {
		return nil
	}
	opts := []kfake.Opt{kfake.EnableSASL()}
	for _, l := range logins {
		for _, mechanism := range l.Mechanisms {
			opts = append(opts, kfake.Superuser(mechanism, l.User, l.Password))
		}
	}
	return opts
}

// refuseByName answers wrong names and passwords of PLAIN as Kafka does. kfake itself hangs up, from which a client
// cannot tell why, and takes an empty password for the right one of a user that it does not know.
func refuseByName(cluster *kfake.Cluster, logins []Login) {
	passwords := map[string]string{}
	for _, l := range logins {
		if slices.Contains(l.Mechanisms, "PLAIN") {
			passwords[l.User] = l.Password
		}
	}
	cluster.ControlKey(kmsg.SASLAuthenticate.Int16(), func(request kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		auth := request.(*kmsg.SASLAuthenticateRequest) //nolint:forcetypeassert // asked for by its key
		parts := bytes.Split(auth.SASLAuthBytes, []byte{0})
		const fields = 3         // of PLAIN: for whom, user, password
		right := len(parts) == 1 // not PLAIN: SCRAM's messages hold no zero byte
		if len(parts) == fields {
			want, known := passwords[string(parts[1])]
			right = known && subtle.ConstantTimeCompare(parts[2], []byte(want)) == 1
		}
		if right {
			return nil, nil, false //nolint:nilnil // what kfake takes for "go on"
		}
		response := auth.ResponseKind().(*kmsg.SASLAuthenticateResponse) //nolint:forcetypeassert // by kmsg's contract
		response.ErrorCode = kerr.SaslAuthenticationFailed.Code
		response.ErrorMessage = new("Authentication failed: Invalid username or password")
		return response, nil, true
	})
}
