package sluice

import (
	"regexp"
	"strings"
)

// propertyName is what Kafka's properties look like.
var propertyName = regexp.MustCompile(`^[A-Za-z]+([._-][A-Za-z0-9]+)+$`)

// notShown stands for what may be part of a secret.
const notShown = "(not shown)"

// named says whether a line begins with a name that can be shown: a known one, or one that looks like it and is followed by = or
// :. Without those the line may be a password that lost its own, and has to be very near a known name.
func named(name string, separated bool) bool {
	if settingOf(name) != nil || otherClients(name) != "" {
		return true
	}
	if !propertyName.MatchString(name) || strings.HasPrefix(name, "sasl.password") {
		return false
	}
	return separated || nearest(name, len(name)/6+1) != ""
}

// hint names the nearest known property.
func hint(name string) string {
	best := nearest(name, len(name)/2+1)
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
}

// nearest is the known property that is nearest to a name, and nearer than a number of changes; empty where none is.
func nearest(name string, distance int) string {
	best := ""
	for i := range settings {
		if d := editDistance(name, settings[i].name); d < distance {
			best, distance = settings[i].name, d
		}
	}
	return best
}

func editDistance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		last := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := last
			if a[i] != b[j] {
				cost++
			}
			last = row[j+1]
			row[j+1] = min(cost, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
