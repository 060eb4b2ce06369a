// Package view shows what a monitor has seen: as JSON or YAML, in snake_case, and as a table.
package view
