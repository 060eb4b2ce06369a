// Package yamlfile reads the program's YAML files: known keys only, variables of the environment, and every mistake at once, each with
// its line, column and field.
package yamlfile
