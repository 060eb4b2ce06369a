package bubble

import (
	"bytes"
	"regexp"
	"runtime"
	"strings"
)

var bubbleOf = regexp.MustCompile(`^goroutine \d+ \[.*(synctest bubble \d+)\]:`)

// inBubble names the bubble of a goroutine's stack; "" outside of any.
func inBubble(stack string) string {
	if m := bubbleOf.FindStringSubmatch(stack); m != nil {
		return m[1]
	}
	return ""
}

// others are the stacks of this bubble's goroutines, but for those of the testing package and the caller's own; "" when there are
// none.
func others() string {
	buf := make([]byte, 1<<20)
	for {
		n := runtime.Stack(buf, true)
		if n < len(buf) {
			buf = buf[:n]
			break
		}
		buf = make([]byte, 2*len(buf))
	}
	all := strings.Split(string(bytes.TrimSpace(buf)), "\n\n")
	own := inBubble(all[0]) // the caller's comes first
	var left []string
	for _, stack := range all[1:] {
		testings := strings.Contains(stack, "synctest.Run(") || strings.Contains(stack, "synctest.testingSynctestTest(")
		if inBubble(stack) == own && !testings {
			left = append(left, stack)
		}
	}
	return strings.Join(left, "\n\n")
}
