package sluice

import "regexp"

// propertyName is what Kafka's properties look like.
var propertyName = regexp.MustCompile(`^[A-Za-z]+([._-][A-Za-z0-9]+)+$`)

// hint names the nearest known property.
func hint(name string) string {
	best, distance := "", len(name)/2+1
	for i := range settings {
		if d := editDistance(name, settings[i].name); d < distance {
			best, distance = settings[i].name, d
		}
	}
	if best == "" {
		return ""
	}
	return "; did you mean " + best + "?"
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
