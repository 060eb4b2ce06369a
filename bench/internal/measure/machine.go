package measure

import (
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
)

// Machine is what a benchmark ran on.
type Machine struct {
	CPUs     int               `json:"cpus"`
	Platform string            `json:"platform"`
	Go       string            `json:"go"`
	Kafka    string            `json:"kafka,omitempty"`
	Clients  map[string]string `json:"clients"` // the peers' versions

	// Processes that ran or waited, a minute's mean; the first number tells what else the machine had to do.
	LoadBefore float64 `json:"load_before"`
	LoadAfter  float64 `json:"load_after"`
}

// NewMachine looks at this one, and names the versions of these modules.
func NewMachine(clients ...string) Machine {
	m := Machine{
		CPUs: runtime.NumCPU(), Platform: runtime.GOOS + "/" + runtime.GOARCH, Go: runtime.Version(),
		Clients: map[string]string{}, LoadBefore: Load(),
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			for _, c := range clients {
				if d.Path == c {
					m.Clients[c] = d.Version
				}
			}
		}
	}
	return m
}

// Load is 0 where the system does not tell.
func Load() float64 {
	text, _ := os.ReadFile("/proc/loadavg")
	first, _, _ := strings.Cut(string(text), " ")
	n, _ := strconv.ParseFloat(first, 64)
	return n
}
