//go:build synctests

package bubble

// Tagged tells whether this was built with -tags synctests, without which a bubble may hang.
const Tagged = true
