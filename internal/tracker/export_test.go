package tracker

import (
	"encoding/base64"
	"encoding/binary"
	"iter"
)

// Seal makes a text with a good checksum of a payload, so that a fuzzer gets behind the checksum.
func Seal(payload []byte, base Base) string {
	sum := binary.BigEndian.AppendUint32(nil, base.checksum(payload))
	return prefix + base64.RawURLEncoding.EncodeToString(append(sum, payload...))
}

// Runs are the runs of a set.
func Runs(a Ahead) iter.Seq2[int64, int64] {
	return func(yield func(int64, int64) bool) {
		for {
			first, last, ok := a.next()
			if !ok || !yield(first, last) {
				return
			}
		}
	}
}
