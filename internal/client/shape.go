package client

import (
	"bytes"
	"strings"
)

// maxNesting is how far to the right a line may begin, in columns, how many brackets may be open, and
// how many empty lines may follow each other. Parsing takes the square of each, and no registration
// that people can read comes near.
const maxNesting = 100

// overgrown returns the first line of a file at which it is not worth parsing; 0 when there is none.
// Brackets inside of texts count as well: they are closed there, too.
func overgrown(data []byte) int {
	open, empty, number := 0, 0, 0
	for line := range bytes.Lines(data) {
		number++
		text := bytes.TrimLeft(line, " \t-?:")
		if empty++; len(bytes.TrimSpace(text)) > 0 {
			empty = 0
		}
		if empty > maxNesting || len(line)-len(text) > maxNesting {
			return number
		}
		for _, c := range line {
			switch {
			case strings.IndexByte("[{", c) >= 0:
				open++
			case strings.IndexByte("]}", c) >= 0:
				open = max(0, open-1)
			}
			if open > maxNesting {
				return number
			}
		}
	}
	return 0
}
