package listen

import (
	"crypto/sha256"
	"net/http"
	"strconv"
	"sync"

	"golang.org/x/crypto/bcrypt"
)

const mostLogins = 1000 // that are remembered

// passwords tells whether callers log in. exporter-toolkit has asked them already, but by what was in the file a moment before the guard
// read it: while a file is written, there may be nothing in it. Right logins are remembered, as bcrypt is slow by design.
type passwords struct {
	mu    sync.Mutex
	right map[[sha256.Size]byte]bool
}

func (p *passwords) admit(r *http.Request, users map[string]string) bool {
	user, password, shown := r.BasicAuth()
	hash := users[user]
	if !shown || hash == "" {
		return false
	}
	key := sha256.Sum256([]byte(strconv.Quote(user) + strconv.Quote(hash) + strconv.Quote(password)))
	p.mu.Lock()
	defer p.mu.Unlock() // one at a time: it is work
	if p.right[key] {
		return true
	}
	if bcrypt.CompareHashAndPassword([]byte(hash), []byte(password)) != nil {
		return false
	}
	if p.right == nil || len(p.right) == mostLogins {
		p.right = map[[sha256.Size]byte]bool{}
	}
	p.right[key] = true
	return true
}
