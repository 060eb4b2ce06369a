package listen

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
)

// guard lets through what the rules allow.
type guard struct {
	next   http.Handler
	hosts  map[string]bool // lower case
	token  string          // file; "" none
	config string          // file that demands something of callers, and must go on to; "" none
	logger *slog.Logger

	passwords passwords
}

func newGuard(o Options, r rules, next http.Handler, logger *slog.Logger) *guard {
	g := &guard{next: next, hosts: map[string]bool{}, token: o.TokenFile, logger: logger}
	if r.demand() && !o.Insecure {
		g.config = o.Config
	}
	own, _ := os.Hostname() // without one, it is called by an address
	listens, _, _ := net.SplitHostPort(o.Address)
	for _, name := range append([]string{own, listens}, o.Hosts...) {
		g.hosts[strings.ToLower(name)] = true
	}
	return g
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	switch {
	case !g.named(r.Host):
		text := fmt.Sprintf("this server is not called %q; if it is, start it with --listen-host", hostOf(r.Host))
		http.Error(w, text, http.StatusMisdirectedRequest)
	case !sameOrigin(r):
		http.Error(w, "pages of other servers may not ask here", http.StatusForbidden)
	case !g.admitted(w, r):
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "nothing can be changed here", http.StatusMethodNotAllowed)
	default:
		g.next.ServeHTTP(w, r)
	}
}

// admitted tells whether the caller shows what it has to. Files are read each time: what is in them counts at once, and a web configuration
// that no longer demands anything lets nobody in.
func (g *guard) admitted(w http.ResponseWriter, r *http.Request) bool {
	return (g.config == "" || g.follows(w, r)) && (g.token == "" || g.showsToken(w, r))
}

// follows tells whether the caller shows what the web configuration demands by now. exporter-toolkit has asked for it as well, but maybe by
// what was in the file before; and a connection may have been made when it demanded no certificate.
func (g *guard) follows(w http.ResponseWriter, r *http.Request) bool {
	rules, err := readRules(g.config)
	if err != nil || !rules.demand() {
		g.logger.Error("nobody may ask: the file no longer demands a password or a certificate", "file", g.config, "err", err)
		http.Error(w, "the server demands nothing of its callers any more", http.StatusInternalServerError)
		return false
	}
	if rules.certificates {
		w.Header().Set("Connection", "close") // the next request is to be let in by the rules of its time
		if r.TLS == nil || len(r.TLS.VerifiedChains) == 0 {
			http.Error(w, "connect again, and show a certificate", http.StatusForbidden)
			return false
		}
	}
	if len(rules.users) > 0 && !g.passwords.admit(r, rules.users) {
		w.Header().Set("WWW-Authenticate", "Basic")
		http.Error(w, http.StatusText(http.StatusUnauthorized), http.StatusUnauthorized)
		return false
	}
	return true
}

func (g *guard) showsToken(w http.ResponseWriter, r *http.Request) bool {
	token, err := readToken(g.token)
	if err != nil {
		g.logger.Error("nobody may ask", "err", err)
		http.Error(w, "the server cannot read its token", http.StatusInternalServerError)
		return false
	}
	if !shows(r, token) {
		w.Header().Set("WWW-Authenticate", "Bearer")
		http.Error(w, "show the token: Authorization: Bearer …", http.StatusUnauthorized)
		return false
	}
	return true
}

// named tells whether the server is called by a name. For a page to have its own name point here, that name must be one of the public DNS:
// it has a dot, and is no address.
func (g *guard) named(host string) bool {
	name := strings.ToLower(hostOf(host))
	return net.ParseIP(name) != nil || name != "" && !strings.Contains(name, ".") || g.hosts[name]
}

// hostOf is a Host header without its port.
func hostOf(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.Trim(host, "[]"), ".")
}

// sameOrigin tells whether a request comes from a page of this very server, or from no page.
func sameOrigin(r *http.Request) bool {
	origin := r.Header.Get("Origin")
	if origin == "" {
		return true
	}
	from, err := url.Parse(origin)
	return err == nil && from.Host != "" && strings.EqualFold(from.Host, r.Host)
}
