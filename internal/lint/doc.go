// Package lint holds the rules of this tree that no linter knows, as tests.
package lint
