package pipeline

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/sluice-go/sluice/cmd/sluice/internal/yamlfile"
)

// DSN says where a database is and how to log in: mysql://user:password@host:port/database?option=value, postgres://… or
// sqlite:path. Its String never shows the password, and neither does any error about it.
type DSN struct {
	Scheme   string // mysql, postgres or sqlite
	User     string
	Password string
	Host     string
	Port     int
	Database string // sqlite: the file
	Options  url.Values
}

// Address is what the program connects to: host:port, or the file.
func (d DSN) Address() string {
	if d.Scheme == schemeSQLite {
		return d.Database
	}
	return net.JoinHostPort(d.Host, strconv.Itoa(d.Port))
}

// String names the database without the password and without options.
func (d DSN) String() string {
	if d.Scheme == schemeSQLite {
		return "sqlite:" + d.Database
	}
	user := ""
	if d.User != "" {
		user = url.User(d.User).String() + "@"
	}
	return d.Scheme + "://" + user + d.Address() + "/" + d.Database
}

// GoString hides the password, too.
func (d DSN) GoString() string { return d.String() }

const (
	schemeMySQL    = "mysql"
	schemePostgres = "postgres"
	schemeSQLite   = "sqlite"

	defaultMySQLPort    = 3306
	defaultPostgresPort = 5432
	maxPort             = 65535
)

var (
	schemePattern = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9+.-]*:`)
	optionPattern = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.-]*$`)
)

//nolint:gosec // no credentials: what a DSN looks like
const dsnForms = "mysql://user:password@host:3306/database, postgres://user:password@host:5432/database or sqlite:file.db"

// ParseDSN reads a DSN. It is taken apart before the environment's variables are put in, so that a password from a variable
// may hold any character; one written out must be percent-encoded where it holds any of :/?#@%. Errors quote nothing but
// the scheme and the names of options.
func ParseDSN(raw string, env Environment) (DSN, error) {
	if !schemePattern.MatchString(raw) { // the whole of it comes from a variable, or it is none
		whole, err := yamlfile.Expand(raw, env)
		if err != nil {
			return DSN{}, err
		}
		raw, env = whole, nil
	}
	if !schemePattern.MatchString(raw) {
		return DSN{}, errors.New("not a DSN, which looks like " + dsnForms)
	}
	scheme, rest, _ := strings.Cut(raw, ":")
	switch strings.ToLower(scheme) {
	case "mysql", "mariadb":
		return parseServer(schemeMySQL, rest, defaultMySQLPort, env)
	case "postgres", "postgresql":
		return parseServer(schemePostgres, rest, defaultPostgresPort, env)
	case "sqlite":
		return parseSQLite(rest, env)
	}
	return DSN{}, fmt.Errorf("the scheme %q is none of mysql, postgres and sqlite", scheme)
}

func parseServer(scheme, rest string, port int, env Environment) (DSN, error) {
	d := DSN{Scheme: scheme, Port: port}
	rest, slashes := strings.CutPrefix(rest, "//")
	if !slashes {
		return d, fmt.Errorf("%s: without //; it looks like %s", scheme, dsnForms)
	}
	rest, options, _ := strings.Cut(rest, "?")
	if strings.Contains(options, "@") {
		return d, fmt.Errorf("%s: an @ behind the ?; percent-encode ?, /, #, : and @ in the user's name and password, "+
			"or take them from ${VARIABLES}", scheme)
	}
	var userinfo string
	if at := strings.LastIndex(rest, "@"); at >= 0 {
		userinfo, rest = rest[:at], rest[at+1:]
	}
	user, password, _ := strings.Cut(userinfo, ":")
	address, database, _ := strings.Cut(rest, "/")
	host, portText := splitAddress(address)

	var errs []error
	component := func(name, value string) string {
		s, err := decodeComponent(value, env)
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: the %s: %w", scheme, name, err))
		}
		return s
	}
	d.User, d.Password = component("user", user), component("password", password)
	d.Host, d.Database = component("host", host), component("database", database)
	if portText = component("port", portText); portText != "" {
		n, err := strconv.Atoi(portText)
		if err != nil || n < 1 || n > maxPort {
			errs = append(errs, fmt.Errorf("%s: the port is not a number from 1 to %d", scheme, maxPort))
		}
		d.Port = n
	}
	if len(errs) == 0 {
		switch {
		case d.Host == "":
			errs = append(errs, fmt.Errorf("%s: no host; it looks like %s", scheme, dsnForms))
		case d.Database == "":
			errs = append(errs, fmt.Errorf("%s: no database; it looks like %s", scheme, dsnForms))
		}
	}
	var err error
	if d.Options, err = parseOptions(options, env); err != nil {
		errs = append(errs, fmt.Errorf("%s: %w", scheme, err))
	}
	if len(errs) > 0 {
		return DSN{Scheme: scheme}, errors.Join(errs...)
	}
	return d, nil
}

func parseSQLite(rest string, env Environment) (DSN, error) {
	rest = strings.TrimPrefix(rest, "//")
	path, err := expandWith(rest, env)
	switch {
	case err != nil:
		return DSN{Scheme: schemeSQLite}, fmt.Errorf("sqlite: %w", err)
	case path == "":
		return DSN{Scheme: schemeSQLite}, errors.New("sqlite: no file; it looks like sqlite:orders.db")
	case strings.Contains(path, ":memory:"), strings.Contains(path, "?"), strings.HasPrefix(path, "file:"):
		return DSN{Scheme: schemeSQLite}, errors.New("sqlite: give the path of a file, without options; " +
			"a database in memory would not outlive the program")
	}
	return DSN{Scheme: schemeSQLite, Database: path}, nil
}

// splitAddress parts host and port, also of [::1]:3306.
func splitAddress(address string) (host, port string) {
	if inner, ok := strings.CutPrefix(address, "["); ok {
		host, rest, _ := strings.Cut(inner, "]")
		return host, strings.TrimPrefix(rest, ":")
	}
	host, port, _ = strings.Cut(address, ":")
	return host, port
}

// decodeComponent resolves percent encoding, then variables: what comes from a variable is taken as it is.
func decodeComponent(s string, env Environment) (string, error) {
	plain, err := url.PathUnescape(s)
	if err != nil {
		return "", errors.New("a % that no two hexadecimal digits follow; write %25 for a percent sign")
	}
	return expandWith(plain, env)
}

func expandWith(s string, env Environment) (string, error) {
	if env == nil {
		return s, nil
	}
	return yamlfile.Expand(s, env)
}

func parseOptions(query string, env Environment) (url.Values, error) {
	options := url.Values{}
	if query == "" {
		return options, nil
	}
	var errs []error
	for i, pair := range strings.Split(query, "&") {
		name, value, found := strings.Cut(pair, "=")
		if !found || !optionPattern.MatchString(name) {
			errs = append(errs, fmt.Errorf("option %d is not name=value", i+1))
			continue
		}
		v, err := decodeComponent(value, env)
		if err != nil {
			errs = append(errs, fmt.Errorf("option %s: %w", name, err))
			continue
		}
		if options.Has(name) {
			errs = append(errs, fmt.Errorf("option %s: given twice", name))
		}
		options.Set(name, v)
	}
	return options, errors.Join(errs...)
}
