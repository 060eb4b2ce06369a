package measure

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"time"
)

// CPUTime is what this process has used so far, user and system.
func CPUTime() time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

// MemoryPeak is the most memory that this process had resident, in bytes. The resources that its parent is told of would not do: there
// a child begins with what its parent had. 0 where the system does not tell.
func MemoryPeak() int64 {
	text, _ := os.ReadFile("/proc/self/status")
	for line := range strings.Lines(string(text)) {
		var kib int64
		if n, _ := fmt.Sscanf(line, "VmHWM: %d kB", &kib); n == 1 {
			return kib << 10
		}
	}
	return 0
}
