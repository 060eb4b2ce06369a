package tracker

import (
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"math/bits"
	"strings"
)

// The text of an ahead set is made for the metadata of a commit:
//
//	"sluice1:" base64url( checksum, form, varint(leader epoch + 1), the offsets in that form )
//
// The checksum covers the Base as well, so that a set is good for one commit only: any tool that moves the group's offset leaves
// the text, or drops it, and either way it is not taken for the new offset's. Offsets follow in one of three forms, whichever is
// the smallest; "place" is the lowest offset that the next number can stand for, the base at first:
//
//	gaps    a varint for each offset: how far from its place it lies
//	runs    two varints for each run of offsets: how far from its place it begins, and its length - 1
//	bits    a bit for each offset from the base on, the low bit first
const prefix = "sluice1:"

// MaxCharacters is the longest text that Kafka's protocol carries in a commit.
const MaxCharacters = math.MaxInt16

const (
	formGaps byte = iota
	formRuns
	formBits
)

const (
	checksumBytes = 4
	shortest      = checksumBytes + 2 // checksum, form, epoch
)

var checksums = crc32.MakeTable(crc32.Castagnoli)

// Base is the commit that an ahead set belongs to.
type Base struct {
	Offset  int64
	TopicID [16]byte // of zeros where brokers tell none
}

// checksum is that of the base and of what follows the checksum.
func (b Base) checksum(rest []byte) uint32 {
	sum := crc32.Update(0, checksums, binary.BigEndian.AppendUint64(nil, uint64(b.Offset)))
	sum = crc32.Update(sum, checksums, b.TopicID[:])
	return crc32.Update(sum, checksums, rest)
}

// Ahead is a set of finished offsets that was read from a commit. The zero value is empty. It keeps the set as it was written,
// so its memory is bounded by the text's, whatever it says.
type Ahead struct {
	form  byte
	epoch int32  // the highest leader epoch of the log that the set was made of; -1 unknown
	left  []byte // what is not read yet
	place int64
	bit   int // formBits: bits of left[0] that are read
}

// Decode reads the text that was committed with an offset. Text that Encode did not write for this very base is an error.
func Decode(text string, base Base) (Ahead, error) {
	encoded, ours := strings.CutPrefix(text, prefix)
	switch {
	case text == "":
		return Ahead{}, nil
	case !ours:
		return Ahead{}, errors.New("it is not of this program, or of another version")
	case len(text) > MaxCharacters:
		return Ahead{}, fmt.Errorf("it has %d characters; Kafka's protocol carries %d", len(text), MaxCharacters)
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(encoded)
	if err != nil {
		return Ahead{}, fmt.Errorf("it is damaged: %w", err)
	}
	if len(b) < shortest || binary.BigEndian.Uint32(b) != base.checksum(b[checksumBytes:]) {
		return Ahead{}, errors.New("it belongs to another offset or to another topic of that name, as after a reset, or it is damaged")
	}
	epoch, n := binary.Uvarint(b[checksumBytes+1:])
	if n <= 0 || epoch > math.MaxInt32 || b[checksumBytes] > formBits {
		return Ahead{}, errors.New("its head is not one that this version knows")
	}
	a := Ahead{form: b[checksumBytes], epoch: int32(epoch) - 1, left: b[shortest-1+n:], place: base.Offset}
	if base.Offset < 0 || !valid(a) {
		return Ahead{}, errors.New("it says what cannot be")
	}
	return a, nil
}

// Empty tells whether nothing is left.
func (a *Ahead) Empty() bool { return len(a.left) == 0 }

// valid reads all of a copy of a set, and tells whether nothing was left in the middle.
func valid(a Ahead) bool {
	for !a.Empty() {
		if _, _, ok := a.next(); !ok {
			return false
		}
	}
	return true
}

// next takes the next run of offsets, first to last; ok is false where there is none. Runs come in order, and do not overlap.
func (a *Ahead) next() (first, last int64, ok bool) {
	if a.form == formBits {
		return a.nextBits()
	}
	if first, ok = a.number(a.place); !ok {
		return 0, 0, false
	}
	last = first
	if a.form == formRuns {
		if last, ok = a.number(first); !ok {
			return 0, 0, false
		}
		a.place = last + 2 // what follows at once would be part of the run
		return first, last, true
	}
	a.place = last + 1
	for len(a.left) > 0 && a.left[0] == 0 && a.place < maxOffset { // those that follow at once
		a.left, last, a.place = a.left[1:], a.place, a.place+1
	}
	return first, last, true
}

// maxOffset leaves room to count beyond.
const maxOffset = math.MaxInt64 - 2

// number reads a varint and adds it to an offset.
func (a *Ahead) number(to int64) (int64, bool) {
	v, n := binary.Uvarint(a.left)
	if n <= 0 || to > maxOffset || v > uint64(maxOffset-to) {
		a.left = nil
		return 0, false
	}
	a.left = a.left[n:]
	return to + int64(v), true
}

// nextBits finds the next run of set bits.
func (a *Ahead) nextBits() (first, last int64, ok bool) {
	zeros := a.skipBits(0)
	if len(a.left) == 0 || a.place > maxOffset-zeros {
		a.left = nil
		return 0, 0, false
	}
	first = a.place + zeros
	ones := a.skipBits(0xff)
	if first > maxOffset-ones {
		a.left = nil
		return 0, 0, false
	}
	a.place = first + ones
	if len(a.left) > 0 && a.left[0]>>a.bit == 0 && len(a.left) == 1 { // the padding of the last byte
		a.left = nil
	}
	return first, a.place - 1, true
}

// skipBits steps over bits that are those of the byte like (all zeros, or all ones), and counts them.
func (a *Ahead) skipBits(like byte) (n int64) {
	for len(a.left) > 0 {
		same := min(bits.TrailingZeros8((a.left[0]^like)>>a.bit), 8-a.bit)
		n += int64(same)
		if a.bit += same; a.bit < 8 {
			return n
		}
		a.left, a.bit = a.left[1:], 0
	}
	return n
}
