package notify

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// plainer replaces what has no decomposition into an ASCII letter and marks.
var plainer = strings.NewReplacer(
	"đ", "d", "Đ", "D", "‘", "'", "’", "'", "`", "'", "“", `"`, "”", `"`, "–", "-", "—", "-", "−", "-",
	"…", "...", "•", "*", "·", ".", "\u00a0", " ", "\u202f", " ", "₫", "d", "×", "x", "\t", " ", "\r\n", "\n")

// Plain writes a text with letters that every telephone shows: Vietnamese without its marks and
// nothing beyond the GSM 7-bit alphabet (3GPP TS 23.038). One sign outside of it would cut the
// length of a message from 160 to 70 characters. What cannot be written becomes "?".
func Plain(text string) string {
	var b strings.Builder
	for _, r := range norm.NFD.String(plainer.Replace(norm.NFC.String(text))) {
		switch {
		case unicode.Is(unicode.Mn, r): // the mark of the letter before it
		case r == '\n' || r >= ' ' && r <= '~':
			b.WriteRune(r)
		default:
			b.WriteByte('?')
		}
	}
	return b.String()
}
