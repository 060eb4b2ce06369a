package sluice

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kgo"
)

// Compression is a codec for batches, by Kafka's names.
type Compression string

// The codecs.
const (
	Uncompressed Compression = "none"
	Gzip         Compression = "gzip"
	Snappy       Compression = "snappy"
	LZ4          Compression = "lz4"
	Zstd         Compression = "zstd"
)

// codec is what kgo knows of a codec, and which levels it has: none where high is 0.
type codec struct {
	name Compression
	kgo  func() kgo.CompressionCodec
	high int
	own  func(level int) int // a level in kgo's own numbers
}

var codecs = []codec{
	{name: Uncompressed, kgo: kgo.NoCompression},
	{name: Gzip, kgo: kgo.GzipCompression, high: 9, own: func(level int) int { return level }},
	{name: Snappy, kgo: kgo.SnappyCompression},
	{name: LZ4, kgo: kgo.Lz4Compression, high: 9, own: func(level int) int { return 1 << (8 + level) }},
	{name: Zstd, kgo: kgo.ZstdCompression, high: 22, own: zstdSpeed},
}

// zstdSpeed is the nearest of the four levels that zstd has in Go: fastest, default, better, best.
func zstdSpeed(level int) int {
	switch {
	case level < 3:
		return 1
	case level < 6:
		return 2
	case level < 10:
		return 3
	default:
		return 4
	}
}

func codecOf(c Compression) *codec {
	if c == "" {
		c = Uncompressed
	}
	i := slices.IndexFunc(codecs, func(k codec) bool { return k.name == c })
	if i < 0 {
		return nil
	}
	return &codecs[i]
}

// checkCompression judges codec and level.
func (c ProducerConfig) checkCompression(m *mistakes) {
	const field, levelField = "ProducerConfig.Compression", "ProducerConfig.CompressionLevel"
	k := codecOf(c.Compression)
	if k == nil {
		names := make([]string, len(codecs))
		for i, k := range codecs {
			names[i] = string(k.name)
		}
		m.add(field, string(c.Compression), noneOf(string(c.Compression), names))
		return
	}
	level, before := c.CompressionLevel, len(m.all)
	switch {
	case level != 0 && k.high == 0:
		m.add(levelField, strconv.Itoa(level), fmt.Sprintf("%s has no levels; leave it out, or take gzip, lz4 or zstd", k.name), field)
	case level < 0 || level > k.high:
		m.add(levelField, strconv.Itoa(level),
			fmt.Sprintf("accepted are 1 to %d for %s, or 0 for the codec's default", k.high, k.name), field)
	}
	for _, e := range m.all[before:] { // each codec has a property of its own for the one field
		if k.high > 0 {
			e.Property = "compression." + string(k.name) + ".level"
		}
	}
}

// compression is what kgo is told. The configuration was checked.
func (c ProducerConfig) compression() kgo.Opt {
	k := codecOf(c.Compression)
	out := k.kgo()
	if c.CompressionLevel != 0 {
		out = out.WithLevel(k.own(c.CompressionLevel))
	}
	return kgo.ProducerBatchCompression(out)
}
