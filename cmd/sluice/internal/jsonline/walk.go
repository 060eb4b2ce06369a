package jsonline

// walker goes through text that is valid JSON.
type walker struct {
	text []byte
	at   int
}

// next skips spaces, commas and colons, and returns the byte there, without taking it.
func (w *walker) next() byte {
	for {
		switch c := w.text[w.at]; c {
		case ' ', '\t', '\r', '\n', ',', ':':
			w.at++
		default:
			return c
		}
	}
}

// value takes the value that comes next, and says where it begins.
func (w *walker) value() (raw []byte, begin int) {
	c := w.next()
	begin = w.at
	switch c {
	case '"':
		w.skipString()
	case '{', '[':
		w.skipNested()
	default:
		w.skipWord()
	}
	return w.text[begin:w.at], begin
}

func (w *walker) skipString() {
	for w.at++; w.text[w.at] != '"'; w.at++ {
		if w.text[w.at] == '\\' {
			w.at++
		}
	}
	w.at++
}

func (w *walker) skipNested() {
	for depth := 0; ; {
		switch w.text[w.at] {
		case '"':
			w.skipString()
			continue
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		}
		w.at++
		if depth == 0 {
			return
		}
	}
}

// skipWord takes a number, true, false or null.
func (w *walker) skipWord() {
	for w.at < len(w.text) {
		switch w.text[w.at] {
		case ' ', '\t', '\r', '\n', ',', ']', '}':
			return
		}
		w.at++
	}
}
